package serve

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/grayrelease/gray/rollout/metrics"
)

// collector makes metrics of what is known when they are asked for.
type collector struct{ server *Server }

var (
	rolloutMetrics = metrics.NewRollout("gray_rollout_")
	sourceMetrics  = metrics.NewSource("gray_")
	signalUp       = prometheus.NewDesc("gray_signal_up",
		"Whether a signal could be read when it was last asked: a gateway, the counters of another program, or "+
			"Prometheus; and whether the weights of a route could be set.",
		[]string{"service", "kind", "url"}, nil)
)

func (s *Server) registry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collector{s}, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), s.teller.sent, s.rollbacks)
	return r
}

// Describe implements prometheus.Collector.
func (collector) Describe(into chan<- *prometheus.Desc) {
	rolloutMetrics.Describe(into)
	sourceMetrics.Describe(into)
	into <- signalUp
}

// Collect implements prometheus.Collector.
func (c collector) Collect(into chan<- prometheus.Metric) {
	for _, v := range c.server.services {
		state := v.use.State(v.handle)
		state.Service = v.config.Service
		sourceMetrics.Collect(into, &state)
		if state.Rollout != nil {
			rolloutMetrics.Collect(into, label(v.config.Service), state.Rollout)
		}
	}
	places := map[signal]float64{} // which may have several signals, by their parameters
	c.server.signals.Range(func(key, failure any) bool {
		s, up := key.(signal), 0.0
		if failure == "" {
			up = 1
		}
		s.url = s.place()
		if before, isKnown := places[s]; !isKnown || up < before {
			places[s] = up
		}
		return true
	})
	for s, up := range places {
		into <- prometheus.MustNewConstMetric(signalUp, prometheus.GaugeValue, up, label(s.service), s.kind, label(s.url))
	}
}

// label is a text as Prometheus takes it.
func label(text string) string { return strings.ToValidUTF8(text, "?") }
