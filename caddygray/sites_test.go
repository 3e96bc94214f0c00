package caddygray_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/stretchr/testify/require"
)

// answering is a proxy's transport that writes each request to nowhere and answers at once.
type answering struct{}

func init() { caddy.RegisterModule(answering{}) }

// CaddyModule returns the Caddy module information.
func (answering) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.reverse_proxy.transport.answering",
		New: func() caddy.Module { return new(answering) },
	}
}

// UnmarshalCaddyfile sets up the transport from Caddyfile tokens.
func (*answering) UnmarshalCaddyfile(d *caddyfile.Dispenser) error { d.Next(); return nil }

// RoundTrip answers.
func (*answering) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Write(io.Discard); err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header:        http.Header{"Content-Type": {"text/plain"}, "Content-Length": {"2"}},
		ContentLength: 2, Body: io.NopCloser(strings.NewReader("ok")),
	}, nil
}

// nowhere is where responses go.
type nowhere struct{ header http.Header }

func (w nowhere) Header() http.Header       { return w.header }
func (nowhere) WriteHeader(int)             {}
func (nowhere) Write(p []byte) (int, error) { return len(p), nil }

// sites do the same for a request of a browser, by what they are named after. The first is a proxy
// without versions, and the second the same once more: how far the two are apart shows how far to
// trust the rest. The floor does by Caddy's own means what is to be seen of gray, and nothing else.
var sites = map[string]string{
	"plain": "reverse_proxy 127.0.0.1:1 {\n@transport\n}",
	"again": "reverse_proxy 127.0.0.1:1 {\n@transport\n}",
	"floor": "request_header X-Gray-Version v1\n" +
		"reverse_proxy 127.0.0.1:1 127.0.0.1:2 {\nlb_policy weighted_round_robin 95 5\n@transport\n}",
	"gray": "gray five {\n" + fourRules + "rule ramp v2 {\npercent 5\n}\n}\n" +
		"reverse_proxy {\ndynamic gray\n@transport\n}",
	"guards": "gray guarded {\n" + fourRules + guardedRamp + "}\nreverse_proxy {\ndynamic gray\n@transport\n}",
	"cel": `@v2 expression <<CEL
		{http.request.header.X-App-Version} == "beta" ||
		({http.request.cookie.role} in ["staff", "qa"] && {http.request.header.X-Device} != "kiosk") ||
		client_ip("10.0.0.0/8", "2001:db8::/32") ||
		{http.request.header.X-App-Version}.matches("^(2\\.([3-9]|[1-9][0-9]+)|[3-9]|[1-9][0-9]+)\\.")
		CEL
		reverse_proxy @v2 127.0.0.1:2 {
			@transport
		}
		reverse_proxy 127.0.0.1:1 {
			@transport
		}`,
}

const (
	fourRules = `
		stable v1
		version v1 127.0.0.1:1
		version v2 127.0.0.1:2
		identity cookie uid, ip
		rule testers v2 {
			when header X-App-Version = beta
		}
		rule staff v2 {
			when cookie role in staff, qa
			when not header X-Device = kiosk
		}
		rule office v2 {
			when ip in 10.0.0.0/8, 2001:db8::/32
		}
		rule new-app v2 {
			when header X-App-Version semver >=2.3.0
		}
	`
	guardedRamp = `
		rule ramp v2
		rollout ramp {
			step 5% for 1000h
			guard errors
			guard latency p90
			guard errors < 2%
		}
	`
	browser = "GET /cart?item=42 HTTP/1.1\r\nHost: shop.test\r\n" +
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n" +
		"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\n" +
		"Accept-Encoding: gzip, deflate, br, zstd\r\nConnection: keep-alive\r\n" +
		"Cookie: theme=dark; session=3f0e8a6c51d94b7e; uid=u-%d\r\nX-App-Version: 2.2.9\r\n" +
		"Upgrade-Insecure-Requests: 1\r\nSec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\n" +
		"Sec-Fetch-Site: same-origin\r\nSec-Fetch-User: ?1\r\nPriority: u=0, i\r\n\r\n"
)

