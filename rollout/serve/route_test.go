package serve

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
)

// Routes follow what is in force, and nothing before that is known.
func TestWantedWeights(t *testing.T) {
	e, err := core.Load([]byte(policy("errors")))
	require.NoError(t, err)
	at := &core.RolloutState{}
	step := core.Overlay{Percent: map[string]float64{"ramp": 5}}
	back := core.Overlay{Percent: map[string]float64{"ramp": 0}, Withdrawn: []string{"v2"}}
	assert.Nil(t, wantedOf(nil, at))
	assert.Nil(t, wantedOf(e, nil), "the state is not known")
	for _, c := range []struct {
		engine *core.Engine
		state  *core.RolloutState
		want   float64
	}{
		{e.With(step), at, 5},
		{e.With(back), at, 0},
		{e.With(step).With(core.Overlay{Force: "v1"}), at, 0},
		{e.With(step).With(core.Overlay{Force: "v2"}), at, 100},
		{e.With(core.Overlay{Force: "v1"}), nil, 0},
	} {
		w := wantedOf(c.engine, c.state)
		require.NotNil(t, w)
		assert.InDelta(t, c.want, w.Percent, 0)
		assert.Equal(t, "v2", w.Canary)
		assert.Equal(t, "v1", w.Stable)
		assert.Equal(t, "ramp", w.Rule)
	}
	plain, err := core.Load([]byte(`{"service": "shop", "stable": "v1", "versions": {"v1": {}}}`))
	require.NoError(t, err)
	assert.Nil(t, wantedOf(plain, nil), "there is no rollout")
}

// Without a Kubernetes there is nothing to begin with.
func TestClusterIsRequired(t *testing.T) {
	t.Setenv("KUBECONFIG", t.TempDir()+"/none")
	config, err := ParseConfig([]byte("services: [{service: a, source: 'file:///x', routes: [" +
		"{kind: HTTPRoute, namespace: a, name: b}]}]\nkubernetes: {kubeconfig: /nowhere}"))
	require.NoError(t, err)
	_, err = New(config, nil)
	require.ErrorContains(t, err, "kubernetes: ")
}
