package traefik_test

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/e2e/bench"
	"github.com/grayrelease/gray/e2e/traefik"
)

var (
	compare = flag.Bool("compare", false, "print the figures of comparisons")
	rounds  = flag.Int("rounds", 50, "turns of each variant in a comparison")
	profile = flag.String("profile", "",
		"file for a CPU profile of Traefik during the comparison's variant that -profiled names")
	profiled = flag.String("profiled", "five", "variant that is profiled")
)

// A turn is short, so that whatever else the machine does falls on all variants alike.
const (
	turn        = 200 * time.Millisecond
	connections = 32
)

const answer = "the body of the upstream's answer"

// fiveRules is the policy whose cost is published. None of its rules matches the requests of the
// comparison, so all are checked.
func fiveRules() object {
	return cookiePolicy(
		object{"name": "testers", "version": "v2", "when": []any{"header X-App-Version = beta"}},
		object{"name": "tools", "version": "v2", "when": []any{"header User-Agent matches ^curl/[78]"}},
		object{"name": "group", "version": "v2", "when": []any{"cookie group = beta"}},
		object{"name": "office", "version": "v2", "when": []any{"ip in 10.0.0.0/8"}},
		object{"name": "ramp", "version": "v2", "percent": 10},
	)
}

func headerAndBucket() object {
	return cookiePolicy(
		object{"name": "testers", "version": "v2", "when": []any{"header X-App-Version = beta"}},
		object{"name": "ramp", "version": "v2", "percent": 10},
	)
}

func off() object {
	p := fiveRules()
	p["enabled"] = false
	return p
}

func cookiePolicy(rules ...any) object {
	return object{
		"service": "user-service", "stable": "v1", "versions": object{"v1": object{}, "v2": object{}},
		"identity": []any{"cookie uid"}, "rules": rules,
	}
}

func proxyAll(upstream string) object {
	return object{
		"mode": "proxy", "service": "user-service", "stable": "v1",
		"versions": object{"v1": object{}, "v2": object{"upstreams": []any{upstream}}},
		"rules":    []any{object{"version": "v2", "when": []any{"header Accept-Language = en"}}},
	}
}

// TestCompareSpeed compares with two plugins that do nothing: one in the form of Traefik's demo
// plugin, as most plugins are written, and the leanest possible one, a bare function like gray's
// handlers.
//
// It sends the same requests to the same router with different middlewares, in turns. Throughput is
// that of Traefik, client and upstream together, which share the machine in all variants.
func TestCompareSpeed(t *testing.T) {
	if !*compare {
		t.Skip("figures only: -compare prints them")
	}
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(upstream.Close)
	routers, middlewares := object{}, object{
		"empty": object{"plugin": object{"empty": object{"shape": "method"}}},
		"lean":  object{"plugin": object{"empty": object{"shape": "closure"}}},
		"five":  gray(fiveRules()), "bucket": gray(headerAndBucket()), "off": gray(off()),
		"proxy":        gray(proxyAll(upstream.URL)),
		"five-floor":   object{"plugin": object{"empty": object{"shape": "five"}}},
		"bucket-floor": object{"plugin": object{"empty": object{"shape": "bucket"}}},
		"proxy-floor":  object{"plugin": object{"empty": object{"shape": "proxy", "target": upstream.URL}}},
	}
	variants := []string{
		"empty", "five", "five-floor", "lean", "bucket", "bucket-floor", "off", "proxy", "proxy-floor", "plain",
	}
	for _, name := range variants {
		router := object{"rule": "Host(`" + name + ".test`)", "service": "v1"}
		if middlewares[name] != nil {
			router["middlewares"] = []any{name}
		}
		routers[name] = router
	}
	g := traefik.Start(t, traefik.Options{
		Plugins: map[string]string{"gray": root, "empty": empty},
		Static:  object{"log": object{"level": "ERROR"}},
		Dynamic: dynamic(routers, middlewares, object{"v1": server(upstream.URL)}),
	})
	require.NotContains(t, g.Log(), "gray: ")
	if *profile != "" {
		writeProfile(t, g, *profiled)
	}
	counts, cpu := map[string][]float64{}, map[string]*work{}
	for _, name := range variants {
		throughput(t, g, name) // connections, caches
		cpu[name] = &work{}
	}
	for round := range *rounds {
		for i := range variants {
			name := variants[(i+round)%len(variants)]
			before := bench.ProcessorTime(t, g.PID())
			perSecond := throughput(t, g, name)
			counts[name] = append(counts[name], perSecond)
			cpu[name].time += bench.ProcessorTime(t, g.PID()) - before
			cpu[name].requests += perSecond * turn.Seconds()
		}
	}
	report := func(name, base string) {
		t.Logf("%-12s %6.0f requests/s, %.3f of %s; Traefik's CPU time a request %v, %v more", name, median(counts[name]),
			ratio(counts[name], counts[base]), base, cpu[name].each(), cpu[name].each()-cpu[base].each())
	}
	for _, base := range []string{"empty", "lean"} {
		for _, name := range []string{"off", "five", "five-floor", "bucket", "bucket-floor"} {
			report(name, base)
		}
	}
	for _, name := range []string{"empty", "proxy", "proxy-floor"} {
		report(name, "plain")
	}
}

