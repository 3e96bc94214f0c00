package serve

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/rollout/guard"
)

var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// newFixture is a rollout at its first step, which began at noon.
func newFixture(t *testing.T, guards ...string) *following {
	t.Helper()
	e, err := core.Load([]byte(policy(guards...)))
	require.NoError(t, err)
	plan := e.Rollout()
	tracker := guard.NewTracker(plan, &core.RolloutState{Step: 1, Percent: 5}, nil, noon)
	return &following{tracker: tracker, plan: plan, attempt: 1, step: 1, percent: 5, since: noon, began: noon}
}

func verdictOf(f *following, at time.Time) core.RolloutVerdict { return f.tracker.Judge(at)[0] }

// page is a metrics endpoint whose text a test sets.
func page(t *testing.T) (url string, text *atomic.Pointer[string]) {
	text = &atomic.Pointer[string]{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if text.Load() == nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte(*text.Load()))
	}))
	t.Cleanup(s.Close)
	return s.URL, text
}

func scraperOf(t *testing.T, text string) *scraper {
	t.Helper()
	c, err := ParseConfig([]byte("services: [{service: shop, source: 'file:///x.json', scrape: [" + text + "]}]"))
	require.NoError(t, err)
	client := newClient()
	t.Cleanup(client.CloseIdleConnections)
	return &scraper{config: &c.Services[0].Scrape[0], client: client}
}

// Counters of other programs: those of the versions, what failed among them, and nothing else.
func TestScrapers(t *testing.T) {
	for _, c := range []struct{ name, config, metric, page string }{
		{"traefik", "traefik: {canary: shop-$version@file, stable: shop-v1@file}", "traefik_service_requests_total", `
METRIC{code="200",method="GET",protocol="http",service="shop-v1@file"} %[1]d
METRIC{code="200",method="GET",protocol="http",service="shop-v2@file"} %[2]d
METRIC{code="502",method="GET",protocol="http",service="shop-v2@file"} %[3]d
METRIC{code="404",method="GET",protocol="http",service="shop-v2@file"} 0
METRIC{code="500",method="GET",protocol="http",service="shop-v22@file"} 99
METRIC{code="500",method="GET",protocol="http",service="shop-v2xfile"} 99
`},
		{"envoy", "envoy: {canary: shop_v2, stable: shop_v1}", "envoy_cluster_upstream_rq_xx", `
METRIC{envoy_response_code_class="2",envoy_cluster_name="shop_v1"} %[1]d
METRIC{envoy_response_code_class="2",envoy_cluster_name="shop_v2"} %[2]d
METRIC{envoy_response_code_class="5",envoy_cluster_name="shop_v2"} %[3]d
`},
		{"istio", "istio: shop", "istio_requests_total", `
METRIC{reporter="source",destination_service_name="shop",destination_version="v1",response_code="200"} %[1]d
METRIC{reporter="source",destination_service_name="shop",destination_version="v2",response_code="200"} %[2]d
METRIC{reporter="source",destination_service_name="shop",destination_version="v2",response_code="503"} %[3]d
METRIC{reporter="destination",destination_service_name="shop",destination_version="v2",response_code="503"} 77
`},
		{"any", `canary: {requests: {name: hits, labels: {v: $version}}, failed: {name: errors, labels: {v: $version}}},
			stable: {requests: {name: hits, labels: {v: $stable}}, failed: {name: errors, labels: {v: $stable}}}`, "hits", `
METRIC{v="v1"} %[1]d
METRIC{v="v2"} %[2]d
METRIC{v="v3"} 9
errors{v="v2"} %[3]d
`},
	} {
		t.Run(c.name, func(t *testing.T) {
			url, text := page(t)
			s := scraperOf(t, "{url: '"+url+"', "+c.config+"}")
			f := newFixture(t, "errors")
			set := func(v1, v2, failed int) {
				if c.name == "any" {
					v2 += failed // a counter of all requests
				}
				now := strings.ReplaceAll(fmt.Sprintf(c.page, v1, v2, failed), "METRIC", c.metric)
				text.Store(&now)
			}
			at := noon.Add(10 * time.Second)
			look := func() bool {
				counted, err := s.look(context.Background(), f, at)
				require.NoError(t, err)
				return counted
			}
			set(1000, 1000, 1000)
			assert.False(t, look(), "what was before the first look says nothing")
			set(1190, 1008, 1002)
			assert.True(t, look())
			v := verdictOf(f, at)
			assert.InDelta(t, 10, v.Canary.Callers, 2, "random positions may fall together")
			assert.InDelta(t, 2, v.Canary.Bad, 1)
			assert.Equal(t, 0, v.Control.Bad)
			assert.InDelta(t, 190, v.Control.Callers, 20)
			set(10, 4, 1) // the program has started again
			assert.True(t, look())
			assert.InDelta(t, 15, verdictOf(f, at).Canary.Callers, 3)
			assert.InDelta(t, 3, verdictOf(f, at).Canary.Bad, 1)
		})
	}
}

