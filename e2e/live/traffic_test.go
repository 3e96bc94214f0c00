package live

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// fleet is the upstreams, by name.
type fleet struct{ instances map[string]*httptest.Server }

// newFleet starts upstreams. They answer with their name, and with the version that the gateway
// named.
func newFleet(t testing.TB, names ...string) *fleet {
	f := &fleet{instances: map[string]*httptest.Server{}}
	for _, name := range names {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, answer(name, strings.Join(r.Header["X-Gray-Version"], "+")))
		}))
		t.Cleanup(s.Close)
		f.instances[name] = s
	}
	return f
}

func (f *fleet) url(name string) string { return f.instances[name].URL }

func (f *fleet) port(t testing.TB, name string) int {
	_, port, err := net.SplitHostPort(f.instances[name].Listener.Addr().String())
	require.NoError(t, err)
	n, err := strconv.Atoi(port)
	require.NoError(t, err)
	return n
}

func answer(instance, version string) string { return instance + " as " + version }

// document returns a policy with one version beside stable, served by the instance of the same
// name. If parts of two documents were mixed, an instance would be asked for a version other than
// its own.
func (f *fleet) document(version string, percent int) string {
	return fmt.Sprintf(`{"service": "shop", "stable": "v1",
		"versions": {"v1": {"upstreams": [%q]}, %q: {"upstreams": [%q]}},
		"identity": ["header X-User", "ip"], "rules": [{"name": "ramp", "version": %q, "percent": %d}]}`,
		f.url("v1"), version, f.url(version), version, percent)
}

// get returns status 0 and the error when there is no answer.
func get(client *http.Client, url, user string) (status int, body string) {
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return 0, err.Error()
	}
	if user != "" {
		r.Header.Set("X-User", user)
	}
	response, err := client.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(text)
}

// traffic is requests to all routes of a gateway, one every few milliseconds.
type traffic struct {
	t       testing.TB
	client  http.Client
	done    chan struct{}
	ended   chan struct{}
	once    sync.Once
	again   bool // send again what was not answered at all
	sent    int
	resent  int
	failed  int
	problem string // the first
}

// send starts to send requests. Each must be answered, by an instance of the version that the
// policy names.
func send(t testing.TB, g *gateway, right func(body string) bool) *traffic {
	return begin(t, g, right, false)
}

// sendAgain is like send, for gateways that reload: when Go's server begins to shut down, it drops
// connections that it has just accepted. A request on one of these has reached no handler and is
// sent again.
func sendAgain(t testing.TB, g *gateway, right func(body string) bool) *traffic {
	return begin(t, g, right, true)
}

func begin(t testing.TB, g *gateway, right func(body string) bool, again bool) *traffic {
	l := &traffic{t: t, again: again, done: make(chan struct{}), ended: make(chan struct{}),
		client: http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{}}}
	go func() {
		defer close(l.ended)
		for tick := time.NewTicker(3 * time.Millisecond); ; {
			select {
			case <-l.done:
				tick.Stop()
				l.client.CloseIdleConnections()
				return
			case <-tick.C:
			}
			path := g.paths[l.sent%len(g.paths)]
			l.sent++
			status, body := get(&l.client, g.url+path, "")
			for tries := 0; status == 0 && l.again && tries < 3; tries++ {
				l.resent++
				status, body = get(&l.client, g.url+path, "")
			}
			if status != http.StatusOK || !right(body) {
				l.failed++
				if l.problem == "" {
					l.problem = fmt.Sprintf("%s %s: %d %q", time.Now().Format(time.StampMilli), path, status, body)
				}
			}
		}
	}()
	t.Cleanup(l.stop)
	return l
}

// sameVersion tells that an instance was taken for the version of its name.
func sameVersion(body string) bool {
	instance, version, ok := strings.Cut(body, " as ")
	return ok && instance == version
}

func (l *traffic) stop() {
	l.once.Do(func() {
		close(l.done)
		<-l.ended
	})
}

// end stops the requests, none of which may have failed.
func (l *traffic) end() {
	l.t.Helper()
	l.stop()
	l.t.Logf("%d requests, %d sent again, %d failed", l.sent, l.resent, l.failed)
	require.NotZero(l.t, l.sent)
	require.Zero(l.t, l.failed, "the first: %s", l.problem)
}
