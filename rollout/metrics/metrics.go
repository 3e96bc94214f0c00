// Package metrics makes Prometheus metrics of where a rollout is.
package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/grayrelease/gray/core/live"
)

// Rollout describes the metrics of rollouts.
type Rollout struct {
	percent, step, phase, attempt, evidence, threshold, callers, bad *prometheus.Desc
}

// New returns the metrics, whose names begin with a prefix such as `gray_rollout_`.
func New(prefix string) *Rollout {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prefix+name, help, append([]string{"service"}, labels...), nil)
	}
	return &Rollout{
		percent:   desc("percent", "The percentage of the rollout's rule."),
		step:      desc("step", "The step of the rollout's plan, from 1; 0 before the first."),
		phase:     desc("phase", "1 for the phase that the rollout is in.", "phase"),
		attempt:   desc("attempt", "How often releases were attempted."),
		evidence:  desc("evidence", "ln E: the evidence that the canary is bad.", "guard"),
		threshold: desc("threshold", "What the evidence must reach for the guard to act.", "guard"),
		callers:   desc("callers_total", "Distinct callers, from zero at each step.", "arm"),
		bad:       desc("bad_total", "Callers who were bad by a guard, from zero at each step.", "guard", "arm"),
	}
}

// Describe sends all descriptions.
func (m *Rollout) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.percent, m.step, m.phase, m.attempt, m.evidence, m.threshold, m.callers,
		m.bad} {
		ch <- d
	}
}

// Collect sends the metrics of a service's rollout. The labels come from the policy, which is
// bounded.
func (m *Rollout) Collect(ch chan<- prometheus.Metric, service string, r *live.RolloutStatus) {
	send := func(kind prometheus.ValueType, d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, kind, value, append([]string{service}, labels...)...)
	}
	const gauge, counter = prometheus.GaugeValue, prometheus.CounterValue
	send(gauge, m.percent, r.Percent)
	send(gauge, m.step, float64(r.Step))
	send(gauge, m.phase, 1, r.Phase)
	send(gauge, m.attempt, float64(r.Attempt))
	var canary, control int
	for _, g := range r.Guards {
		send(gauge, m.evidence, g.Evidence, g.Guard)
		send(gauge, m.threshold, g.Threshold, g.Guard)
		send(counter, m.bad, float64(g.Canary.Bad), g.Guard, "canary")
		send(counter, m.bad, float64(g.Control.Bad), g.Guard, "control")
		canary = max(canary, g.Canary.Callers)
		control = max(control, g.Control.Callers)
	}
	if len(r.Guards) > 0 {
		send(counter, m.callers, float64(canary), "canary")
		send(counter, m.callers, float64(control), "control")
	}
}
