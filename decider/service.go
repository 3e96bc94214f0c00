package decider

import (
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/live"
)

// service is a policy that is followed.
type service struct {
	config   *Service
	label    string // the service's name in metrics
	handle   *live.Handle
	counters *counters
	metrics  *serverMetrics
	prepared atomic.Pointer[prepared]
}

// prepared are the counters of the decisions that the policy in force has made so far. A policy
// shares its decisions among requests, so their addresses name them.
type prepared struct {
	of map[*core.Decision]prometheus.Counter
}

func openService(config *Service, state string, log *slog.Logger, m *serverMetrics) (*service, error) {
	v := &service{config: config, label: strings.ToValidUTF8(config.Name, "?"), metrics: m}
	v.counters = &counters{service: v.label, metrics: m, now: time.Now, all: map[outcome]*series{}}
	v.prepared.Store(&prepared{})
	var err error
	v.handle, err = live.Open(live.Options{Source: config.source(), Service: config.Service, Cache: state, Logger: log,
		Apply: v.apply})
	return v, err
}

// apply takes over what is in force.
func (v *service) apply(c *live.Current) error {
	if c.Engine != nil {
		v.counters.follow(c.Engine)
	}
	v.prepared.Store(&prepared{})
	return nil
}

// count counts a decision, and how the caller's token fared.
func (v *service) count(c *core.Caller, d *core.Decision) {
	before := v.prepared.Load()
	counter := before.of[d]
	if counter == nil {
		counter = v.prepare(before, d)
	}
	counter.Inc()
	if result := core.TokenResult(c); result != "" {
		v.metrics.tokens.WithLabelValues(v.label, result).Inc()
	}
}

// prepare adds a decision's counter to those at hand.
func (v *service) prepare(before *prepared, d *core.Decision) prometheus.Counter {
	counter := v.counters.of(d)
	next := &prepared{of: make(map[*core.Decision]prometheus.Counter, len(before.of)+1)}
	for known, of := range before.of {
		next.of[known] = of
	}
	next.of[d] = counter
	v.prepared.CompareAndSwap(before, next) // else the next such request does it
	return counter
}

// state tells how the policy stands.
func (v *service) state() live.State {
	state := v.handle.State()
	if state.Service == "" {
		state.Service = v.config.Service
	}
	return state
}
