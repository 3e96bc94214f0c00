package caddy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/e2e/bench"
	"github.com/grayrelease/gray/e2e/servers"
)

func TestMain(m *testing.M) {
	RunUpstream()
	code := m.Run()
	RemoveBinary()
	os.Exit(code)
}

const rate = 1000 // requests a second

// phase is how long a load lasts before and after what happens to it.
func phase() time.Duration {
	if testing.Short() {
		return time.Second
	}
	return 5 * time.Second
}

// release is a Caddyfile that sends callers with an even X-User to v2, in the simple form of the
// documentation.
func release(address string, v1, v2 []*instance) string {
	return fmt.Sprintf(`
http://%s {
	gray shop {
		stable v1
		version v1 %s
		version v2 %s
		identity header X-User
		rule testers v2 {
			when header X-User suffix 0
		}
	}
	reverse_proxy {
		dynamic gray
	}
}
`, address, addresses(v1), addresses(v2))
}

func addresses(instances []*instance) string {
	var list []string
	for _, i := range instances {
		list = append(list, i.address)
	}
	return strings.Join(list, " ")
}

// results is what clients see.
type results struct {
	mu       sync.Mutex
	failures []string
	served   map[string]int // by upstream
	answered map[string]bool

	again   bool // after a connection was dropped without a response
	dropped atomic.Int64
}

func newResults() *results { return &results{served: map[string]int{}, answered: map[string]bool{}} }

var client = newClient(512)

func newClient(connections int) *http.Client {
	return &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: connections}}
}

// send makes a request for v2 and notes how it goes.
func (r *results) send(method, url, id string) { r.sendBy(client, method, url, id) }

func (r *results) sendBy(client *http.Client, method, url, id string) {
	req, err := http.NewRequest(method, url, strings.NewReader(id))
	if method == http.MethodGet {
		req, err = http.NewRequest(method, url, nil)
	}
	if err != nil {
		r.fail(err.Error())
		return
	}
	req.Header.Set("X-User", "u-10")
	res, err := client.Do(req)
	if err != nil && r.again && errors.Is(err, io.EOF) {
		r.dropped.Add(1)
		res, err = client.Do(req)
	}
	if err != nil {
		r.fail(err.Error())
		return
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		r.fail(fmt.Sprint(res.StatusCode, " ", err))
		return
	}
	name, _, _ := strings.Cut(string(body), " ")
	r.mu.Lock()
	defer r.mu.Unlock()
	r.served[name]++
	r.answered[id] = true
}

func (r *results) fail(why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, why)
}

func TestOneGrayUpstreamKilled(t *testing.T) {
	v1 := []*instance{startUpstream(t, "v1")}
	v2 := []*instance{startUpstream(t, "v2a"), startUpstream(t, "v2b")}
	address := servers.FreeAddress(t)
	g := startGateway(t, address, release(address, v1, v2))

	ctx, stop := context.WithTimeout(context.Background(), 2*phase())
	defer stop()
	killed := time.AfterFunc(phase(), v2[0].kill)
	defer killed.Stop()
	got := newResults()
	sent := bench.AtRate(ctx, rate, func(int64) { got.send(http.MethodGet, "http://"+address, "") })

	require.Empty(t, got.failures, "of %d", sent)
	require.Positive(t, got.served["v2a"])
	require.Zero(t, got.served["v1"], "the other gray upstream served")
	require.Zero(t, g.metric("caddy_gray_fallbacks_total"))
	require.InDelta(t, sent, g.metric("caddy_gray_decisions_total", `rule="testers"`), 0)
	t.Log(sent, "requests:", got.served)
}

func TestKilledUpstreamComesBack(t *testing.T) {
	v1 := []*instance{startUpstream(t, "v1")}
	v2 := []*instance{startUpstream(t, "v2")}
	address := servers.FreeAddress(t)
	startGateway(t, address, release(address, v1, v2))
	ask := func() string {
		got := newResults()
		got.send(http.MethodGet, "http://"+address, "")
		require.Empty(t, got.failures)
		for name := range got.served {
			return name
		}
		return ""
	}
	require.Equal(t, "v2", ask())
	v2[0].kill()
	require.Equal(t, "v1", ask())
	v2[0].start(t)
	require.Eventually(t, func() bool { return ask() == "v2" }, 20*time.Second, 100*time.Millisecond)
}

