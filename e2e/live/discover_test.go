package live

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/e2e/backends"
)

// Instances of v2 come, fail and go, and so does the registry. Traffic follows, stable serves if no
// instance can, and no request fails.
func TestDiscover(t *testing.T) {
	t.Parallel()
	for _, registry := range backends.Registries {
		if testing.Short() && registry.Name == "nacos-3" {
			continue
		}
		t.Run(registry.Name, func(t *testing.T) {
			t.Parallel()
			r := registry.Start(t)
			for _, host := range gateways {
				ok := t.Run(host.name, func(t *testing.T) {
					discovery(t, r, func(s settings) *gateway { return host.start(t, s) })
				})
				if !ok {
					break // the registry may be down
				}
			}
		})
	}
}

func discovery(t *testing.T, r *backends.Registry, start func(settings) *gateway) {
	f := newFleet(t, "v1", "a", "b")
	s := settings{discover: r.URL("v2"), cache: t.TempDir(), fleet: f}
	g := start(s)
	right := func(body string) bool {
		return body == answer("v1", "v1") || body == answer("a", "v2") || body == answer("b", "v2")
	}
	count := func(n int) live.State {
		t.Helper()
		return g.awaitState("instances of v2", func(s live.State) bool {
			return len(s.Upstreams["v2"].Instances) == n && !s.Upstreams["v2"].Kept
		})
	}
	only := func(answers ...string) {
		t.Helper()
		seen := map[string]bool{}
		for range 40 {
			status, body := get(http.DefaultClient, g.url+g.paths[0], "")
			require.Equal(t, http.StatusOK, status, body)
			seen[body] = true
		}
		want := map[string]bool{}
		for _, a := range answers {
			want[a] = true
		}
		require.Equal(t, want, seen)
	}
	count(0)
	only(answer("v1", "v1"))

	load := send(t, g, right)
	r.Register("a", "v2", f.port(t, "a"))
	count(1)
	only(answer("a", "v2"))
	r.Register("b", "v2", f.port(t, "b"))
	count(2)
	only(answer("a", "v2"), answer("b", "v2"))
	r.Sicken("a", "v2", f.port(t, "a"))
	count(1)
	only(answer("b", "v2"))

	// A registry that is down keeps the last list, over a restart of the gateway too.
	awaitKept(t, s.cache, "upstreams", f.url("b"))
	r.Process.Kill()
	g.awaitState("the registry is down", func(s live.State) bool { return s.Upstreams["v2"].Error != "" })
	only(answer("b", "v2"))
	load.end()
	g.kill()
	g = start(s)
	load = send(t, g, right)
	g.awaitState("kept", func(s live.State) bool { return s.Upstreams["v2"].Kept })
	only(answer("b", "v2"))
	r.Process.Start()
	r.Register("b", "v2", f.port(t, "b")) // Nacos forgets instances of clients that have gone
	count(1)
	only(answer("b", "v2"))

	// The last instance ends before the registry knows.
	f.instances["b"].Close()
	only(answer("v1", "v1"))
	r.Deregister("b", f.port(t, "b"))
	count(0)
	only(answer("v1", "v1"))
	load.end()
	r.Deregister("a", f.port(t, "a"))
}
