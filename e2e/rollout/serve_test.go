package rollout

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/e2e/backends"
	"github.com/grayrelease/gray/e2e/caddy"
	"github.com/grayrelease/gray/e2e/servers"
	"github.com/grayrelease/gray/e2e/traefik"
)

// gray is the command, which is built once.
var gray struct {
	once sync.Once
	path string
	err  error
}

func grayCommand(t testing.TB) string {
	t.Helper()
	gray.once.Do(func() {
		gray.path = filepath.Join(filepath.Dir(caddy.Binary(t)), "gray-"+strconv.Itoa(os.Getpid()))
		build := exec.Command("go", "build", "-C", "../..", "-o", gray.path, "./cmd/gray")
		if out, err := build.CombinedOutput(); err != nil {
			gray.err = fmt.Errorf("building gray: %w\n%s", err, out)
		}
	})
	require.NoError(t, gray.err)
	return gray.path
}

// controller is a `gray serve` that is a process of its own.
type controller struct {
	t   testing.TB
	url string
	log string // a file
	cmd *exec.Cmd
}

// serve runs `gray serve` with a configuration, which lacks the address, until the test ends.
func serve(t testing.TB, config string) *controller {
	t.Helper()
	return serveAt(t, servers.FreeAddress(t), config)
}

func serveAt(t testing.TB, address, config string) *controller {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "gray.yml")
	require.NoError(t, os.WriteFile(path, []byte("listen: "+address+"\nstate: "+dir+"\n"+config), 0o600))
	c := &controller{t: t, url: "http://" + address, log: filepath.Join(dir, "log")}
	out, err := os.Create(c.log)
	require.NoError(t, err)
	defer out.Close()
	c.cmd = exec.Command(grayCommand(t), "serve", "--config", path)
	c.cmd.Stdout = out
	c.cmd.Stderr = out
	c.cmd.SysProcAttr = servers.DieWithParent()
	require.NoError(t, c.cmd.Start())
	t.Cleanup(c.kill)
	require.Eventually(t, func() bool {
		res, err := client.Get(c.url + "/readyz")
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == 200
	}, 20*time.Second, 10*time.Millisecond, "the controller is ready")
	return c
}

func (c *controller) kill() {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
	if c.t.Failed() {
		text, _ := os.ReadFile(c.log)
		c.t.Logf("the controller's log:\n%s", text)
	}
}

func (c *controller) state() *live.RolloutStatus {
	c.t.Helper()
	res, err := client.Get(c.url + "/gray/v1/shop")
	require.NoError(c.t, err)
	defer res.Body.Close()
	var s live.State
	require.NoError(c.t, json.NewDecoder(res.Body).Decode(&s))
	if s.Rollout == nil {
		return &live.RolloutStatus{}
	}
	return s.Rollout
}

func (c *controller) await(what string, ok func(*live.RolloutStatus) bool) *live.RolloutStatus {
	c.t.Helper()
	var s *live.RolloutStatus
	require.Eventually(c.t, func() bool { s = c.state(); return ok(s) }, 60*time.Second, 5*time.Millisecond, what)
	return s
}

// guardIs reports whether a guard's verdict is that.
func guardIs(s *live.RolloutStatus, guard, verdict string) bool {
	for _, g := range s.Guards {
		if g.Guard == guard {
			return g.Verdict == verdict
		}
	}
	return false
}

// headerMode is a Traefik whose children match the version, with metrics.
func headerMode(t *testing.T, b *backends.Backend, s *service) (url, metrics string) {
	gray := object{"plugin": object{"gray": object{
		"mode": "header", "statePath": "/state", "source": object{"url": b.URL("shop")}, "service": "shop",
		"stable":   "v1",
		"versions": object{"v1": object{}, "v2": object{}},
	}}}
	to := func(u *upstream) object {
		return object{"loadBalancer": object{"servers": []any{object{"url": u.server.URL}}}}
	}
	g := traefik.Start(t, traefik.Options{
		Plugins: map[string]string{"gray": "../.."},
		Static:  map[string]any{"metrics": object{"prometheus": object{"addServicesLabels": true}}},
		Dynamic: object{"http": object{
			"routers": object{
				"shop": object{"rule": "PathPrefix(`/`)", "middlewares": []any{"gray"}},
				"shop-v2": object{"rule": "Header(`X-Gray-Version`, `v2`)", "parentRefs": []any{"shop"},
					"service": "v2", "priority": 10},
				"shop-v1": object{"rule": "PathPrefix(`/`)", "parentRefs": []any{"shop"}, "service": "v1",
					"priority": 1},
			},
			"middlewares": object{"gray": gray},
			"services":    object{"v1": to(s.v1), "v2": to(s.v2)},
		}},
	})
	return g.URL, g.API + "/metrics"
}

// loadOf sends requests of 2,000 callers to a URL, so many a second.
func loadOf(t testing.TB, url string, rate int) *load {
	return startLoad(t, rate, &gateway{t: t, url: url})
}

