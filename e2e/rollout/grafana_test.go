package rollout

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/e2e/backends"
	"github.com/grayrelease/gray/e2e/caddy"
	"github.com/grayrelease/gray/e2e/servers"
)

const grafana = "../../examples/grafana"

// dashboard is what Grafana shows: panels with queries.
type dashboard struct {
	Title  string
	Panels []struct {
		Title   string
		Targets []struct {
			Expr    string
			Instant bool
		}
	}
	Annotations struct {
		List []struct{ Name, Expr string }
	}
	Templating struct {
		List []struct{ Name, Type, Query string }
	}
}

func readDashboard(t *testing.T, name string) *dashboard {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(grafana, name))
	require.NoError(t, err)
	d := &dashboard{}
	require.NoError(t, json.Unmarshal(text, d))
	return d
}

// filled is a query with the values of the dashboard's variables.
func filled(query string) string {
	return strings.NewReplacer("$service", "shop", "$instance", ".*", "$__rate_interval", "5s").Replace(query)
}

// rule is an alert.
type rule struct {
	Alert  string
	Expr   string
	Labels map[string]string
}

// is tells rules of one name apart.
func (r *rule) is(name string) bool {
	return name == strings.TrimSpace(r.Alert+" "+r.Labels["why"]+r.Labels["about"])
}

func readRules(t *testing.T) []rule {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(grafana, "rules.yml"))
	require.NoError(t, err)
	var file struct{ Groups []struct{ Rules []rule } }
	require.NoError(t, yaml.Unmarshal(text, &file))
	return file.Groups[0].Rules
}

// watched is what the dashboards are about: two Caddys of a service, one of which reads its policy
// through a relay, a Caddy of another service whose rollout nobody moves, a controller, a decision
// server, and a Prometheus that reads the metrics of all.
type watched struct {
	t          *testing.T
	backend    *backends.Backend
	service    *service
	a, b       *gateway
	controller *controller
	decider    string // where it is asked
	prometheus prometheusAPI
	rules      []rule
	fired      map[string]bool
}

const fleetScrape = `
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [rules.yml]
scrape_configs:
  - job_name: caddy
    static_configs: [{targets: [%q, %q, %q]}]
  - job_name: gray
    static_configs: [{targets: [%q, %q]}]
`

// document is the policy of the shop; its second step never has enough callers.
func (f *watched) document() string {
	steps := `"0% until approved", "20% for 1s min 100000", "100%"`
	text := f.service.policy(steps, `"errors", "latency p90", "query failing < 0.9"`)
	return strings.NewReplacer(`"warmup"`, `"queries": {"failing": "vector(0)"}, "warmup"`,
		`"rules": [`, `"jwt": {"secret": "`+strings.Repeat("x", 32)+`"},
			"rules": [{"name": "staff", "version": "v2", "when": ["claim groups in staff"]}, `).Replace(text)
}

