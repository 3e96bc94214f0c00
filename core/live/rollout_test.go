package live

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
)

const rolloutPolicy = `{"service": "user", "stable": "v1", "versions": {"v1": {"upstreams": ["127.0.0.1:1"]},
	"v2": {"upstreams": ["127.0.0.1:2"]}}, "identity": ["header X-User"],
	"rules": [{"name": "testers", "version": "v2", "when": ["header X-Beta = 1"]}, {"name": "ramp", "version": "v2"}],
	"rollout": {"rule": "ramp", "steps": ["5%", "50%", "100%"], "guard": []}}`

// stateAt is a state of rolloutPolicy's plan.
func stateAt(t *testing.T, epoch int64, phase string, percent float64) *core.RolloutState {
	t.Helper()
	e, err := core.Load([]byte(rolloutPolicy))
	require.NoError(t, err)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := &core.RolloutState{Epoch: epoch, Attempt: 1, Fingerprint: e.Rollout().Fingerprint, Phase: phase, Step: 1,
		Percent: percent, Since: at, Began: at, StepSince: at, Reason: "because"}
	if phase == core.PhaseRolledBack {
		s.Withdrawn = []string{"v2"}
	}
	return s
}

func written(t *testing.T, s *core.RolloutState) string {
	t.Helper()
	data, err := json.Marshal(s)
	require.NoError(t, err)
	return string(data)
}

// percentOf is what the ramp is at; -1 with the version withdrawn.
func percentOf(c *Current) float64 {
	if c.Engine == nil {
		return 0
	}
	o := c.Engine.Overlay()
	if len(o.Withdrawn) > 0 {
		return -1
	}
	return o.Percent["ramp"]
}

// What no controller wrote changes nothing, and what one wrote is obeyed.
func TestRolloutDocuments(t *testing.T) {
	path := filepath.Join(t.TempDir(), "user.json")
	putDocument(t, path, rolloutPolicy)
	h, r := open(t, Options{Source: from("file://" + path + "?interval=10ms")})
	eventually(t, "the policy", func() bool { return r.last().Origin == "source" })
	require.Zero(t, percentOf(r.last()))
	require.Equal(t, core.PhaseWaiting, h.State().Rollout.Phase)

	give := func(text string) { putDocument(t, path+".rollout", text) }
	give(written(t, stateAt(t, 5, core.PhaseRunning, 5)))
	eventually(t, "5 %", func() bool { return percentOf(r.last()) == 5 })
	require.Equal(t, core.PhaseRunning, h.State().Rollout.Phase)
	require.Empty(t, h.State().Rollout.Note)

	other := stateAt(t, 6, core.PhaseRunning, 50)
	other.Fingerprint = "0123"
	for _, c := range []struct{ text, note string }{
		{"{", "unexpected"},
		{strings.Replace(written(t, stateAt(t, 6, core.PhaseRunning, 50)), `"percent":50`, `"percent":500`, 1), "from 0 to 100"},
		{strings.Replace(written(t, stateAt(t, 6, core.PhaseRunning, 50)), "running", "runing", 1), `"running"`},
		{written(t, stateAt(t, 4, core.PhaseRunning, 50)), "epoch 4 is older than 5"},
		{written(t, stateAt(t, 5, core.PhaseRunning, 50)), "epoch 5 was seen with another state"},
		{written(t, other), "another plan"},
	} {
		give(c.text)
		eventually(t, c.note, func() bool { return strings.Contains(h.State().Rollout.Note, c.note) })
		require.EqualValues(t, 5, percentOf(r.last()), c.note)
	}
	give(written(t, stateAt(t, 7, core.PhaseRunning, 50)))
	eventually(t, "50 %", func() bool { return percentOf(r.last()) == 50 })

	require.NoError(t, os.Remove(path+".rollout"))
	eventually(t, "deleted", func() bool { return strings.Contains(h.State().Rollout.Note, "deleted") })
	require.EqualValues(t, 50, percentOf(r.last()))

	give(written(t, stateAt(t, 3, core.PhaseRolledBack, 0)))
	eventually(t, "a rollback counts with an epoch behind", func() bool { return percentOf(r.last()) == -1 })
	newest, known := h.Rollout()
	require.True(t, known)
	require.EqualValues(t, 7, newest.Epoch)

	putDocument(t, path, strings.Replace(rolloutPolicy, `"steps"`, `"build": "other", "steps"`, 1))
	eventually(t, "another plan", func() bool { return percentOf(r.last()) == 0 })
	require.Contains(t, h.State().Rollout.Note, "another plan")
}

