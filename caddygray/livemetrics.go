package caddygray

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/grayrelease/gray/rollout/metrics"
)

var sourceMetrics = metrics.NewSource("caddy_gray_")

// Describe implements prometheus.Collector.
func (l *stateList) Describe(ch chan<- *prometheus.Desc) { sourceMetrics.Describe(ch) }

// Collect implements prometheus.Collector.
func (l *stateList) Collect(ch chan<- prometheus.Metric) {
	for _, s := range l.of("") {
		if s.canChange {
			sourceMetrics.Collect(ch, &s.State.State)
		}
	}
}

// Interface guards
var _ prometheus.Collector = (*stateList)(nil)
