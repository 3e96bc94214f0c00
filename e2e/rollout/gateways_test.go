// Package rollout tests the release loop in Caddys that are processes of their own, with policies
// in real config centres, under load.
package rollout

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/e2e/caddy"
	"github.com/grayrelease/gray/e2e/servers"
)

func TestMain(m *testing.M) {
	code := m.Run()
	caddy.RemoveBinary()
	if gray.path != "" {
		_ = os.Remove(gray.path)
	}
	os.Exit(code)
}

// client speaks to gateways and keeps connections.
var client = &http.Client{
	Transport: &http.Transport{MaxIdleConnsPerHost: 64},
	Timeout:   20 * time.Second,
}

// upstream is a version that can be made bad.
type upstream struct {
	server *httptest.Server
	served atomic.Int64
	mode   atomic.Pointer[mode]
}

// mode is how a version answers.
type mode struct {
	errors float64 // share of requests with status 500
	hangs  bool
	took   time.Duration
}

func newUpstream(t testing.TB) *upstream {
	u := &upstream{}
	u.mode.Store(&mode{})
	stop := make(chan struct{})
	u.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := u.served.Add(1)
		m := u.mode.Load()
		if m.hangs {
			select {
			case <-r.Context().Done():
			case <-stop:
			}
			return
		}
		time.Sleep(m.took)
		if float64(n*37%100) < 100*m.errors {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	t.Cleanup(u.server.Close)
	t.Cleanup(func() { close(stop) })
	return u
}

// service has two versions and their policy.
type service struct{ v1, v2 *upstream }

func newService(t testing.TB) *service { return &service{newUpstream(t), newUpstream(t)} }

// policy is a document with a plan.
func (s *service) policy(steps, guards string) string {
	return fmt.Sprintf(`{"service": "shop", "stable": "v1",
		"versions": {"v1": {"upstreams": [%q]}, "v2": {"upstreams": [%q]}}, "identity": ["header X-User"],
		"rules": [{"name": "testers", "version": "v2", "when": ["header X-Beta = 1"]}, {"name": "ramp", "version": "v2"}],
		"rollout": {"rule": "ramp", "steps": [%s], "guard": [%s], "warmup": "0s"}}`,
		s.v1.server.URL, s.v2.server.URL, steps, guards)
}

// gateway is a Caddy that follows the policy at a source.
type gateway struct {
	*caddy.Gateway
	t   testing.TB
	url string
}

// start starts a Caddy whose cache is its own, or that of one before it.
func start(t testing.TB, source, cache, more string) *gateway {
	t.Helper()
	address := servers.FreeAddress(t)
	g := &gateway{t: t, url: "http://" + address}
	g.Gateway = caddy.Start(t, address, fmt.Sprintf(
		"http://%s {\ngray shop {\nsource %s\ncache %s\ndebug_header\n%s\n}\nreverse_proxy {\ndynamic gray\n}\n}\n",
		address, source, cache, more))
	return g
}

// policyState is the state of the policy, rollout and all.
func (g *gateway) policyState() live.State {
	g.t.Helper()
	res, err := client.Get(g.Admin() + "/gray/shop")
	require.NoError(g.t, err)
	defer res.Body.Close()
	var states []live.State
	require.NoError(g.t, json.NewDecoder(res.Body).Decode(&states))
	if len(states) != 1 {
		return live.State{}
	}
	return states[0]
}

func (g *gateway) state() *live.RolloutStatus {
	g.t.Helper()
	if s := g.policyState().Rollout; s != nil {
		return s
	}
	return &live.RolloutStatus{}
}

// awaitSource waits until the gateway goes by the source again.
func (g *gateway) awaitSource() {
	g.t.Helper()
	require.Eventually(g.t, func() bool {
		s := g.policyState()
		return s.Connected && s.Origin == "source"
	}, 30*time.Second, 5*time.Millisecond)
}

func (g *gateway) await(what string, ok func(*live.RolloutStatus) bool) *live.RolloutStatus {
	g.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		s := g.state()
		if ok(s) {
			return s
		}
		if time.Now().After(deadline) {
			text, _ := json.MarshalIndent(s, "", " ")
			require.Fail(g.t, what, "%s\n%s", text, g.Log())
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (g *gateway) awaitPhase(phase string) *live.RolloutStatus {
	g.t.Helper()
	return g.await(phase, func(s *live.RolloutStatus) bool { return s.Phase == phase })
}

// post gives a command and returns the status.
func (g *gateway) post(verb, body string) int {
	g.t.Helper()
	res, err := client.Post(g.Admin()+"/gray/shop/"+verb, "application/json", strings.NewReader(body))
	require.NoError(g.t, err)
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	if res.StatusCode >= 500 {
		g.t.Log(string(text))
	}
	return res.StatusCode
}

// ask sends a request and returns the status and the version that was decided.
func (g *gateway) ask(user string, more ...string) (status int, version string) {
	req, err := http.NewRequest(http.MethodGet, g.url, nil)
	if err != nil {
		return 0, ""
	}
	req.Header.Set("X-User", user)
	for i := 0; i+1 < len(more); i += 2 {
		req.Header.Set(more[i], more[i+1])
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, ""
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	_, rest, _ := strings.Cut(res.Header.Get("X-Gray-Decision"), "version=")
	version, _, _ = strings.Cut(rest, ";")
	return res.StatusCode, version
}

// load is traffic of 2,000 callers, a number of requests a second over some gateways.
type load struct {
	sent, failed atomic.Int64
	canary       atomic.Int64
	stop         chan struct{}
	group        sync.WaitGroup
}

func startLoad(t testing.TB, rate int, gateways ...*gateway) *load {
	l := &load{stop: make(chan struct{})}
	l.group.Go(func() {
		tick := time.NewTicker(time.Second / time.Duration(rate))
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-l.stop:
				return
			case <-tick.C:
			}
			g := gateways[(i+i/2000)%len(gateways)] // each gets all callers in time
			user := fmt.Sprintf("u-%d", i*7919%2000)
			l.group.Go(func() {
				status, version := g.ask(user)
				l.sent.Add(1)
				if status != http.StatusOK {
					l.failed.Add(1)
				}
				if version == "v2" {
					l.canary.Add(1)
				}
			})
		}
	})
	t.Cleanup(l.end)
	return l
}

func (l *load) end() {
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	l.group.Wait()
}