func startWatched(t *testing.T) *watched {
	f := &watched{t: t, backend: backends.Etcd(t), service: newService(t), rules: readRules(t), fired: map[string]bool{}}
	f.backend.Put("shop", f.document())
	direct := "etcd://" + f.backend.Relay.Target + "/"
	registry := f.backend.Registry
	registry.Register("one", "v1", servers.FreePorts(t, 1)[0])
	f.backend.Put("cart", fmt.Sprintf(`{"service": "cart", "stable": "v1", "versions": {"v1": {"discover": %q},
		"v2": {"upstreams": ["127.0.0.1:9"]}}, "rules": [{"name": "ramp", "version": "v2"}],
		"rollout": {"rule": "ramp", "steps": ["100%%"], "guard": []}}`, registry.URL("v1")))
	f.a = start(t, direct+"shop", t.TempDir(), "")
	f.b = start(t, f.backend.URL("shop"), t.TempDir(), "")
	address := servers.FreeAddress(t)
	cart := caddy.Start(t, address, fmt.Sprintf("http://%s {\ngray cart {\nsource %s\ncache %s\nloop off\n}\n"+
		"reverse_proxy {\ndynamic gray\n}\n}\n", address, direct+"cart", t.TempDir()))

	rules, err := os.ReadFile(filepath.Join(grafana, "rules.yml"))
	require.NoError(t, err)
	address = servers.FreeAddress(t)
	deciderAdmin := f.startDecider(direct + "shop")
	host := func(url string) string { return strings.TrimPrefix(url, "http://") }
	_, f.prometheus.url = servers.Prometheus(t,
		fmt.Sprintf(fleetScrape, host(f.a.Admin()), host(f.b.Admin()), host(cart.Admin()), address, deciderAdmin),
		map[string]string{"rules.yml": string(rules)})
	f.prometheus.t = t
	webhook := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(webhook.Close)
	f.controller = serveAt(t, address, fmt.Sprintf("services: [{service: shop, source: %q, gateways: [%q, %q]}]\n"+
		"prometheus: {url: %q, every: 1s}\nnotices: [{webhook: %q}]\n", direct+"shop", f.a.Admin(), f.b.Admin(),
		f.prometheus.url, webhook.URL))
	return f
}

// startDecider starts a decision server, and returns where its metrics are.
func (f *watched) startDecider(source string) (admin string) {
	t := f.t
	ports := servers.FreePorts(t, 3)
	admin = servers.Host(ports[0])
	f.decider = servers.BaseURL(ports[1])
	cmd := exec.Command(grayCommand(t), "decide", "--service", "shop", "--source", source, "--admin", admin,
		"--listen", servers.Host(ports[1]), "--grpc", servers.Host(ports[2]))
	cmd.SysProcAttr = servers.DieWithParent()
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	require.Eventually(t, func() bool {
		res, err := client.Get("http://" + admin + "/readyz")
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusOK
	}, 20*time.Second, 10*time.Millisecond, "the decision server is ready")
	return admin
}

// askDecider asks the decision server about a caller twenty times a second, until the test ends.
// Every tenth question is wrong: it names no method.
func (f *watched) askDecider() {
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(time.Second / 20)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			req, err := http.NewRequest(http.MethodGet, f.decider+"/decide/shop", nil)
			if err != nil {
				return
			}
			for name, value := range map[string]string{"Proto": "http", "Host": "shop", "Uri": "/", "For": "192.0.2.1"} {
				req.Header.Set("X-Forwarded-"+name, value)
			}
			if i%10 > 0 {
				req.Header.Set("X-Forwarded-Method", http.MethodGet)
			}
			req.Header.Set("X-User", fmt.Sprint(clientsWord, i))
			if res, err := client.Do(req); err == nil {
				res.Body.Close()
			}
		}
	}()
	f.t.Cleanup(func() {
		close(stop)
		<-ended
	})
}

// fires waits until the expression of an alert has a result, about a service.
func (f *watched) fires(name, service string) {
	f.t.Helper()
	for i := range f.rules {
		r := &f.rules[i]
		if !r.is(name) {
			continue
		}
		f.fired[name] = true
		expression := strings.ReplaceAll(r.Expr, "30 * 60", "0") // nobody waits so long here
		require.Eventually(f.t, func() bool {
			for _, series := range f.prometheus.now(expression) {
				if series.Metric["service"] == service {
					return true
				}
			}
			return false
		}, 30*time.Second, 100*time.Millisecond, name)
		return
	}
	require.Fail(f.t, "no rule is called "+name)
}

// awaitAll waits until both gateways and the controller are in a phase.
func (f *watched) awaitAll(phase string) {
	f.t.Helper()
	f.a.awaitPhase(phase)
	f.b.awaitPhase(phase)
	f.controller.await(phase, func(s *live.RolloutStatus) bool { return s.Phase == phase })
}

// healthyAtZero are panels, each of whose queries may be zero while nothing is wrong.
var healthyAtZero = map[string]bool{
	"Percentage": true, "Off": true, "Needs a person": true, "Signals that are down": true, "Bad callers": true,
	"Slow callers": true, "Switched": true,
}

