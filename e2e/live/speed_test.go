package live

import (
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/grayrelease/gray/e2e/backends"
)

var (
	compare = flag.Bool("compare", false, "print the figures of comparisons")
	writes  = flag.Int("writes", 50, "writes that are timed for each source")
)

// The time from the start of a write to the first request that it affects, as a client of the
// gateway sees it.
func TestCompareWriteToEffect(t *testing.T) {
	if !*compare {
		t.Skip("prints figures; make bench runs it")
	}
	for _, backend := range backends.All {
		t.Run(backend.Name, func(t *testing.T) {
			b := backend.Start(t)
			for _, host := range gateways {
				t.Run(host.name, func(t *testing.T) {
					f := newFleet(t, "v1", "a")
					key := host.name + ".json"
					b.Put(key, f.document("a", 0))
					g := host.start(t, settings{source: b.URL(key), fleet: f, cache: t.TempDir()})
					g.await("v1")
					report(t, "percentage", timed(g, func(i int, version string) {
						b.Put(key, f.document("a", map[string]int{"v1": 0, "a": 100}[version]))
					}))
					report(t, "kill switch", timed(g, func(i int, version string) {
						b.Put(b.Switch(key), fmt.Sprintf(`{"epoch": %d, "to": %q}`, i+1, version))
					}))
				})
			}
		})
	}
}

// timed times writes that send everybody to a and v1 by turns.
func timed(g *gateway, write func(i int, version string)) []time.Duration {
	var times []time.Duration
	for i := range *writes {
		version := []string{"a", "v1"}[i%2]
		began := time.Now()
		write(i, version)
		g.awaitAt(g.paths[0], answer(version, version))
		times = append(times, time.Since(began))
	}
	return times
}

func report(t *testing.T, what string, times []time.Duration) {
	slices.Sort(times)
	round := func(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }
	t.Logf("%s: median %v, worst of %d %v", what, round(times[len(times)/2]), len(times), round(times[len(times)-1]))
}