// What came before a step, or just after it began, is about other callers.
func TestScraperAtSteps(t *testing.T) {
	url, text := page(t)
	s := scraperOf(t, "{url: '"+url+"', traefik: {canary: b, stable: a}}")
	f := newFixture(t, "errors")
	at := noon.Add(time.Minute)
	n := 0
	look := func() bool {
		n += 100
		now := fmt.Sprintf("traefik_service_requests_total{service=\"b\",code=\"500\"} %d\n", n)
		text.Store(&now)
		counted, err := s.look(context.Background(), f, at)
		require.NoError(t, err)
		return counted
	}
	look()
	require.True(t, look())
	next := *f
	next.step = 2
	next.percent = 50
	next.since = at
	f = &next
	assert.False(t, look())
	at = at.Add(time.Second)
	assert.False(t, look(), "too early")
	at = at.Add(2 * time.Second)
	assert.True(t, look())

	text.Store(nil)
	_, err := s.look(context.Background(), f, at)
	assert.ErrorContains(t, err, "503")
	bad := "traefik_service_requests_total{"
	text.Store(&bad)
	_, err = s.look(context.Background(), f, at)
	assert.ErrorContains(t, err, "not a page of metrics")
	counted, err := s.look(context.Background(), nil, at)
	assert.False(t, counted)
	assert.NoError(t, err)
}

func TestQueries(t *testing.T) {
	const line = "query q < 0.02"
	var result atomic.Pointer[string]
	var asked atomic.Pointer[string]
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text := r.FormValue("query")
		asked.Store(&text)
		w.Header().Set("Content-Type", "application/json")
		if *result.Load() == "" {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		_, _ = w.Write([]byte(*result.Load()))
	}))
	defer s.Close()
	client := newClient()
	defer client.CloseIdleConnections()
	q, err := newQuerier(&Prometheus{URL: s.URL, window: 2 * time.Minute, timeout: time.Second}, client)
	require.NoError(t, err)
	vector := func(values ...string) string {
		var samples []string
		for i, v := range values {
			samples = append(samples, fmt.Sprintf(`{"metric": {"i": "%d"}, "value": [1, %q]}`, i, v))
		}
		return `{"status": "success", "data": {"resultType": "vector", "result": [` + strings.Join(samples,
			",") + `]}}`
	}
	f := newFixture(t, line)
	at := noon.Add(time.Second)
	for _, c := range []struct {
		about, result   string
		verdict, causes string
	}{
		{"too early", vector("1"), core.VerdictUndecided, guard.CauseWarmingUp},
		{"good", vector("0.019"), core.VerdictGood, ""},
		{"the limit is bad", vector("0.02"), core.VerdictUndecided, "look 1 of 3"},
		{"good again", vector("0"), core.VerdictGood, ""},
		{"first", vector("0.01", "0.5"), core.VerdictUndecided, "look 1 of 3"},
		{"empty", vector(), core.VerdictUndecided, guard.CauseNoTraffic},
		{"NaN", vector("NaN"), core.VerdictUndecided, guard.CauseNoTraffic},
		{"second", `{"status": "success", "data": {"resultType": "scalar", "result": [1, "+Inf"]}}`,
			core.VerdictUndecided, "look 2 of 3"},
		{"down", "", core.VerdictUndecided, "prometheus"},
		{"an error", `{"status": "error", "errorType": "bad_data", "error": "parse error"}`, core.VerdictUndecided,
			"parse error"},
		{"a matrix", `{"status": "success", "data": {"resultType": "matrix", "result": []}}`, core.VerdictUndecided,
			"matrix"},
		{"third", vector("0.03"), core.VerdictBad, ""},
		{"latched", vector("0"), core.VerdictBad, ""},
	} {
		result.Store(&c.result)
		err := q.look(context.Background(), "shop", f, at)
		assert.Equal(t, c.result == "" || strings.Contains(c.result, "bad_data"), err != nil, c.about)
		v := verdictOf(f, at)
		assert.Equal(t, c.verdict, v.Verdict, c.about)
		assert.Contains(t, v.Cause, c.causes, c.about)
		at = noon.Add(time.Minute)
	}
	assert.Equal(t, "q is 0.03 in 3 looks in a row, where less than 0.02 is wanted", verdictOf(f, at).Reason)
	assert.Equal(t, `failed{version="v2"}[60s]`, *asked.Load())

	next := *f // another step
	next.step = 2
	next.since = noon.Add(time.Hour)
	require.NoError(t, q.look(context.Background(), "shop", &next, noon.Add(2*time.Hour)))
	assert.Equal(t, `failed{version="v2"}[120s]`, *asked.Load(), "never more than the longest")
}

