package live

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/e2e/backends"
)

// Ten routes follow one source over reloads, by one connection and one watch. Both end when no
// route needs them.
func TestReloads(t *testing.T) {
	const first = 10
	for _, backend := range []struct {
		name  string
		start func(testing.TB) *backends.Backend
	}{{"etcd", backends.Etcd}, {"consul", backends.Consul}} {
		last := 50
		if testing.Short() && backend.name != "etcd" {
			continue
		}
		if !testing.Short() && backend.name == "etcd" {
			last = 500
		}
		t.Run(backend.name, func(t *testing.T) {
			b := backend.start(t)
			for _, host := range gateways {
				t.Run(host.name, func(t *testing.T) {
					f := newFleet(t, "v1", "a", "b")
					key := host.name + ".json"
					s := settings{source: b.URL(key), cache: t.TempDir(), fleet: f, routes: 10}
					g := host.start(t, s)
					load := sendAgain(t, g, sameVersion)
					b.Put(key, f.document("a", 100))
					g.await("a")
					var early int
					for s.edition = 1; s.edition <= last; s.edition++ {
						g.apply(s)
						version := []string{"a", "b"}[s.edition%2]
						b.Put(key, f.document(version, 100))
						g.await(version)
						if s.edition == first {
							early = g.count()
						}
					}
					late := g.count()
					now, most := b.Relay.Open()
					t.Logf("goroutines: %d after %d reloads, %d after %d; connections: %d now, %d at most; users: %d", early, first,
						late, last, now, most, g.state().Users)
					require.Less(t, late-early, (last-first)/2, "goroutines grow with reloads")
					require.Equal(t, 1, now)
					load.end()

					s.source, s.routes = "", 1
					g.apply(s)
					require.Eventually(t, func() bool { now, _ := b.Relay.Open(); return now == 0 }, patience, tick,
						"the watch ends with its last user")
				})
			}
		})
	}
}
