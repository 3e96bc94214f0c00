package traefik_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/e2e/traefik"
)

const (
	reloads  = 500
	measured = 100 // reloads between two measurements
)

// usage is what a Traefik process holds.
type usage struct {
	goroutines int
	heap       int // bytes in use after a collection
}

func (u usage) String() string { return fmt.Sprintf("%d goroutines, %d KiB", u.goroutines, u.heap>>10) }

func measure(t *testing.T, g *traefik.Gateway) usage {
	t.Helper()
	fetch(t, g.API+"/debug/pprof/heap?gc=1")
	var variables struct {
		Memstats struct{ HeapAlloc int } `json:"memstats"`
	}
	require.NoError(t, json.Unmarshal([]byte(fetch(t, g.API+"/debug/vars")), &variables))
	first, _, _ := strings.Cut(fetch(t, g.API+"/debug/pprof/goroutine?debug=1"), "\n")
	u := usage{heap: variables.Memstats.HeapAlloc}
	_, err := fmt.Sscanf(first, "goroutine profile: total %d", &u.goroutines)
	require.NoError(t, err, first)
	return u
}

func fetch(t *testing.T, address string) string {
	t.Helper()
	response, err := http.Get(address)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return string(body)
}

// load sends requests to both modes, stable and canary, until stop is closed, and counts what went
// wrong.
type load struct {
	client http.Client
	stop   chan struct{}
	group  sync.WaitGroup
	sent   atomic.Int64
	failed atomic.Int64
	first  atomic.Value // of the failures
}

func startLoad(g *traefik.Gateway) *load {
	l := &load{stop: make(chan struct{})}
	for _, host := range []string{"header.test", "proxy.test"} {
		for _, version := range []string{"v1", "v2"} {
			l.group.Go(func() { l.run(g.URL, host, version) })
		}
	}
	return l
}

func (l *load) run(address, host, version string) {
	for {
		select {
		case <-l.stop:
			return
		default:
		}
		l.sent.Add(1)
		if problem := l.send(address, host, version); problem != "" {
			l.failed.Add(1)
			l.first.CompareAndSwap(nil, host+" "+version+": "+problem)
		}
	}
}

func (l *load) send(address, host, version string) string {
	r, err := http.NewRequest("POST", address, strings.NewReader("order"))
	if err != nil {
		return err.Error()
	}
	r.Host = host
	if version == "v2" {
		r.Header.Set("X-App-Version", "beta")
	}
	response, err := l.client.Do(r)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	if err != nil || response.Header.Get("Served-By") != version {
		return fmt.Sprint(response.Status, " by ", response.Header.Get("Served-By"), " ", err)
	}
	return ""
}

func (l *load) end() { close(l.stop); l.group.Wait(); l.client.CloseIdleConnections() }

// Each reload changes the policies, so Traefik makes new handlers of all of them.
func TestReloadsUnderLoad(t *testing.T) {
	v1, v2 := upstream(t, "v1"), upstream(t, "v2")
	configuration := func(n int) object {
		header, proxy := testers("header", v2), testers("proxy", v2)
		for _, policy := range []object{header, proxy} {
			policy["lists"] = object{"people": []any{fmt.Sprintf("u-%d", n)}}
		}
		return dynamic(
			object{
				"parent": object{"rule": "Host(`header.test`)", "middlewares": []any{"header"}},
				"stable": object{"rule": "Header(`X-Gray-Version`, `v1`)", "parentRefs": []any{"parent"}, "service": "v1"},
				"canary": object{"rule": "Header(`X-Gray-Version`, `v2`)", "parentRefs": []any{"parent"}, "service": "v2"},
				"proxy":  object{"rule": "Host(`proxy.test`)", "middlewares": []any{"proxy"}, "service": "v1"},
			},
			object{"header": gray(header), "proxy": gray(proxy)},
			object{"v1": server(v1), "v2": server(v2)},
		)
	}
	g := traefik.Start(t, traefik.Options{
		Plugins: map[string]string{"gray": root},
		Static:  object{"log": object{"level": "ERROR"}},
		Dynamic: configuration(0),
	})
	requests := startLoad(g)
	var points []usage
	for n := 1; n <= reloads; n++ {
		g.Apply(t, configuration(n))
		if n%measured == 0 {
			points = append(points, measure(t, g))
			t.Logf("after %d reloads: %v", n, points[len(points)-1])
		}
	}
	requests.end()
	t.Logf("%d requests, %d failed", requests.sent.Load(), requests.failed.Load())
	assert.Zero(t, requests.failed.Load(), "the first: %v", requests.first.Load())
	assert.True(t, g.Alive())
	assert.NotContains(t, g.Log(), "gray: ")

	// What one reload left behind would be there hundreds of times by the end.
	first, last := points[0], points[len(points)-1]
	grown := reloads - measured
	assert.Less(t, last.goroutines-first.goroutines, grown/4, "goroutines grow with reloads")
	assert.Less(t, last.heap-first.heap, grown*16<<10, "memory grows with reloads")
}
