package decider

import (
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/types/known/structpb"

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

// prepared is what was made ready for the decisions that the policy in force has made so far. A
// policy shares its decisions among requests, so their addresses name them.
type prepared struct {
	of map[*core.Decision]*readied
}

// readied is a decision's counter, and what Envoy is told of it for its logs.
type readied struct {
	counter  prometheus.Counter
	metadata *structpb.Struct
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

// count counts a decision, and how the caller's token fared. It returns what is ready for the
// decision.
func (v *service) count(c *core.Caller, d *core.Decision) *readied {
	before := v.prepared.Load()
	ready := before.of[d]
	if ready == nil {
		ready = v.prepare(before, d)
	}
	ready.counter.Inc()
	if result := core.TokenResult(c); result != "" {
		v.metrics.tokens.WithLabelValues(v.label, result).Inc()
	}
	return ready
}

// prepare makes ready what a decision needs.
func (v *service) prepare(before *prepared, d *core.Decision) *readied {
	ready := &readied{v.counters.of(d), metadata(v.label, d)}
	next := &prepared{of: make(map[*core.Decision]*readied, len(before.of)+1)}
	for known, of := range before.of {
		next.of[known] = of
	}
	next.of[d] = ready
	v.prepared.CompareAndSwap(before, next) // else the next such request does it
	return ready
}

// state tells how the policy stands.
func (v *service) state() live.State {
	state := v.handle.State()
	if state.Service == "" {
		state.Service = v.config.Service
	}
	return state
}
