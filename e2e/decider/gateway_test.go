package decider

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/e2e/bench"
)

// gateway is a gateway that asks a decision server for the service shop.
type gateway struct {
	t       *testing.T
	address string
	server  *server
	limits
}

// limits are what a gateway cannot do.
type limits struct {
	noCookieUpstream bool // a new identity's cookie is not in the request to the upstream
	noPrivate        bool // a response with a new cookie does not say that it is private
}

// answer is what a client gets.
type answer struct {
	*http.Response
	seen
}

// send sends a request with its header lines.
func (g *gateway) send(method, target string, lines ...string) answer {
	g.t.Helper()
	return g.sendBody(method, target, "", lines...)
}

func (g *gateway) sendBody(method, target, body string, lines ...string) answer {
	g.t.Helper()
	host := "shop.example.com"
	for _, line := range lines {
		if h, ok := strings.CutPrefix(line, "Host: "); ok {
			host = h
		}
	}
	raw := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n", method, target, host, len(body))
	for _, line := range lines {
		if !strings.HasPrefix(line, "Host: ") {
			raw += line + "\r\n"
		}
	}
	res, text := exchange(g.t, g.address, method, []byte(raw+"\r\n"+body))
	a := answer{Response: res}
	require.Equal(g.t, http.StatusOK, res.StatusCode, "%s", text)
	require.NoError(g.t, json.Unmarshal(text, &a.seen), "%s", text)
	return a
}

// exchange sends bytes as they are and reads the response.
func exchange(t testing.TB, address, method string, request []byte) (*http.Response, []byte) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	_, err = conn.Write(request)
	require.NoError(t, err)
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res, body
}

// awaitServing waits until the gateway has its configuration.
func (g *gateway) awaitServing() {
	g.t.Helper()
	require.Eventually(g.t, func() bool {
		res, err := http.Get("http://" + g.address + "/")
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.Header.Get("Served-By") != ""
	}, time.Minute, 20*time.Millisecond)
}

// version checks that an upstream was told of the version that it is, once, and of no other.
func (a answer) version(t *testing.T, want string) {
	t.Helper()
	assert.Equal(t, want, a.seen.Version)
	assert.Equal(t, []string{want}, a.seen.Header["X-Gray-Version"])
	carried := want
	if want == "v1" || want == "c1" { // the stable versions of shop and cart
		carried = ""
	}
	assert.Equal(t, carried, core.CarriedVersion(a.seen.Header["Baggage"]))
	for name, values := range a.seen.Header {
		if strings.EqualFold(strings.ReplaceAll(name, "_", "-"), "X-Gray-Version") {
			assert.Equal(t, []string{want}, values, name)
		}
		assert.NotContains(t, []string{"X-Gray-Rule", "X-Gray-Mistake", "X-Gray-Second-Cookie"}, name)
	}
}

// check checks what holds in every gateway.
func (g *gateway) check() {
	t := g.t
	t.Run("version", func(t *testing.T) {
		g.t = t
		for _, c := range []struct {
			name, method, target string
			lines                []string
			want                 string
		}{
			{"nobody", "GET", "/", nil, "v1"},
			{"tester", "GET", "/a%20b?x=%2F", []string{"X-App-Version: beta"}, "v2"},
			{"method", "PUT", "/", nil, "v2"},
			{"query", "GET", "/?a=%C3%A9%26", nil, "v2"},
			{"lines", "GET", "/", []string{"X-List: one", "X-List: two"}, "v2"},
			{"claimed version", "GET", "/", []string{"X-Gray-Version: v2"}, "v1"},
			{"claimed twice", "GET", "/", []string{"X-Gray-Version: v2", "x-gray-version: v2"}, "v1"},
			{"claimed with underscores", "GET", "/", []string{"X_Gray_Version: v2", "X-Gray_Version: v2"}, "v1"},
			{"claimed member", "GET", "/", []string{"Baggage: a=1,gray=v2"}, "v1"},
			{"claimed client", "GET", "/", []string{"X-Forwarded-For: 198.51.100.1", "X-Real-IP: 198.51.100.1"}, "v1"},
			{"claimed method", "GET", "/", []string{"X-Forwarded-Method: PUT"}, "v1"},
			{"claimed target", "GET", "/", []string{"X-Forwarded-Uri: /?a=%C3%A9%26"}, "v1"},
			{"claimed host", "GET", "/", []string{"X-Forwarded-Host: beta.example.com"}, "v1"},
			{"claimed answer", "GET", "/", []string{"X-Envoy-Auth-Failure-Mode-Allowed: true", "X-App-Version: beta"}, "v2"},
			{"hidden version", "GET", "/", []string{"X-App-Version: beta", "Connection: X-Gray-Version, Baggage"}, "v2"},
		} {
			t.Run(c.name, func(t *testing.T) {
				g.t = t
				a := g.send(c.method, c.target, c.lines...)
				a.version(t, c.want)
				assert.Equal(t, c.target, a.URI)
				assert.Equal(t, c.method, a.seen.Method)
				if c.want == "v1" {
					assert.NotContains(t, a.seen.Header.Get("Baggage"), "v2")
				}
			})
		}
	})
	t.Run("rest", func(t *testing.T) {
		g.t = t
		a := g.sendBody("POST", "/", "some text", "X-App-Version: beta", "Content-Type: text/plain",
			"Baggage: a=1;p,gray=x, b=2")
		a.version(t, "v2")
		assert.Equal(t, "some text", a.seen.Body)
		assert.Equal(t, "text/plain", a.seen.Header.Get("Content-Type"))
		assert.Equal(t, "a=1;p, b=2,gray=v2", strings.ReplaceAll(a.seen.Header.Get("Baggage"), ",b", ", b"))
	})
	t.Run("cookie", func(t *testing.T) {
		g.t = t
		a := g.send("GET", "/ramp", "Cookie: own=1")
		a.version(t, "v2")
		require.Len(t, a.Cookies(), 1)
		id := a.Cookies()[0]
		assert.Equal(t, "gray_id", id.Name)
		if !g.noPrivate {
			assert.Contains(t, strings.Join(a.Response.Header["Cache-Control"], ","), "private")
		}
		assert.Contains(t, a.seen.Header.Get("Cookie"), "own=1")
		if !g.noCookieUpstream {
			assert.Contains(t, a.seen.Header.Get("Cookie"), "gray_id="+id.Value)
		}
		again := g.send("GET", "/ramp", "Cookie: own=1; gray_id="+id.Value)
		again.version(t, "v2")
		assert.Empty(t, again.Cookies())
		assert.Equal(t, "own=1; gray_id="+id.Value, again.seen.Header.Get("Cookie"))
		assert.Equal(t, []string{"max-age=60"}, again.Response.Header["Cache-Control"])
	})
	g.t = t
	t.Run("away", func(t *testing.T) {
		g.t = t
		g.checkAway()
	})
	g.t = t
}

