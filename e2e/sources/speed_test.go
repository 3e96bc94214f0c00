package sources

import (
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/e2e/backends"
	"github.com/grayrelease/gray/e2e/sources/gateway"
	"github.com/grayrelease/gray/e2e/yaegi"
)

var (
	compare = flag.Bool("compare", false, "print the figures of comparisons")
	writes  = flag.Int("writes", 200, "writes that are timed for each source")
)

func comparing(t *testing.T) {
	if !*compare {
		t.Skip("prints figures; make bench runs it")
	}
}

// From the start of a write to the first request that is decided by it, as a client sees it.
func TestCompareWriteToEffect(t *testing.T) {
	comparing(t)
	for _, mode := range modes {
		load := mode.load(t)
		for _, each := range backends.All {
			t.Run(mode.name+"/"+each.Name, func(t *testing.T) {
				s := each.Start(t)
				s.Put("timed", document("start", 0))
				h := start(t, load, s.URL("timed"), "")
				h.await("v1")
				report(t, "percentage", timed(h, func(i int, version string) {
					s.Put("timed", document(fmt.Sprint("mark-", i), map[string]int{"v1": 0, "v2": 100}[version]))
				}))
				report(t, "kill switch", timed(h, func(i int, version string) {
					s.Put(s.Switch("timed"), fmt.Sprintf(`{"epoch": %d, "to": %q}`, i+1, version))
				}))
				h.close()
			})
		}
	}
}

// timed times writes that send everybody to v2 and v1 by turns.
func timed(h *host, write func(i int, version string)) []time.Duration {
	var times []time.Duration
	for i := range *writes {
		version := []string{"v2", "v1"}[i%2]
		began := time.Now()
		write(i, version)
		h.await(version)
		times = append(times, time.Since(began))
	}
	return times
}

// From a write to etcd until the last of fifty gateways, each with a watch of its own, follows.
func TestCompareFiftyGateways(t *testing.T) {
	comparing(t)
	s := backends.Etcd(t)
	s.Put("fifty", document("start", 0))
	var hosts []*host
	for range 50 {
		h := start(t, gateway.New, s.URL("fifty"), t.TempDir())
		h.await("v1")
		hosts = append(hosts, h)
	}
	var times []time.Duration
	for i := range *writes {
		version := []string{"v2", "v1"}[i%2]
		began := time.Now()
		s.Put(s.Switch("fifty"), fmt.Sprintf(`{"epoch": %d, "to": %q}`, i+1, version))
		var group sync.WaitGroup
		for _, h := range hosts {
			group.Go(func() { h.await(version) })
		}
		group.Wait()
		times = append(times, time.Since(began))
	}
	report(t, "kill switch, last of 50 gateways", times)
}

func report(t *testing.T, what string, times []time.Duration) {
	slices.Sort(times)
	round := func(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }
	t.Logf("%s: median %v, worst of %d %v", what, round(times[len(times)/2]), len(times), round(times[len(times)-1]))
}

// Requests through a gateway whose policy is watched, beside one whose policy is fixed.
func TestCompareRequestPath(t *testing.T) {
	comparing(t)
	s := backends.Etcd(t)
	s.Put("path", document("path", 50))
	h := start(t, gateway.New, s.URL("path"), "")
	require.Eventually(t, func() bool { return h.state().Updates == 1 }, patience, time.Millisecond)
	static, err := gateway.Static(document("path", 50))
	require.NoError(t, err)
	send := func(handle func(http.ResponseWriter, *http.Request)) func() {
		w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)
		return func() { handle(w, r) }
	}
	timings := yaegi.Compare(101, 30000, yaegi.Variant{Name: "fixed", Op: send(static)},
		yaegi.Variant{Name: "watched", Op: send(h.handle)})
	t.Logf("\n%sratio %.3f", timings, float64(timings[0].PerOp)/float64(timings[1].PerOp))
}
