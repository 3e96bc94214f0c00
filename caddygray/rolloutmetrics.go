package caddygray

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/grayrelease/gray/core/live"
)

// rollouts collects where rollouts are, on demand.
var rollouts rolloutCollector

type rolloutCollector struct{}

func rolloutMetric(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("caddy_gray_rollout_"+name, help, append([]string{"service"}, labels...), nil)
}

var (
	rolloutPercent   = rolloutMetric("percent", "The percentage of the rollout's rule.")
	rolloutStep      = rolloutMetric("step", "The step of the rollout's plan, from 1; 0 before the first.")
	rolloutPhase     = rolloutMetric("phase", "1 for the phase that the rollout is in.", "phase")
	rolloutAttempt   = rolloutMetric("attempt", "How often releases were attempted.")
	rolloutEvidence  = rolloutMetric("evidence", "ln E: the evidence that the canary is bad.", "guard")
	rolloutThreshold = rolloutMetric("threshold", "What the evidence must reach for the guard to act.", "guard")
	rolloutCallers   = rolloutMetric("callers_total", "Distinct callers, from zero at each step.", "arm")
	rolloutBad       = rolloutMetric("bad_total", "Callers who were bad by a guard, from zero at each step.",
		"guard", "arm")

	rolloutMetrics = []*prometheus.Desc{rolloutPercent, rolloutStep, rolloutPhase, rolloutAttempt, rolloutEvidence,
		rolloutThreshold, rolloutCallers, rolloutBad}
)

// Describe implements prometheus.Collector.
func (rolloutCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range rolloutMetrics {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (rolloutCollector) Collect(ch chan<- prometheus.Metric) {
	seen := map[string]bool{}
	for _, s := range states.of("") {
		if s.Rollout == nil || seen[s.Service] {
			continue
		}
		seen[s.Service] = true
		collectRollout(ch, strings.ToValidUTF8(s.Service, "?"), s.Rollout)
	}
}

func collectRollout(ch chan<- prometheus.Metric, service string, r *live.RolloutStatus) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, append([]string{service}, labels...)...)
	}
	count := func(d *prometheus.Desc, n int, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), append([]string{service}, labels...)...)
	}
	gauge(rolloutPercent, r.Percent)
	gauge(rolloutStep, float64(r.Step))
	gauge(rolloutPhase, 1, r.Phase)
	gauge(rolloutAttempt, float64(r.Attempt))
	var canary, control int
	for _, g := range r.Guards {
		gauge(rolloutEvidence, g.Evidence, g.Guard)
		gauge(rolloutThreshold, g.Threshold, g.Guard)
		count(rolloutBad, g.Canary.Bad, g.Guard, "canary")
		count(rolloutBad, g.Control.Bad, g.Guard, "control")
		canary = max(canary, g.Canary.Callers)
		control = max(control, g.Control.Callers)
	}
	if len(r.Guards) > 0 {
		count(rolloutCallers, canary, "canary")
		count(rolloutCallers, control, "control")
	}
}