// Each panel of each dashboard has data, and the expression of each alert a result, in a real
// Prometheus that reads the metrics of a fleet to which all of that happens.
func TestDashboardsHaveData(t *testing.T) {
	f := startWatched(t)
	begin := time.Now()
	f.awaitAll(core.PhaseWaiting)
	f.awaitSeries("count(up == 1) == 5") // a counter that Prometheus sees later does not seem to grow
	f.fires("GrayApprovalNeeded", "shop")
	f.fires("GrayRolloutStuck not begun", "cart")
	require.Equal(t, 200, f.a.post("approve", ""))
	f.awaitAll(core.PhaseRunning)
	f.askDecider()
	f.failTesters()
	f.disturb()
	f.rollBack()
	f.checkAlerts()
	f.checkLabels()
	for _, name := range []string{"caddy.json", "controller.json", "decider.json"} {
		t.Run(name, func(t *testing.T) {
			p := prometheusAPI{t, f.prometheus.url}
			checkPanels(p, readDashboard(t, name), begin, func(panel string) (mayLack, mayBeZero bool) {
				return false, healthyAtZero[panel]
			})
			checkMarks(p, readDashboard(t, name), begin)
		})
	}
}

// failTesters has requests fail of callers whom no guard compares.
func (f *watched) failTesters() {
	f.service.v2.mode.Store(&mode{errors: 1})
	for range 100 {
		status, _ := f.a.ask(clientsWord, "X-Beta", "1", "User-Agent", clientsWord)
		require.Equal(f.t, http.StatusInternalServerError, status)
	}
	f.service.v2.mode.Store(&mode{})
}

// disturb has the release held up, and the gateways disagree.
func (f *watched) disturb() {
	t := f.t
	f.service.v1.mode.Store(&mode{took: 50 * time.Millisecond}) // so that scrapes see open exchanges
	l := startLoad(t, 100, f.a, f.b)
	f.controller.await("callers", func(s *live.RolloutStatus) bool {
		return s.Percent == 20 && len(s.Guards) == 3 && s.Guards[0].Canary.Callers > 20
	})
	f.fires("GrayGuardUndecided", "shop")
	f.fires("GrayRolloutStuck over", "shop")

	f.backend.Relay.Hold(true)
	f.backend.Relay.Cut()
	f.fires("GraySourceDown", "shop")
	f.backend.Put("shop", f.document()+" ")
	f.fires("GrayGatewaysDisagree policy", "shop")
	require.Equal(t, 200, f.a.post("pause", ""))
	f.fires("GrayRolloutStuck paused", "shop")
	f.fires("GrayGatewaysDisagree rollout", "shop")
	require.Equal(t, 200, f.a.post("switch", `{"to": "v1"}`))
	f.fires("GrayGatewaysDisagree switch", "shop")
	require.Equal(t, 200, f.a.post("switch", `{"to": ""}`))
	f.backend.Relay.Hold(false)
	f.b.awaitSource()
	require.Equal(t, 200, f.a.post("resume", ""))
	f.awaitAll(core.PhaseRunning)

	f.backend.Put("shop", "no policy")
	f.fires("GrayPolicyRefused", "shop")
	f.awaitSeries(`count({__name__=~"(caddy_)?gray_source_rejected", service="shop"} == 1) == 4`)
	f.backend.Put("shop", f.document())
	f.backend.Registry.Deregister("one", 0)
	f.fires("GrayStableHeld", "cart")
	l.end()
	f.b.Kill()
	f.fires("GraySignalDown", "shop")
}

