package decider

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/rollout/metrics"
)

// result says what became of a question.
type result int

const (
	resultDecided   result = iota // by a policy
	resultNoPolicy                // the service's policy is not known yet
	resultNoService               // no policy is for the host, or the gateway names none of ours
	resultMistake                 // the gateway asks in no way that we know
	results
)

// protocol says how a question came.
type protocol int

const (
	protocolHTTP protocol = iota
	protocolGRPC
	protocols
)

var (
	resultNames   = [results]string{"decided", "no_policy", "no_service", "mistake"}
	protocolNames = [protocols]string{"http", "grpc"}
)

// seriesLife is how long series stay whose version or rule no policy has any more.
const seriesLife = time.Hour

// serverMetrics count what is asked.
type serverMetrics struct {
	registry  *prometheus.Registry
	decisions *prometheus.CounterVec
	tokens    *prometheus.CounterVec
	questions [protocols][results]prometheus.Counter
	durations [protocols]prometheus.Observer
}

func newMetrics(s *Server) *serverMetrics {
	m := &serverMetrics{registry: prometheus.NewRegistry()}
	m.decisions = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gray_decisions_total",
		Help: "Requests decided on, by the version decided and the rule that decided (empty: none matched)."},
		[]string{"service", "version", "rule"})
	m.tokens = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gray_tokens_total",
		Help: "Requests whose token was looked at for claims, by how it fared (ok, none, expired and so on)."},
		[]string{"service", "result"})
	questions := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gray_decider_questions_total",
		Help: "What gateways asked, by what became of it: decided, no_policy, no_service, mistake."},
		[]string{"protocol", "result"})
	durations := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "gray_decider_duration_seconds",
		Help:    "Time from a question's header to its answer.",
		Buckets: []float64{.00001, .000025, .00005, .0001, .00025, .0005, .001, .0025, .01, .1}},
		[]string{"protocol"})
	for p, name := range protocolNames {
		for r, word := range resultNames {
			m.questions[p][r] = questions.WithLabelValues(name, word)
		}
		m.durations[p] = durations.WithLabelValues(name)
	}
	m.registry.MustRegister(m.decisions, m.tokens, questions, durations, collector{s}, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *serverMetrics) answered(p protocol, r result, took time.Duration) {
	m.questions[p][r].Inc()
	m.durations[p].Observe(took.Seconds())
}

// counters are a service's counters of decisions, by version and rule. Those that no policy has any
// more end after an hour.
type counters struct {
	service string
	metrics *serverMetrics
	now     func() time.Time

	mu  sync.Mutex
	all map[outcome]*series
}

// outcome is what a policy can decide.
type outcome struct{ version, rule string }

// series is the counter of an outcome.
type series struct {
	prometheus.Counter
	released time.Time // when the last policy that has it was replaced; zero while one has it
}

func (c *counters) of(d *core.Decision) prometheus.Counter {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := outcome{d.Version, d.Rule}
	s := c.all[o]
	if s == nil {
		s = &series{Counter: c.metrics.decisions.WithLabelValues(c.service, o.version, o.rule)}
		c.all[o] = s
	}
	return s
}

// follow notes which policy is in force now.
func (c *counters) follow(e *core.Engine) {
	rules := map[string]bool{"": true, core.TesterRule: true}
	for _, name := range e.RuleNames() {
		rules[name] = true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for o, s := range c.all {
		_, known := e.Versions()[o.version]
		switch {
		case known && rules[o.rule]:
			s.released = time.Time{}
		case s.released.IsZero():
			s.released = c.now()
		}
	}
	c.sweep()
}

// sweep ends what was released for long enough. The lock is held.
func (c *counters) sweep() {
	for o, s := range c.all {
		if !s.released.IsZero() && c.now().Sub(s.released) >= seriesLife {
			delete(c.all, o)
			c.metrics.decisions.DeleteLabelValues(c.service, o.version, o.rule)
		}
	}
}

// collector makes metrics of how policies and rollouts stand when they are asked for.
type collector struct{ server *Server }

var (
	sourceMetrics  = metrics.NewSource("gray_")
	rolloutMetrics = metrics.NewRollout("gray_rollout_")
)

// Describe implements prometheus.Collector.
func (collector) Describe(into chan<- *prometheus.Desc) {
	sourceMetrics.Describe(into)
	rolloutMetrics.Describe(into)
}

// Collect implements prometheus.Collector.
func (c collector) Collect(into chan<- prometheus.Metric) {
	for _, v := range c.server.list {
		v.counters.mu.Lock()
		v.counters.sweep()
		v.counters.mu.Unlock()
		state := v.state()
		state.Service = v.label // names each policy once
		sourceMetrics.Collect(into, &state)
		if state.Rollout != nil {
			rolloutMetrics.Collect(into, v.label, state.Rollout)
		}
	}
}

// Interface guards
var _ prometheus.Collector = collector{}