func TestAlerts(t *testing.T) {
	const line = "alert team=shop"
	firing := func(fingerprint string, since time.Time) delivered {
		return delivered{Status: "firing", Labels: map[string]string{"team": "shop", "alertname": "Errors"},
			StartsAt:    since,
			Fingerprint: fingerprint}
	}
	resolved := func(fingerprint string, since time.Time) delivered {
		d := firing(fingerprint, since)
		d.Status = "resolved"
		return d
	}
	other := firing("o", noon.Add(time.Minute))
	other.Labels = map[string]string{"team": "cart"}
	first, later := noon.Add(time.Minute), noon.Add(2*time.Minute)
	for _, c := range []struct {
		about   string
		alerts  []delivered
		verdict string
	}{
		{"none", nil, core.VerdictGood},
		{"another's", []delivered{other}, core.VerdictGood},
		{"fires", []delivered{firing("a", first)}, core.VerdictBad},
		{"fires and is over", []delivered{firing("a", first), resolved("a", first)}, core.VerdictGood},
		{"out of order", []delivered{resolved("a", first), firing("a", first)}, core.VerdictGood},
		{"again", []delivered{firing("a", first), resolved("a", first), firing("a", later)}, core.VerdictBad},
		{"again, out of order", []delivered{firing("a", later), firing("a", first), resolved("a", first)},
			core.VerdictBad},
		{"repeated", []delivered{firing("a", first), firing("a", first), resolved("a", first), resolved("a",
			first)}, core.VerdictGood},
		{"two, one is over", []delivered{firing("a", first), firing("b", first), resolved("a", first)},
			core.VerdictBad},
		{"since before", []delivered{firing("a", noon.Add(-time.Second))}, core.VerdictUndecided},
	} {
		f := newFixture(t, line)
		var a alerts
		for _, one := range c.alerts {
			a.deliver(&delivery{Alerts: []delivered{one}}, noon)
		}
		a.report(f)
		assert.Equal(t, c.verdict, verdictOf(f, noon).Verdict, c.about)
	}

	// After a restart nothing is known: what an alert has paused stays paused.
	f := newFixture(t, line+" pause")
	f.pausedBy = line + " pause"
	new(alerts).report(f)
	assert.Equal(t, core.VerdictUndecided, verdictOf(f, noon).Verdict)
}

// However many alerts there are, memory is bounded, and those that fire are kept.
func TestManyAlerts(t *testing.T) {
	var a alerts
	d := &delivery{Alerts: []delivered{{Status: "firing", Labels: map[string]string{"team": "shop"},
		StartsAt: noon.Add(1), Fingerprint: "x"}}}
	a.deliver(d, noon)
	for i := range maxAlerts + 100 {
		one := delivered{Status: "resolved", StartsAt: noon, Fingerprint: fmt.Sprint(i)}
		a.deliver(&delivery{Alerts: []delivered{one}}, noon.Add(time.Hour))
	}
	assert.Len(t, a.known, maxAlerts)
	f := newFixture(t, "alert team=shop")
	a.report(f)
	assert.Equal(t, core.VerdictBad, verdictOf(f, noon).Verdict)
}

func FuzzDelivery(f *testing.F) {
	f.Add([]byte(`{"version": "4", "alerts": [{"status": "firing", "labels": {"a": "b"},
		"startsAt": "2026-05-01T12:00:00Z", "fingerprint": "1"}]}`))
	f.Add([]byte(`{"version": "4"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		d, err := readDelivery(strings.NewReader(string(body)))
		if err != nil {
			return
		}
		var a alerts
		a.deliver(d, noon)
		require.LessOrEqual(t, len(a.known), maxAlerts)
	})
}
