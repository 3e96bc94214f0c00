package caddygray

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/grayrelease/gray/rollout/metrics"
)

// rollouts collects where rollouts are, on demand.
var rollouts rolloutCollector

type rolloutCollector struct{}

var rolloutMetrics = metrics.NewRollout("caddy_gray_rollout_")

// Describe implements prometheus.Collector.
func (rolloutCollector) Describe(ch chan<- *prometheus.Desc) { rolloutMetrics.Describe(ch) }

// Collect implements prometheus.Collector.
func (rolloutCollector) Collect(ch chan<- prometheus.Metric) {
	seen := map[string]bool{}
	for _, s := range states.of("") {
		if s.Rollout == nil || seen[s.Service] {
			continue
		}
		seen[s.Service] = true
		rolloutMetrics.Collect(ch, strings.ToValidUTF8(s.Service, "?"), s.Rollout)
	}
}