// work is the work of Traefik for a variant. Unlike throughput, it hardly depends on the load of
// the machine.
type work struct {
	time     time.Duration
	requests float64
}

func (w *work) each() time.Duration {
	return time.Duration(float64(w.time) / w.requests).Round(100 * time.Nanosecond)
}

// ratio is the median of the rounds' ratios.
func ratio(of, to []float64) float64 {
	ratios := make([]float64, len(of))
	for i := range of {
		ratios[i] = of[i] / to[i]
	}
	return median(ratios)
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// throughput is how many requests a second are answered during one turn.
func throughput(t *testing.T, g *traefik.Gateway, name string) float64 {
	t.Helper()
	request := []byte("GET /orders/17?page=2 HTTP/1.1\r\nHost: " + name +
		".test\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: */*\r\n" +
		"Accept-Language: en\r\nX-App-Version: 2.1.0\r\nCookie: theme=dark; uid=u-1001; group=control\r\n\r\n")
	var group sync.WaitGroup
	done := make([]int, connections)
	problems := make([]error, connections)
	start := time.Now()
	for i := range connections {
		group.Go(func() { done[i], problems[i] = ask(g.URL, request, start.Add(turn)) })
	}
	group.Wait()
	elapsed := time.Since(start).Seconds()
	total := 0
	for i := range connections {
		require.NoError(t, problems[i])
		total += done[i]
	}
	return float64(total) / elapsed
}

// ask repeats a request on one connection until a time and counts the answers.
func ask(address string, request []byte, until time.Time) (int, error) {
	conn, err := net.Dial("tcp", strings.TrimPrefix(address, "http://"))
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	buffer := make([]byte, 4096)
	for n := 0; ; n++ {
		if time.Now().After(until) {
			return n, nil
		}
		if _, err := conn.Write(request); err != nil {
			return n, err
		}
		got := 0
		for !bytes.HasSuffix(buffer[:got], []byte(answer)) {
			m, err := conn.Read(buffer[got:])
			if err != nil {
				return n, err
			}
			got += m
		}
		if !bytes.HasPrefix(buffer, []byte("HTTP/1.1 200")) {
			return n, fmt.Errorf("answered %q", buffer[:got])
		}
	}
}

// writeProfile has Traefik profile itself while it answers one variant's requests.
func writeProfile(t *testing.T, g *traefik.Gateway, name string) {
	t.Helper()
	stop := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				throughput(t, g, name)
			}
		}
	})
	text := fetch(t, g.API+"/debug/pprof/profile?seconds=10")
	close(stop)
	group.Wait()
	require.NoError(t, os.WriteFile(*profile, []byte(text), 0o644))
}
