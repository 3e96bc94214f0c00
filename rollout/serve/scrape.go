package serve

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/grayrelease/gray/rollout/guard"
)

// maxPage bounds a page of metrics.
const maxPage = 32 << 20

// settling is how long after a step has begun figures are not counted: they are still about
// requests that were decided before.
const settling = 2 * time.Second

// traefikCounters are those of a service of Traefik.
func traefikCounters(service string) Counters {
	labels := map[string]string{"service": regexp.QuoteMeta(service)}
	return Counters{
		Requests: Selector{"traefik_service_requests_total", labels},
		Failed:   Selector{"traefik_service_requests_total", with(labels, "code", "5..")},
	}
}

// envoyCounters are those of a cluster of Envoy. Answers that Envoy makes because the cluster
// cannot be reached count as the cluster's.
func envoyCounters(cluster string) Counters {
	labels := map[string]string{"envoy_cluster_name": regexp.QuoteMeta(cluster)}
	return Counters{
		Requests: Selector{"envoy_cluster_upstream_rq_xx", labels},
		Failed:   Selector{"envoy_cluster_upstream_rq_xx", with(labels, "envoy_response_code_class", "5")},
	}
}

// istioCounters are those of a version of a service, as the sidecars of its callers count. Without
// an answer the code is 0.
func istioCounters(service, version string) Counters {
	labels := map[string]string{"destination_service_name": regexp.QuoteMeta(service), "destination_version": version,
		"reporter": "source"}
	return Counters{
		Requests: Selector{"istio_requests_total", labels},
		Failed:   Selector{"istio_requests_total", with(labels, "response_code", "0|5..")},
	}
}

func with(labels map[string]string, name, value string) map[string]string {
	more := map[string]string{name: value}
	for n, v := range labels {
		more[n] = v
	}
	return more
}

// figures are the requests of both arms, and those that failed.
type figures struct{ requests, failed [2]float64 }

// scraper counts what an endpoint counts.
type scraper struct {
	config *Scrape
	client *http.Client

	last   *figures   // nil: there is nothing to subtract
	during *following // what was followed then
}

// look reads the endpoint once, and counts what came since the look before. It returns false if
// nothing could be counted.
func (s *scraper) look(ctx context.Context, f *following, at time.Time) (bool, error) {
	if f == nil || f.tracker == nil {
		s.last = nil
		return false, nil
	}
	now, err := s.read(ctx, f)
	if err != nil {
		return false, err // the next look counts for both
	}
	before, isSame := s.last, s.during.isSameStep(f)
	s.last = now
	s.during = f
	if before == nil || !isSame || at.Sub(f.since) < settling {
		return false, nil
	}
	for _, arm := range []guard.Arm{guard.Control, guard.Canary} {
		requests := grown(before.requests[arm], now.requests[arm])
		f.tracker.Count(arm, requests, min(requests, grown(before.failed[arm], now.failed[arm])))
	}
	return true, nil
}

// grown returns by how much a counter has grown. One that is smaller has begun again.
func grown(before, now float64) int {
	if now >= before {
		return int(now - before)
	}
	return int(now)
}

// read adds up the counters of the endpoint.
func (s *scraper) read(ctx context.Context, f *following) (*figures, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.config.URL, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "text/plain;version=0.0.4")
	res, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s", s.config.URL, res.Status)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(io.LimitReader(res.Body, maxPage))
	if err != nil {
		return nil, fmt.Errorf("%s is not a page of metrics: %w", s.config.URL, err)
	}
	sum := &figures{}
	for arm, counters := range [2]*Counters{guard.Control: &s.config.stable, guard.Canary: &s.config.canary} {
		if sum.requests[arm], err = counters.Requests.sum(families, f); err != nil {
			return nil, err
		}
		if sum.failed[arm], err = counters.Failed.sum(families, f); err != nil {
			return nil, err
		}
	}
	return sum, nil
}

// sum adds up the series that the selector chooses.
func (s *Selector) sum(families map[string]*dto.MetricFamily, f *following) (float64, error) {
	family := families[s.Name]
	if family == nil {
		return 0, nil // no request yet
	}
	labels := map[string]*regexp.Regexp{}
	for name, pattern := range s.Labels {
		versions := strings.NewReplacer("$version", regexp.QuoteMeta(f.plan.Version), `\$version`,
			regexp.QuoteMeta(f.plan.Version),
			"$stable", regexp.QuoteMeta(f.plan.Stable), `\$stable`, regexp.QuoteMeta(f.plan.Stable))
		re, err := regexp.Compile("^(?:" + versions.Replace(pattern) + ")$")
		if err != nil {
			return 0, fmt.Errorf("label %s: %w", name, err)
		}
		labels[name] = re
	}
	total := 0.0
	for _, m := range family.Metric {
		if !chooses(labels, m) {
			continue
		}
		switch {
		case m.Counter != nil:
			total += m.Counter.GetValue()
		case m.Untyped != nil:
			total += m.Untyped.GetValue()
		case m.Gauge != nil:
			total += m.Gauge.GetValue()
		default:
			return 0, fmt.Errorf("%s is not a counter", s.Name)
		}
	}
	return total, nil
}

func chooses(labels map[string]*regexp.Regexp, m *dto.Metric) bool {
	for name, re := range labels {
		value := ""
		for _, l := range m.Label {
			if l.GetName() == name {
				value = l.GetValue()
			}
		}
		if !re.MatchString(value) {
			return false
		}
	}
	return true
}