// What a gateway rolls back by itself stays so, whatever is written by who does not know of it.
func TestOwnRollback(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "user.json")
	cache := filepath.Join(dir, "cache")
	putDocument(t, path, rolloutPolicy)
	putDocument(t, path+".rollout", written(t, stateAt(t, 5, core.PhaseRunning, 5)))
	o := Options{Source: from("file://" + path + "?interval=10ms"), Cache: cache}
	h, r := open(t, o)
	second, other := open(t, o)
	defer second.Close()
	eventually(t, "5 %", func() bool { return percentOf(r.last()) == 5 })
	h.PutRollout(stateAt(t, 6, core.PhaseRolledBack, 0), false)
	require.EqualValues(t, -1, percentOf(r.last()), "when PutRollout returns it is in force")
	require.EqualValues(t, -1, percentOf(other.last()), "for all handles")
	h.PutRollout(stateAt(t, 6, core.PhaseRunning, 50), false)
	h.PutRollout(stateAt(t, 5, core.PhaseRunning, 50), true)
	require.EqualValues(t, -1, percentOf(r.last()))

	putDocument(t, path+".rollout", written(t, stateAt(t, 7, core.PhaseRunning, 50)))
	eventually(t, "held", func() bool { return strings.Contains(h.State().Rollout.Note, "has rolled back") })
	require.EqualValues(t, -1, percentOf(r.last()))
	retried := stateAt(t, 8, core.PhaseRunning, 5)
	retried.Attempt = 2
	putDocument(t, path+".rollout", written(t, retried))
	eventually(t, "a retry", func() bool { return percentOf(r.last()) == 5 })

	h.PutRollout(stateAt(t, 9, core.PhaseRolledBack, 0), false)
	h.Close()
	second.Close()
	require.NoError(t, os.Remove(path))
	forget(t)
	_, r = open(t, o)
	require.EqualValues(t, -1, percentOf(r.last()), "a restart undoes no rollback")
}

// A policy in place has what stands above it before it serves.
func TestBesideAPolicyInPlace(t *testing.T) {
	beside := filepath.Join(t.TempDir(), "user.json")
	p, err := core.ParsePolicy([]byte(rolloutPolicy))
	require.NoError(t, err)
	putDocument(t, beside+".rollout", written(t, stateAt(t, 5, core.PhaseRolledBack, 0)))
	h, r := open(t, Options{Policy: p, Beside: "file://" + beside + "?interval=10ms"})
	require.EqualValues(t, -1, percentOf(r.view(0)), "from the first moment")
	require.Equal(t, "configuration", r.last().Origin)

	retried := stateAt(t, 6, core.PhaseRunning, 50)
	retried.Attempt = 2
	putDocument(t, beside+".rollout", written(t, retried))
	eventually(t, "50 %", func() bool { return percentOf(r.last()) == 50 })
	putDocument(t, beside+".switch", `{"epoch": 1, "to": "v1"}`)
	eventually(t, "the switch", func() bool { return r.last().Overlay.Force == "v1" })
	h.Close()

	h, r = open(t, Options{Policy: p, Beside: "file://" + beside + "?interval=10ms"})
	require.Equal(t, "v1", r.view(0).Overlay.Force, "from the first moment")
	putDocument(t, beside+".switch", `{"epoch": 2, "to": ""}`)
	eventually(t, "50 %", func() bool { return percentOf(r.last()) == 50 })
	require.Equal(t, "configuration", h.State().Origin)
	require.False(t, h.State().Deleted)
}

// forget drops what is remembered of watches without users, as another process would not have it.
func forget(t *testing.T) {
	t.Helper()
	registryLock.Lock()
	defer registryLock.Unlock()
	for _, w := range idle {
		delete(watches, w.key)
	}
	idle = nil
}

// The status says until when the step lasts, and what it waits for then.
func TestStatusOfAStep(t *testing.T) {
	e, err := core.Load([]byte(strings.Replace(rolloutPolicy, `["5%", "50%", "100%"]`,
		`["5% for 10m", "50% for 1h until approved", "100%"]`, 1)))
	require.NoError(t, err)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct {
		about         string
		state         core.RolloutState
		ends          time.Time
		needsApproval bool
	}{
		{"running", core.RolloutState{Phase: core.PhaseRunning, Step: 1, StepSince: at}, at.Add(10 * time.Minute), false},
		{"baking", core.RolloutState{Phase: core.PhaseBaking, Step: 3, StepSince: at}, at, false},
		{"until approved", core.RolloutState{Phase: core.PhaseWaiting, Step: 2, StepSince: at}, at.Add(time.Hour), true},
		{"approved, and frozen", core.RolloutState{Phase: core.PhaseWaiting, Step: 2, StepSince: at, Approved: true},
			at.Add(time.Hour), false},
		{"frozen", core.RolloutState{Phase: core.PhaseWaiting, Step: 1, StepSince: at}, at.Add(10 * time.Minute), false},
		{"paused", core.RolloutState{Phase: core.PhasePaused, Step: 2, StepSince: at}, time.Time{}, false},
		{"rolled back", core.RolloutState{Phase: core.PhaseRolledBack, Step: 2, StepSince: at}, time.Time{}, false},
		{"before the first", core.RolloutState{Phase: core.PhaseWaiting}, time.Time{}, false},
		{"a step that the plan no longer has", core.RolloutState{Phase: core.PhaseWaiting, Step: 9}, time.Time{}, false},
	} {
		s := NewRolloutStatus(e.Rollout(), nil, &c.state)
		require.Equal(t, c.ends, s.StepEnds, c.about)
		require.Equal(t, c.needsApproval, s.NeedsApproval, c.about)
	}
	require.False(t, NewRolloutStatus(e.Rollout(), nil, nil).NeedsApproval)
}
