package rollout

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/e2e/backends"
	"github.com/grayrelease/gray/e2e/traefik"
)

type object = map[string]any

// Traefik obeys what Caddy decides: the same callers at each step, and back within a second.
func TestTraefikObeys(t *testing.T) {
	b := backends.Etcd(t)
	s := newService(t)
	b.Put("shop", s.policy(`"20% until approved", "60% until approved", "100%"`, `"errors"`))
	g := start(t, b.URL("shop"), t.TempDir(), "")
	g.awaitPhase(core.PhaseRunning)
	gray := object{"plugin": object{"gray": object{
		"mode": "proxy", "statePath": "/state", "source": object{"url": b.URL("shop")}, "service": "shop",
		"stable": "v1", "versions": object{"v1": object{}},
	}}}
	dynamic := object{"http": object{
		"routers":     object{"all": object{"rule": "PathPrefix(`/`)", "middlewares": []any{"gray"}, "service": "v1"}},
		"middlewares": object{"gray": gray},
		"services":    object{"v1": object{"loadBalancer": object{"servers": []any{object{"url": s.v1.server.URL}}}}},
	}}
	process := traefik.Start(t, traefik.Options{Plugins: map[string]string{"gray": "../.."}, Dynamic: dynamic})
	served := func() (v1, v2 int64) {
		before1, before2 := s.v1.served.Load(), s.v2.served.Load()
		for i := range 200 {
			req, err := http.NewRequest(http.MethodGet, process.URL+"/", nil)
			require.NoError(t, err)
			req.Header.Set("X-User", fmt.Sprint("u-", i))
			res, err := client.Do(req)
			require.NoError(t, err)
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
			require.Equal(t, 200, res.StatusCode)
		}
		return s.v1.served.Load() - before1, s.v2.served.Load() - before2
	}
	byCaddy := func() int64 {
		taken := int64(0)
		for i := range 200 {
			if _, version := g.ask(fmt.Sprint("u-", i)); version == "v2" {
				taken++
			}
		}
		return taken
	}
	state := func() *live.RolloutStatus {
		res, err := client.Get(process.URL + "/state")
		require.NoError(t, err)
		defer res.Body.Close()
		var state live.State
		require.NoError(t, json.NewDecoder(res.Body).Decode(&state))
		return state.Rollout
	}
	for step := 1; step <= 3; step++ {
		require.Eventually(t, func() bool {
			r := state()
			return r != nil && r.Step == step
		}, 10*time.Second, 10*time.Millisecond)
		_, v2 := served()
		assert.Equal(t, byCaddy(), v2, "step %d", step)
		if step < 3 {
			require.Equal(t, 200, g.post("advance", ""))
		}
	}
	require.Equal(t, 200, g.post("rollback", `{"reason": "errors"}`))
	at := time.Now()
	require.Eventually(t, func() bool { return state().Phase == core.PhaseRolledBack }, time.Second, time.Millisecond)
	t.Log("Traefik is back after", time.Since(at))
	_, v2 := served()
	assert.Zero(t, v2)
}