// Traefik measures nothing for gray. Its own counters, read each second, take a bad version back.
func TestControllerReadsTraefik(t *testing.T) {
	b := backends.Etcd(t)
	s := newService(t)
	b.Put("shop", s.policy(`"5% for 1h", "100%"`, `"errors"`))
	url, metrics := headerMode(t, b, s)
	c := serve(t,
		fmt.Sprintf("services: [{service: shop, source: %q, scrape: [{url: %q,\n"+
			"  traefik: {canary: $version@file, stable: $stable@file}}]}]",
			b.URL("shop"), metrics))
	l := loadOf(t, url, 200)
	c.await("a healthy canary", func(r *live.RolloutStatus) bool {
		return r.Percent == 5 && guardIs(r, "errors",
			core.VerdictGood)
	})
	s.v2.mode.Store(&mode{errors: 0.5})
	before, at := s.v2.served.Load(), time.Now()
	done := c.await("the rollback", func(r *live.RolloutStatus) bool { return r.Phase == core.PhaseRolledBack })
	took := time.Since(at)
	l.end()
	t.Logf("half of v2's requests failed: back after %v and %d canary requests: %s", took.Round(time.Millisecond),
		s.v2.served.Load()-before, done.Reason)
	assert.Less(t, took, 5*time.Second)
	require.Eventually(t, func() bool { return !getsV2(t, url, s) }, 2*time.Second, 20*time.Millisecond)
}

// getsV2 reports whether one of a hundred callers gets the canary.
func getsV2(t *testing.T, url string, s *service) bool {
	before := s.v2.served.Load()
	for i := range 100 {
		req, err := http.NewRequest(http.MethodGet, url, nil)
		require.NoError(t, err)
		req.Header.Set("X-User", fmt.Sprint("u-", i))
		res, err := client.Do(req)
		require.NoError(t, err)
		res.Body.Close()
	}
	return s.v2.served.Load() > before
}

// figuresOf is a metrics endpoint of the service itself, as its team has it.
func figuresOf(t *testing.T, s *service) string {
	t.Helper()
	address := servers.FreeAddress(t)
	server := &http.Server{Addr: address, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for name, u := range map[string]*upstream{"v1": s.v1, "v2": s.v2} {
			fmt.Fprintf(w, "shop_failed_ratio{version=%q} %g\n", name, u.mode.Load().errors)
		}
	})}
	go func() { _ = server.ListenAndServe() }()
	t.Cleanup(func() { server.Close() })
	return address
}

const scraping = `
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [rules.yml]
alerting: {alertmanagers: [{static_configs: [{targets: [%q]}]}]}
scrape_configs: [{job_name: shop, static_configs: [{targets: [%q]}]}]
`

const rules = `
groups:
  - name: shop
    rules:
      - alert: ShopFails
        expr: shop_failed_ratio{version="v2"} > 0.2
        labels: {team: shop}
`

// An alert of a real Prometheus reaches the controller by a real Alertmanager, and everybody is on
// stable in Caddy and in Traefik. A query of the same Prometheus does the same.
func TestControllerHearsPrometheus(t *testing.T) {
	for _, c := range []struct{ name, guard string }{
		{"alert", "alert team=shop"},
		{"query", "query failed < 0.2 for 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := backends.Etcd(t)
			s := newService(t)
			policy := strings.Replace(s.policy(`"20% for 1h", "100%"`, fmt.Sprintf("%q", c.guard)), `"warmup"`,
				`"queries": {"failed": "max_over_time(shop_failed_ratio{version=\"$version\"}[$window])"}, "warmup"`, 1)
			b.Put("shop", policy)
			g := start(t, b.URL("shop"), t.TempDir(), "loop off")
			url, _ := headerMode(t, b, s)
			receiver := servers.FreeAddress(t)
			_, alertmanager := servers.Alertmanager(t, fmt.Sprintf(`
route: {receiver: gray, group_wait: 0s, group_interval: 1s, repeat_interval: 1m}
receivers: [{name: gray, webhook_configs: [{url: "http://%s/gray/v1/alertmanager", send_resolved: true}]}]
`, receiver))
			_, prometheus := servers.Prometheus(t, fmt.Sprintf(scraping, strings.TrimPrefix(alertmanager,
				"http://"), figuresOf(t, s)),
				map[string]string{"rules.yml": rules})
			ctl := serveAt(t, receiver,
				fmt.Sprintf("services: [{service: shop, source: %q}]\nprometheus: {url: %q, every: 1s}\n",
					b.URL("shop"), prometheus))
			ctl.await("a healthy canary", func(r *live.RolloutStatus) bool {
				return r.Percent == 20 && guardIs(r,
					c.guard, core.VerdictGood)
			})
			g.await("the step in Caddy", func(r *live.RolloutStatus) bool { return r.Percent == 20 })
			require.Eventually(t, func() bool { return getsV2(t, url, s) && getsV2(t, g.url, s) }, 10*time.Second,
				50*time.Millisecond)
			at := time.Now()
			s.v2.mode.Store(&mode{errors: 0.5})
			done := ctl.await("the rollback",
				func(r *live.RolloutStatus) bool { return r.Phase == core.PhaseRolledBack })
			verdict := time.Since(at)
			require.Eventually(t, func() bool { return !getsV2(t, url, s) && !getsV2(t, g.url, s) }, 5*time.Second,
				10*time.Millisecond)
			t.Logf("back by the %s after %v, in both gateways after %v: %s", c.name, verdict.Round(time.Millisecond),
				time.Since(at).Round(time.Millisecond), done.Reason)
			assert.Equal(t, "guard "+c.guard, done.By)
		})
	}
}

