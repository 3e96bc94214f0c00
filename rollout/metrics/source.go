package metrics

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/grayrelease/gray/core/live"
)

// Source describes the metrics of followed policies.
type Source struct{ metrics []sourceMetric }

// sourceMetric is one metric of a followed policy's state.
type sourceMetric struct {
	description *prometheus.Desc
	kind        prometheus.ValueType
	value       func(*live.State) float64
}

// NewSource returns the metrics, whose names begin with a prefix such as `gray_`.
func NewSource(prefix string) *Source {
	m := &Source{}
	add := func(kind prometheus.ValueType, name, help string, value func(*live.State) float64) {
		description := prometheus.NewDesc(prefix+name, help, []string{"service", "source"}, nil)
		m.metrics = append(m.metrics, sourceMetric{description, kind, value})
	}
	const gauge, counter = prometheus.GaugeValue, prometheus.CounterValue
	add(gauge, "source_connected", "Whether the last thing heard of the policy's source was no failure.",
		func(s *live.State) float64 { return oneIf(s.Connected) })
	add(gauge, "source_rejected",
		"Whether the source's newest document was refused, so that the last good one stays in force.",
		func(s *live.State) float64 { return oneIf(s.Rejected != nil) })
	add(gauge, "source_forced", "Whether a kill switch sends everybody to one version.",
		func(s *live.State) float64 { return oneIf(s.Forced != "") })
	add(gauge, "source_switch_deleted", "Whether the kill switch in force is not at the source any more.",
		func(s *live.State) float64 { return oneIf(s.SwitchDeleted) })
	add(gauge, "source_switch_epoch_seen", "The highest epoch of a kill switch that was seen; 0 if none was.",
		func(s *live.State) float64 {
			if s.Switch == nil {
				return 0
			}
			return float64(s.Switch.Epoch)
		})
	add(gauge, "source_switch_epoch_offered", "The epoch of the kill switch at the source; 0 if there is none. "+
		"Less than the one seen: the source was restored from a backup.",
		func(s *live.State) float64 { return float64(s.SwitchOffered) })
	add(gauge, "stable_held",
		"Whether the registry lists no instance of the stable version, so that the last listed ones serve.",
		func(s *live.State) float64 {
			for _, u := range s.Upstreams {
				if u.Held {
					return 1
				}
			}
			return 0
		})
	add(counter, "source_updates_total", "Documents that came into force.",
		func(s *live.State) float64 { return float64(s.Updates) })
	add(counter, "source_rejections_total", "Documents and switches that were refused.",
		func(s *live.State) float64 { return float64(s.Rejections) })
	add(counter, "source_failures_total", "Times that the source could not be read.",
		func(s *live.State) float64 { return float64(s.Failures) })
	return m
}

// Describe sends all descriptions.
func (m *Source) Describe(ch chan<- *prometheus.Desc) {
	for _, s := range m.metrics {
		ch <- s.description
	}
}

// Collect sends the metrics of a policy.
func (m *Source) Collect(ch chan<- prometheus.Metric, s *live.State) {
	service, source := strings.ToValidUTF8(s.Service, "?"), strings.ToValidUTF8(s.Source, "?")
	for _, each := range m.metrics {
		ch <- prometheus.MustNewConstMetric(each.description, each.kind, each.value(s), service, source)
	}
}
