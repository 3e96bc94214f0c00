// Package policymetrics makes Prometheus metrics of how followed policies stand.
package policymetrics

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/grayrelease/gray/core/live"
)

// metric is one metric of a followed policy's state.
type metric struct {
	name, help string
	kind       prometheus.ValueType
	value      func(live.State) float64
}

// State describes the metrics of followed policies.
type State struct {
	metrics []described
}

// described is a metric with a prefix.
type described struct {
	metric
	description *prometheus.Desc
}

// New returns the metrics, whose names begin with a prefix such as `gray_`.
func New(prefix string) *State {
	s := &State{}
	for _, m := range metrics {
		d := prometheus.NewDesc(prefix+m.name, m.help, []string{"service", "source"}, nil)
		s.metrics = append(s.metrics, described{m, d})
	}
	return s
}

// Describe sends all descriptions.
func (s *State) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range s.metrics {
		ch <- m.description
	}
}

// Collect sends the metrics of a policy's state. The labels come from the configuration.
func (s *State) Collect(ch chan<- prometheus.Metric, state live.State) {
	service, source := strings.ToValidUTF8(state.Service, "?"), strings.ToValidUTF8(state.Source, "?")
	for _, m := range s.metrics {
		ch <- prometheus.MustNewConstMetric(m.description, m.kind, m.value(state), service, source)
	}
}

var metrics = []metric{
	{"source_connected", "Whether the last thing heard of the policy's source was no failure.",
		prometheus.GaugeValue,
		func(s live.State) float64 { return oneIf(s.Connected) }},
	{"source_rejected",
		"Whether the source's newest document was refused, so that the last good one stays in force.", prometheus.GaugeValue,
		func(s live.State) float64 { return oneIf(s.Rejected != nil) }},
	{"source_forced", "Whether a kill switch sends everybody to one version.", prometheus.GaugeValue,
		func(s live.State) float64 { return oneIf(s.Forced != "") }},
	{"source_switch_deleted", "Whether the kill switch in force is not at the source any more.",
		prometheus.GaugeValue,
		func(s live.State) float64 { return oneIf(s.SwitchDeleted) }},
	{"source_switch_epoch_seen", "The highest epoch of a kill switch that was seen; 0 if none was.",
		prometheus.GaugeValue,
		func(s live.State) float64 {
			if s.Switch == nil {
				return 0
			}
			return float64(s.Switch.Epoch)
		}},
	{"source_switch_epoch_offered", "The epoch of the kill switch at the source; 0 if there is none. " +
		"Less than the one seen: the source was restored from a backup.", prometheus.GaugeValue,
		func(s live.State) float64 { return float64(s.SwitchOffered) }},
	{"stable_held",
		"Whether the registry lists no instance of the stable version, so that the last listed ones serve.",
		prometheus.GaugeValue,
		func(s live.State) float64 {
			for _, u := range s.Upstreams {
				if u.Held {
					return 1
				}
			}
			return 0
		}},
	{"source_updates_total", "Documents that came into force.", prometheus.CounterValue,
		func(s live.State) float64 { return float64(s.Updates) }},
	{"source_rejections_total", "Documents and switches that were refused.", prometheus.CounterValue,
		func(s live.State) float64 { return float64(s.Rejections) }},
	{"source_failures_total", "Times that the source could not be read.", prometheus.CounterValue,
		func(s live.State) float64 { return float64(s.Failures) }},
}

func oneIf(condition bool) float64 {
	if condition {
		return 1
	}
	return 0
}