// The example of a fleet, by each of its ways. It uses fixed ports of this machine.
func TestFleetExample(t *testing.T) {
	ways := []string{"evidence", "counters", "query", "alert"}
	if testing.Short() {
		ways = ways[:1]
	}
	for _, way := range ways {
		t.Run(way, func(t *testing.T) {
			for _, name := range []string{"prometheus", "curl"} {
				if _, err := exec.LookPath(name); err != nil {
					if os.Getenv("CI") != "" {
						t.Fatalf("this machine has no %s", name)
					}
					t.Skipf("this machine has no %s", name)
				}
			}
			cmd := exec.Command("bash", "../../examples/fleet/fleet.sh", way)
			cmd.Env = append(os.Environ(), "TRAEFIK="+servers.Path(t, "traefik"))
			cmd.SysProcAttr = servers.DieWithParent()
			if way == "evidence" {
				cmd.Env = append(cmd.Env, "STAY=1")
				t.Log(checkStaying(t, cmd))
				return
			}
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", out)
			assert.Contains(t, string(out), "Everybody is back on v1")
			t.Log(string(out))
		})
	}
}

// checkStaying runs the example, which stays, and returns what it has said. What its Prometheus has
// fits the dashboards; its policy has no tokens, and its plan no guard on latency.
func checkStaying(t *testing.T, cmd *exec.Cmd) string {
	begin := time.Now()
	output, err := cmd.StdoutPipe()
	require.NoError(t, err)
	cmd.Stderr = cmd.Stdout
	require.NoError(t, cmd.Start())
	said := ""
	for lines := bufio.NewScanner(output); !strings.Contains(said, "Prometheus is at "); {
		require.True(t, lines.Scan(), "it has ended: %s", said)
		said += lines.Text() + "\n"
	}
	assert.Contains(t, said, "Everybody is back on v1")
	p := prometheusAPI{t, "http://127.0.0.1:9090"}
	require.Eventually(t, func() bool {
		return len(p.now(`{__name__=~"(caddy_)?gray_rollout_rollbacks_total"}`)) == 2
	}, 20*time.Second, 100*time.Millisecond, "the metrics of Caddy and of the controller")
	for _, name := range []string{"caddy.json", "controller.json"} {
		d := readDashboard(t, name)
		checkPanels(p, d, begin, func(panel string) (mayLack, mayBeZero bool) {
			return panel == "Tokens" || panel == "Slow callers", true
		})
		checkMarks(p, d, begin)
	}
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	go func() { _, _ = io.Copy(io.Discard, output) }()
	_ = cmd.Wait()
	return said
}

// Of two controllers one tells each event, whoever gives the commands, and whoever is killed.
func TestControllersTellOnce(t *testing.T) {
	b := backends.Etcd(t)
	b.Put("shop", newService(t).policy(`"5% for 1h", "100%"`, `"errors"`))
	var mu sync.Mutex
	told := map[string]int{}
	webhook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var e struct{ ID string }
		if assert.NoError(t, json.NewDecoder(r.Body).Decode(&e)) {
			mu.Lock()
			told[e.ID]++
			mu.Unlock()
		}
	}))
	t.Cleanup(webhook.Close)
	config := fmt.Sprintf("services: [{service: shop, source: %q}]\nnotices: [{webhook: %q}]\n", b.URL("shop"),
		webhook.URL)
	controllers := []*controller{serve(t, config), serve(t, config)}
	for _, c := range controllers {
		c.await("the first step", func(r *live.RolloutStatus) bool { return r.Phase == core.PhaseRunning })
	}
	awaitTold := func(n int) {
		require.Eventually(t, func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(told) >= n
		}, 20*time.Second, 20*time.Millisecond, "every event")
	}
	epoch := controllers[0].state().Epoch
	for i := range 20 {
		if i == 10 {
			awaitTold(11) // one that it has claimed and not told would be told by the other much later
			controllers[0].kill()
			controllers[0] = serve(t, config)
			controllers[0].await("the state", func(r *live.RolloutStatus) bool { return r.Epoch == epoch })
		}
		verb := []string{"pause", "resume"}[i%2]
		res, err := client.Post(controllers[i/2%2].url+"/gray/v1/shop/"+verb, "application/json",
			strings.NewReader("{}"))
		require.NoError(t, err)
		res.Body.Close()
		require.Equal(t, http.StatusOK, res.StatusCode, "%s %d", verb, i)
		epoch++
		for _, c := range controllers {
			c.await("the epoch", func(r *live.RolloutStatus) bool { return r.Epoch == epoch })
		}
	}
	awaitTold(21)
	mu.Lock()
	defer mu.Unlock()
	assert.Len(t, told, 21)
	for id, n := range told {
		assert.Equal(t, 1, n, id)
	}
}