// stable checks that stable serves whoever claims something else, and hears of no version.
func (g *gateway) stable() {
	t := g.t
	t.Helper()
	for _, lines := range [][]string{nil, {"X-App-Version: beta"},
		{"X-Gray-Version: v2", "X_Gray_Version: v2", "Baggage: gray=v2,a=1"}} {
		a := g.sendBody("POST", "/?b=1", "text", lines...)
		assert.Equal(t, "v1", a.seen.Version)
		assert.Equal(t, "text", a.seen.Body)
		assert.Equal(t, "/?b=1", a.URI)
		for name, values := range a.seen.Header {
			if strings.EqualFold(strings.ReplaceAll(name, "_", "-"), "X-Gray-Version") {
				assert.Equal(t, []string{"v1"}, values, name)
			}
		}
		assert.NotContains(t, strings.Join(a.seen.Header["Baggage"], ","), "gray=v2")
	}
}

// checkAway kills, stops and restarts the decision server under load. Each request is served, by
// the version that was decided or else by stable.
func (g *gateway) checkAway() {
	t := g.t
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var counts struct{ v1, v2, failed atomic.Int64 }
	var slowest atomic.Int64
	var failure atomic.Value
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}
	defer client.CloseIdleConnections()
	one := func(int) {
		r, err := http.NewRequest("POST", "http://"+g.address+"/x", bytes.NewReader([]byte("text")))
		if err != nil {
			return
		}
		r.Host = "shop.example.com"
		r.Header.Set("X-App-Version", "beta")
		began := time.Now()
		res, err := client.Do(r)
		took := time.Since(began)
		for before := slowest.Load(); int64(took) > before && !slowest.CompareAndSwap(before, int64(took)); {
			before = slowest.Load()
		}
		if err != nil {
			counts.failed.Add(1)
			failure.Store(err.Error())
			return
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		switch {
		case res.StatusCode == http.StatusOK && res.Header.Get("Served-By") == "v2":
			counts.v2.Add(1)
		case res.StatusCode == http.StatusOK && res.Header.Get("Served-By") == "v1":
			counts.v1.Add(1)
		default:
			counts.failed.Add(1)
			failure.Store(fmt.Sprint(res.StatusCode, " ", string(body)))
		}
	}
	var load sync.WaitGroup
	load.Go(func() { bench.Paced(ctx, 8, 400, one) })
	awaitMore := func(count *atomic.Int64, what string) {
		t.Helper()
		from := count.Load()
		require.Eventually(t, func() bool { return count.Load() > from+20 }, 30*time.Second, 5*time.Millisecond, what)
	}
	awaitMore(&counts.v2, "v2 serves")
	g.server.Kill()
	awaitMore(&counts.v1, "stable serves without a decision server")
	g.stable()
	g.server.Start()
	awaitMore(&counts.v2, "v2 serves again")
	g.server.Signal(syscall.SIGSTOP)
	awaitMore(&counts.v1, "stable serves while the decision server hangs")
	g.stable()
	g.server.Signal(syscall.SIGCONT)
	awaitMore(&counts.v2, "v2 serves again")
	g.server.Signal(syscall.SIGTERM)
	awaitMore(&counts.v1, "stable serves after the end")
	g.server.Kill()
	g.server.Start()
	awaitMore(&counts.v2, "v2 serves again")
	cancel()
	load.Wait()
	t.Logf("%d requests to v2, %d to stable, %d failed; the slowest took %s", counts.v2.Load(), counts.v1.Load(),
		counts.failed.Load(), time.Duration(slowest.Load()).Round(time.Millisecond))
	assert.Zero(t, counts.failed.Load(), "%v", failure.Load())
}
