package caddygray

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/rollout/metrics"
)

// The metrics live as long as the process, so that counters survive reloads. Each reload brings a
// new registry. Labels come from the configuration only, never from a client.
var (
	decisionsTotal = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "caddy", Subsystem: "gray", Name: "decisions_total",
		Help: "Requests decided on, by the version decided and the rule that decided (empty: none matched).",
	}, []string{"service", "version", "rule"})

	fallbacksTotal = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "caddy", Subsystem: "gray", Name: "fallbacks_total",
		Help: "Requests for a version that went to the stable one, since the version had no usable upstream.",
	}, []string{"service", "version"})

	upstreamFailuresTotal = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "caddy", Subsystem: "gray", Name: "upstream_failures_total",
		Help: "Attempts to use an upstream of a version that got no response: unreachable (no connection) or interrupted " +
			"(nothing came back).",
	}, []string{"service", "version", "kind"})

	responsesTotal = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "caddy", Subsystem: "gray", Name: "responses_total",
		Help: "Responses, by the version that served and the class of the status.",
	}, []string{"service", "version", "class"})

	responseLatency = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: "caddy", Subsystem: "gray", Name: "response_latency_seconds",
		Help:    "Time from the decision to the response's header, by the version that served.",
		Buckets: prometheus.DefBuckets,
	}, []string{"service", "version"})

	tokensTotal = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "caddy", Subsystem: "gray", Name: "tokens_total",
		Help: "Requests whose token was looked at for claims, by how it fared (ok, none, expired and so on).",
	}, []string{"service", "result"})

	rollbacksTotal = metrics.NewRollbacks("caddy_gray_rollout_")
)

// counters are the metrics that count requests. How long their series stay is in series.go.
var counters = []prometheus.Collector{
	decisionsTotal, fallbacksTotal, upstreamFailuresTotal, responsesTotal, responseLatency, tokensTotal,
}

// registerMetrics registers the metrics with a configuration's registry.
func registerMetrics(registry *prometheus.Registry) error {
	all := []prometheus.Collector{series, &policies, &states, &rollouts, rollbacksTotal}
	for _, c := range all {
		var already prometheus.AlreadyRegisteredError
		if err := registry.Register(c); err != nil && !errors.As(err, &already) {
			return err
		}
	}
	return nil
}

// count prepares the version's counters, so that requests need not look up labels.
func (v *version) count(service string) {
	v.latency = responseLatency.WithLabelValues(service, v.name)
	for class := range v.statuses {
		label := "other"
		if class > 0 {
			label = strconv.Itoa(class) + "xx"
		}
		v.statuses[class] = responsesTotal.WithLabelValues(service, v.name, label)
	}
	v.fallbacks = fallbacksTotal.WithLabelValues(service, v.name)
	v.unreachable = upstreamFailuresTotal.WithLabelValues(service, v.name, "unreachable")
	v.interrupted = upstreamFailuresTotal.WithLabelValues(service, v.name, "interrupted")
}

// policies collects the policies in force on demand. A configuration that is refused later leaves
// no trace.
var policies policyCollector

type policyCollector struct {
	mu      sync.Mutex
	actives []*active // oldest first: during a reload there are two of a service
}

var (
	policyInfo = prometheus.NewDesc("caddy_gray_policy_info",
		"The policy in force: its revision, whether it is enabled (no kill switch sends everybody to one version) and "+
			"whether tokens are verified (empty: it has none).",
		[]string{"service", "revision", "enabled", "tokens_verified"}, nil)
	policyAge = prometheus.NewDesc("caddy_gray_policy_age_seconds",
		"How long this revision of the policy has been in force.", []string{"service"}, nil)
)

func (c *policyCollector) add(r *active) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.actives = append(c.actives, r)
}

func (c *policyCollector) remove(r *active) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.actives = slices.DeleteFunc(c.actives, func(other *active) bool { return other == r })
}

// latest returns the newest policy of each service.
func (c *policyCollector) latest() map[string]*active {
	c.mu.Lock()
	defer c.mu.Unlock()
	latest := map[string]*active{}
	for _, r := range c.actives {
		latest[r.service] = r
	}
	return latest
}

// tokensVerified says whether tokens are verified, "" of a policy that has none.
func (r *active) tokensVerified() string {
	if r.engine.Policy().JWT == nil {
		return ""
	}
	return strconv.FormatBool(r.verified)
}

// Describe implements prometheus.Collector.
func (c *policyCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- policyInfo
	ch <- policyAge
}

// Collect implements prometheus.Collector.
func (c *policyCollector) Collect(ch chan<- prometheus.Metric) {
	for service, r := range c.latest() {
		revision := strings.ToValidUTF8(r.now.Revision, "?")
		enabled := r.now.Overlay.Force == ""
		ch <- prometheus.MustNewConstMetric(policyInfo, prometheus.GaugeValue, 1, service, revision,
			strconv.FormatBool(enabled), r.tokensVerified())
		ch <- prometheus.MustNewConstMetric(policyAge, prometheus.GaugeValue, time.Since(r.now.Since).Seconds(), service)
	}
}

// countToken counts the result of the request's token, if the decision read it. The results are a
// small fixed set of words.
func countToken(d *decided) {
	if result := core.TokenResult(&d.caller); result != "" {
		tokensTotal.WithLabelValues(d.active.service, result).Inc()
	}
}
