package caddygray

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/grayrelease/gray/core/live"
)

// liveMetric is one metric of a followed policy's state.
type liveMetric struct {
	description *prometheus.Desc
	kind        prometheus.ValueType
	value       func(live.State) float64
}

var liveMetrics = []liveMetric{
	newLiveMetric("source_connected", "Whether the last thing heard of the policy's source was no failure.",
		prometheus.GaugeValue,
		func(s live.State) float64 { return oneIf(s.Connected) }),
	newLiveMetric("source_rejected",
		"Whether the source's newest document was refused, so that the last good one stays in force.", prometheus.GaugeValue,
		func(s live.State) float64 { return oneIf(s.Rejected != nil) }),
	newLiveMetric("source_forced", "Whether a kill switch sends everybody to one version.", prometheus.GaugeValue,
		func(s live.State) float64 { return oneIf(s.Forced != "") }),
	newLiveMetric("source_switch_deleted", "Whether the kill switch in force is not at the source any more.",
		prometheus.GaugeValue,
		func(s live.State) float64 { return oneIf(s.SwitchDeleted) }),
	newLiveMetric("source_switch_epoch_seen", "The highest epoch of a kill switch that was seen; 0 if none was.",
		prometheus.GaugeValue,
		func(s live.State) float64 {
			if s.Switch == nil {
				return 0
			}
			return float64(s.Switch.Epoch)
		}),
	newLiveMetric("source_switch_epoch_offered", "The epoch of the kill switch at the source; 0 if there is none. "+
		"Less than the one seen: the source was restored from a backup.", prometheus.GaugeValue,
		func(s live.State) float64 { return float64(s.SwitchOffered) }),
	newLiveMetric("stable_held",
		"Whether the registry lists no instance of the stable version, so that the last listed ones serve.",
		prometheus.GaugeValue,
		func(s live.State) float64 {
			for _, u := range s.Upstreams {
				if u.Held {
					return 1
				}
			}
			return 0
		}),
	newLiveMetric("source_updates_total", "Documents that came into force.", prometheus.CounterValue,
		func(s live.State) float64 { return float64(s.Updates) }),
	newLiveMetric("source_rejections_total", "Documents and switches that were refused.", prometheus.CounterValue,
		func(s live.State) float64 { return float64(s.Rejections) }),
	newLiveMetric("source_failures_total", "Times that the source could not be read.", prometheus.CounterValue,
		func(s live.State) float64 { return float64(s.Failures) }),
}

func newLiveMetric(name, help string, kind prometheus.ValueType, value func(live.State) float64) liveMetric {
	description := prometheus.NewDesc("caddy_gray_"+name, help, []string{"service", "source"}, nil)
	return liveMetric{description, kind, value}
}

func oneIf(condition bool) float64 {
	if condition {
		return 1
	}
	return 0
}

// Describe implements prometheus.Collector.
func (l *stateList) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range liveMetrics {
		ch <- m.description
	}
}

// Collect implements prometheus.Collector.
func (l *stateList) Collect(ch chan<- prometheus.Metric) {
	for _, s := range l.of("") {
		if !s.canChange {
			continue
		}
		service, source := strings.ToValidUTF8(s.Service, "?"), strings.ToValidUTF8(s.Source, "?")
		for _, m := range liveMetrics {
			ch <- prometheus.MustNewConstMetric(m.description, m.kind, m.value(s.State), service, source)
		}
	}
}

// Interface guards
var _ prometheus.Collector = (*stateList)(nil)