// BenchmarkSites is what Caddy does for a request under each of sites, without any network: from
// the bytes of the request to the answer, on two goroutines. It reports memory, and how much more
// processor time each takes than the mean of the two plain ones, as the median of many short turns.
func BenchmarkSites(b *testing.B) {
	servers := startSites(b)
	names := slices.Sorted(maps.Keys(servers))
	var requests [1000][]byte
	for i := range requests {
		requests[i] = fmt.Appendf(nil, browser, rand.N(100_000))
	}
	serve := func(name string, n int) {
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() { serveAll(b, servers[name], requests[:n]) })
		}
		both.Wait()
	}
	bytesOf, allocations := map[string]uint64{}, map[string]uint64{}
	for _, name := range names {
		serve(name, len(requests)) // to warm up
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range 10 {
			serve(name, len(requests))
		}
		runtime.ReadMemStats(&after)
		count := uint64(20 * len(requests))
		bytesOf[name] = (after.TotalAlloc - before.TotalAlloc) / count
		allocations[name] = (after.Mallocs - before.Mallocs) / count
	}
	for range b.N {
		took, more := map[string][]float64{}, map[string][]float64{}
		for range 60 {
			spent := map[string]float64{}
			for range 4 { // short turns: the machine's mood changes
				rand.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
				for _, name := range names {
					before := processorTime(b)
					serve(name, 500)
					spent[name] += float64((processorTime(b) - before).Nanoseconds()) / 4000
				}
			}
			for _, name := range names {
				took[name] = append(took[name], spent[name])
				more[name] = append(more[name], spent[name]-(spent["plain"]+spent["again"])/2)
			}
		}
		slices.Sort(names)
		text := ""
		for _, name := range names {
			text += fmt.Sprintf("\n%-6s %6.1f us, %4.1f more than plain, %d bytes in %d allocations", name,
				middle(took[name])/1000, middle(more[name])/1000, bytesOf[name], allocations[name])
		}
		b.Log(text)
	}
	b.ReportMetric(0, "ns/op")
}

// startSites runs Caddy with all sites. It returns the server of each.
func startSites(b *testing.B) map[string]*caddyhttp.Server {
	ports := map[string]string{}
	config := ""
	for name, site := range sites {
		_, port, err := net.SplitHostPort(freeAddress(b))
		require.NoError(b, err)
		ports[name] = ":" + port
		config += "http://:" + port + " {\n" + strings.ReplaceAll(site, "@transport", "transport answering") + "\n}\n"
	}
	startCaddyfile(b, config)
	app, err := caddy.ActiveContext().App("http")
	require.NoError(b, err)
	servers := map[string]*caddyhttp.Server{}
	for _, server := range app.(*caddyhttp.App).Servers {
		for name, port := range ports {
			if strings.HasSuffix(server.Listen[0], port) {
				servers[name] = server
			}
		}
	}
	require.Len(b, servers, len(sites))
	return servers
}

// serveAll has a server answer requests, as one connection has.
func serveAll(b *testing.B, server *caddyhttp.Server, requests [][]byte) {
	ctx := context.WithValue(context.Background(), http.ServerContextKey, &http.Server{})
	ctx = context.WithValue(ctx, http.LocalAddrContextKey, net.Addr(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80}))
	input := bytes.NewReader(nil)
	buffered := bufio.NewReader(input)
	for _, request := range requests {
		input.Reset(request)
		buffered.Reset(input)
		r, err := http.ReadRequest(buffered)
		if err != nil {
			b.Error(err)
			return
		}
		r.RemoteAddr = "203.0.113.7:5555"
		ctx, done := context.WithCancel(ctx)
		w := nowhere{http.Header{}}
		server.ServeHTTP(w, r.WithContext(ctx))
		done()
		if w.header.Get("Content-Type") != "text/plain" {
			b.Error("not answered by the transport: ", w.header)
			return
		}
	}
}

// processorTime is what the process has had.
func processorTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func middle(figures []float64) float64 {
	figures = slices.Sorted(slices.Values(figures))
	return figures[len(figures)/2]
}
