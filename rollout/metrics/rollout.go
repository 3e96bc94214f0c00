package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/rollout/guard"
)

// Rollout describes the metrics of rollouts.
type Rollout struct {
	info, percent, step, steps, phase, attempt, epoch, changed, ends, approval *prometheus.Desc
	verdict, evidence, threshold, callers, bad                                 *prometheus.Desc
}

// NewRollout returns the metrics, whose names begin with a prefix such as `gray_rollout_`.
func NewRollout(prefix string) *Rollout {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prefix+name, help, append([]string{"service"}, labels...), nil)
	}
	return &Rollout{
		info:    desc("info", "1, with the rule whose percentage rises and the version that it gives.", "rule", "version"),
		percent: desc("percent", "The percentage of the rollout's rule."),
		step:    desc("step", "The step of the rollout's plan, from 1; 0 before the first."),
		steps:   desc("steps", "How many steps the rollout's plan has."),
		phase:   desc("phase", "1 for the phase that the rollout is in.", "phase"),
		attempt: desc("attempt", "How often releases were attempted."),
		epoch: desc("epoch", "The number of the rollout's state, which only grows; 0 before the first. Who has another one "+
			"obeys another state."),
		changed: desc("changed_timestamp_seconds", "When the phase or the step changed."),
		ends: desc("step_ends_timestamp_seconds", "When the time of the step is over. There is none in phases in which no "+
			"time counts."),
		approval: desc("needs_approval", "1 while the rollout waits for a person, and for nothing else."),
		verdict: desc("verdict", "1 for what a guard says: good, bad or undecided, with the cause of that.", "guard",
			"verdict", "cause"),
		evidence:  desc("evidence", "ln E: the evidence that the canary is bad.", "guard"),
		threshold: desc("threshold", "What the evidence must reach for the guard to act.", "guard"),
		callers:   desc("callers_total", "Distinct callers, from zero at each step.", "arm"),
		bad:       desc("bad_total", "Callers who were bad by a guard, from zero at each step.", "guard", "arm"),
	}
}

// Describe sends all descriptions.
func (m *Rollout) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.info, m.percent, m.step, m.steps, m.phase, m.attempt, m.epoch, m.changed,
		m.ends, m.approval, m.verdict, m.evidence, m.threshold, m.callers, m.bad} {
		ch <- d
	}
}

// Collect sends the metrics of a service's rollout.
func (m *Rollout) Collect(ch chan<- prometheus.Metric, service string, r *live.RolloutStatus) {
	send := func(kind prometheus.ValueType, d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, kind, value, append([]string{service}, labels...)...)
	}
	const gauge, counter = prometheus.GaugeValue, prometheus.CounterValue
	send(gauge, m.info, 1, r.Rule, r.Version)
	send(gauge, m.percent, r.Percent)
	send(gauge, m.step, float64(r.Step))
	send(gauge, m.steps, float64(r.Steps))
	send(gauge, m.phase, 1, r.Phase)
	send(gauge, m.attempt, float64(r.Attempt))
	send(gauge, m.epoch, float64(r.Epoch))
	send(gauge, m.approval, oneIf(r.NeedsApproval))
	if !r.Since.IsZero() {
		send(gauge, m.changed, seconds(r.Since))
	}
	if !r.StepEnds.IsZero() {
		send(gauge, m.ends, seconds(r.StepEnds))
	}
	var canary, control int
	for _, g := range r.Guards {
		send(gauge, m.verdict, 1, g.Guard, g.Verdict, guard.CauseWord(g.Cause))
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

func seconds(at time.Time) float64 { return float64(at.UnixMilli()) / 1000 }

func oneIf(condition bool) float64 {
	if condition {
		return 1
	}
	return 0
}
