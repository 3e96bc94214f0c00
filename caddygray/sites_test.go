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

	"github.com/grayrelease/gray/internal/caddysites"
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

// BenchmarkSites is what Caddy does for a request in each of caddysites' ways, without any network:
// from the bytes of the request to the answer, on two goroutines. Two are there with ten instances
// of v1 too. It reports memory, and how much more processor time each takes than the mean of the
// two plain ones, as the median of many short turns.
func BenchmarkSites(b *testing.B) {
	servers := startSites(b)
	names := slices.Sorted(maps.Keys(servers))
	var requests [1000][]byte
	for i := range requests {
		requests[i] = fmt.Appendf(nil, caddysites.Browser, "shop.test", rand.N(100_000))
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
			if name == "again" {
				continue // it is as far from the mean as the other
			}
			text += fmt.Sprintf("\n%-11s %6.1f us, %4.1f more than plain, %d bytes in %d allocations", name,
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
	ways := caddysites.Ways("127.0.0.1:1", "127.0.0.1:2", "transport answering")
	ten := ""
	for i := range 10 {
		ten += fmt.Sprintf(" 127.0.0.1:%d", i+3)
	}
	ofTen := caddysites.Ways(ten, "127.0.0.1:2", "transport answering")
	ways["plain of 10"], ways["gray of 10"] = ofTen["plain"], ofTen["gray"]
	for name, way := range ways {
		_, port, err := net.SplitHostPort(freeAddress(b))
		require.NoError(b, err)
		ports[name] = ":" + port
		config += "http://:" + port + " {\n" + way + "}\n"
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
	require.Len(b, servers, len(ports))
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