func TestAllGrayUpstreamsKilled(t *testing.T) {
	v1 := []*instance{startUpstream(t, "v1")}
	v2 := []*instance{startUpstream(t, "v2a"), startUpstream(t, "v2b")}
	address := servers.FreeAddress(t)
	g := startGateway(t, address, release(address, v1, v2))

	ctx, stop := context.WithTimeout(context.Background(), 2*phase())
	defer stop()
	var dead atomic.Bool
	killed := time.AfterFunc(phase(), func() {
		v2[0].kill()
		v2[1].kill()
		dead.Store(true)
	})
	defer killed.Stop()
	gets, posts, after := newResults(), newResults(), newResults()
	sent := bench.AtRate(ctx, rate, func(n int64) {
		switch {
		case n%4 == 0:
			posts.send(http.MethodPost, "http://"+address, strconv.FormatInt(n, 10))
		case dead.Load():
			after.send(http.MethodGet, "http://"+address, "")
		default:
			gets.send(http.MethodGet, "http://"+address, "")
		}
	})

	require.Empty(t, gets.failures, "of %d", sent)
	require.Empty(t, after.failures, "of %d", sent)
	require.Len(t, after.served, 1)
	require.Positive(t, after.served["v1"])
	fallbacks := gets.served["v1"] + after.served["v1"] + posts.served["v1"]
	require.EqualValues(t, fallbacks, g.metric("caddy_gray_fallbacks_total", `version="v2"`))

	read := map[string]int{}
	for _, i := range append(v1, v2...) {
		for id, times := range i.posts(t) {
			read[id] += times
		}
	}
	for id, times := range read {
		require.Equal(t, 1, times, "POST %s was read by upstreams more than once", id)
	}
	for id := range posts.answered {
		require.Equal(t, 1, read[id], "POST %s was answered and not read", id)
	}
	t.Logf("%d requests, %d fallbacks; of %d POST requests %d failed: %v", sent, fallbacks,
		len(posts.answered)+len(posts.failures), len(posts.failures), first(posts.failures, 3))
}

func first(list []string, n int) []string { return list[:min(n, len(list))] }

// TestReloads reloads Caddy under load, each time with another policy.
//
// Caddy inherits its socket. It opens its own sockets anew for each configuration, and the kernel
// then resets the connections that wait in the old queue. One loss remains: when Go's server begins
// to shut down, it drops connections that it has just accepted, about one in twenty thousand
// requests here. Such a request has reached no handler, so it is sent again, as load balancers do.
// Every request that reaches gray must be answered.
func TestReloads(t *testing.T) {
	v1 := []*instance{startUpstream(t, "v1")}
	v2 := []*instance{startUpstream(t, "v2")}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	socket, err := listener.(*net.TCPListener).File()
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	defer socket.Close()
	address := listener.Addr().String()
	caddyfile := strings.Replace(release(address, v1, v2), "{", "{\n\tbind fd/3", 1)
	g := startGateway(t, address, caddyfile, socket)
	reloads := 200
	if testing.Short() {
		reloads = 20
	}

	var workers [50]*http.Client
	for i := range workers {
		workers[i] = newClient(1)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	got := newResults()
	got.again = true
	var done sync.WaitGroup
	var sent int64
	var returned atomic.Int64
	done.Go(func() {
		sent = bench.Paced(ctx, len(workers), rate, func(worker int) {
			got.sendBy(workers[worker], http.MethodGet, "http://"+address, "")
			returned.Add(1)
		})
	})
	for i := range reloads {
		require.NoError(t, g.reload(strings.Replace(caddyfile, "suffix 0", "suffix "+strconv.Itoa(i%2), 1)))
		served := returned.Load()
		require.Eventually(t, func() bool { return returned.Load() > served+2*int64(len(workers)) }, 20*time.Second,
			time.Millisecond, "requests by this policy")
	}
	stop()
	done.Wait()
	require.Empty(t, got.failures, "of %d", sent)
	require.EqualValues(t, sent, g.metric("caddy_gray_decisions_total"),
		"each request was decided once, and counters go on over reloads")
	require.EqualValues(t, sent, g.metric("caddy_gray_responses_total", `class="2xx"`))
	require.Len(t, got.served, 2)
	t.Log(reloads, "reloads,", sent, "requests,", got.dropped.Load(), "connections dropped:", got.served)
}