// rollBack has the canary go away, first for testers only, whom no guard compares.
func (f *watched) rollBack() {
	f.service.v1.mode.Store(&mode{})
	f.service.v2.server.Close()
	for range 500 {
		status, _ := f.a.ask("tester", "X-Beta", "1")
		require.Equal(f.t, http.StatusOK, status, "stable serves")
	}
	f.fires("GrayFallbacks", "shop")
	l := startLoad(f.t, 100, f.a)
	f.a.awaitPhase(core.PhaseRolledBack)
	l.end()
	f.fires("GrayRolledBack", "shop")
	f.awaitSeries("gray_rollout_rollbacks_total")
	f.awaitSeries("caddy_gray_rollout_rollbacks_total")
	f.awaitSeries(`ALERTS{alertname="GrayRolledBack", alertstate="firing", service="shop"}`)
}

// awaitSeries waits until Prometheus has the series of a query.
func (f *watched) awaitSeries(query string) {
	f.t.Helper()
	require.Eventually(f.t, func() bool { return len(f.prometheus.now(query)) > 0 }, 30*time.Second,
		100*time.Millisecond, query)
}

// checkAlerts checks that every rule had a result, and that Prometheus could evaluate each.
func (f *watched) checkAlerts() {
	assert.Len(f.t, f.fired, len(f.rules))
	var loaded struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError string }
		}
	}
	f.prometheus.get("/api/v1/rules", nil, &loaded)
	require.Len(f.t, loaded.Groups, 1)
	require.Len(f.t, loaded.Groups[0].Rules, len(f.rules))
	for _, r := range loaded.Groups[0].Rules {
		assert.Equal(f.t, "ok", r.Health, "%s: %s", r.Name, r.LastError)
	}
}

// checkPanels checks that each query of each panel has data since a time, and one of them something
// else than zero, except where the panel may lack that.
func checkPanels(
	p prometheusAPI, d *dashboard, begin time.Time, allowed func(panel string) (mayLack, mayBeZero bool),
) {
	panels := 0
	for _, panel := range d.Panels {
		mayLack, mayBeZero := allowed(panel.Title)
		if mayLack || len(panel.Targets) == 0 {
			continue // a row is a panel, too
		}
		panels++
		most := math.NaN()
		for _, target := range panel.Targets {
			var result answered
			if target.Instant {
				result = p.now(filled(target.Expr))
			} else {
				result = p.since(filled(target.Expr), begin)
			}
			found := result.highest()
			assert.False(p.t, math.IsNaN(found), "%s has no data: %s", panel.Title, target.Expr)
			if math.IsNaN(most) || found > most {
				most = found
			}
		}
		assert.True(p.t, most > 0 || mayBeZero, "%s is never more than %v", panel.Title, most)
	}
	assert.GreaterOrEqual(p.t, panels, 15)
}

// clientsWord is what clients say in this test.
const clientsWord = "a-clients-word"

// checkLabels checks that no label has a client's words.
func (f *watched) checkLabels() {
	series := f.prometheus.series(`{__name__=~"(caddy_)?gray_.+"}`)
	assert.Greater(f.t, len(series), 100)
	for _, labels := range series {
		for name, value := range labels {
			assert.NotContains(f.t, value, clientsWord, "%s of %s", name, labels["__name__"])
		}
	}
}

var labelValues = regexp.MustCompile(`^label_values\((.*), ([a-z]+)\)$`)

// checkMarks checks that steps and rollbacks are marked, and that the variables have values.
func checkMarks(p prometheusAPI, d *dashboard, begin time.Time) {
	for _, a := range d.Annotations.List {
		result := p.since(filled(a.Expr), begin)
		at := time.UnixMilli(int64(result.highest()))
		assert.True(p.t, at.After(begin.Add(-time.Minute)) && at.Before(time.Now()), "%s: at %v", a.Name, at)
		for _, series := range result {
			assert.Len(p.t, series.Metric, 3, "phase, step and percent: %v", series.Metric)
		}
	}
	for _, v := range d.Templating.List {
		if v.Type != "query" {
			continue
		}
		m := labelValues.FindStringSubmatch(filled(v.Query))
		require.NotNil(p.t, m, v.Query)
		assert.NotEmpty(p.t, p.values(m[2], m[1]), v.Name)
	}
}
