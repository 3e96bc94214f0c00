package caddygray

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/grayrelease/gray/internal/policymetrics"
)

var liveMetrics = policymetrics.New("caddy_gray_")

// Describe implements prometheus.Collector.
func (l *stateList) Describe(ch chan<- *prometheus.Desc) {
	liveMetrics.Describe(ch)
}

// Collect implements prometheus.Collector.
func (l *stateList) Collect(ch chan<- prometheus.Metric) {
	for _, s := range l.of("") {
		if s.canChange {
			liveMetrics.Collect(ch, s.State)
		}
	}
}

// Interface guards
var _ prometheus.Collector = (*stateList)(nil)
