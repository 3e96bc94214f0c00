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
	rolloutMetrics = metrics.New("gray_rollout_")
	connectedDesc  = prometheus.NewDesc("gray_source_connected", "1 while the source of the policy answers.",
		[]string{"service"}, nil)
)

func (s *Server) registry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collector{s}, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), s.teller.sent)
	return r
}

// Describe implements prometheus.Collector.
func (collector) Describe(into chan<- *prometheus.Desc) {
	rolloutMetrics.Describe(into)
	into <- connectedDesc
}

// Collect implements prometheus.Collector.
func (c collector) Collect(into chan<- prometheus.Metric) {
	for _, v := range c.server.services {
		state, name := v.state(), strings.ToValidUTF8(v.config.Service, "?")
		connected := 0.0
		if state.Connected {
			connected = 1
		}
		into <- prometheus.MustNewConstMetric(connectedDesc, prometheus.GaugeValue, connected, name)
		if state.Rollout != nil {
			rolloutMetrics.Collect(into, name, state.Rollout)
		}
	}
}
