package guard

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/grayrelease/gray/core"
)

// Tracker observes the requests of one attempt of a rollout, and judges its guards. What requests
// call allocates nothing while they are good. It is safe for concurrent use.
type Tracker struct {
	plan      *core.RolloutPlan
	threshold float64 // that ln E must reach
	latency   *Latency
	signals   []*signal
	hasLimits bool
	// hasLatency says that a guard is on latency.
	hasLatency bool
	step       atomic.Pointer[step]
	minute     atomic.Pointer[minute]
	alarm      chan struct{}
	open       [openShards]openList

	mu      sync.Mutex
	first   time.Time              // when the canary's first request was seen
	latched []*core.RolloutVerdict // of each guard that found the canary bad
}

// signal is what one guard measures: against stable, or against a limit.
type signal struct {
	guard    core.RolloutGuard
	evidence *Evidence    // nil of a guard with a limit, and of one that is not measured
	limits   [2]*limit    // by arm; nil of a guard without a limit, and of one that is not measured
	slow     atomic.Int64 // longer is slow, in nanoseconds; 0: nothing is yet

	// Callers who were bad since the step began, by arm; not of a guard with a limit.
	failing atomic.Pointer[[2]Callers]

	// Under the tracker's lock:
	finding *Finding         // what was reported about a guard that is not measured
	heard   map[string]heard // what gateways say of a guard with a limit
}

// step is what belongs to one step.
type step struct {
	number  int
	percent float64
	least   int // callers of the canary to be compared
	since   time.Time
	callers [2]Callers
}

// minute is what limits need of the current minute.
type minute struct {
	since   time.Time
	callers [2]Callers
}

// Request is what a tracker has to remember of a request.
type Request struct {
	position uint64
	percent  float64
	arm      Arm
}

// NewTracker returns the tracker of a state's attempt. Latency is what is known of stable's
// requests already, such as the attempt before; nil is nothing.
func NewTracker(plan *core.RolloutPlan, s *core.RolloutState, latency *Latency, now time.Time) *Tracker {
	if latency == nil {
		latency = NewLatency()
	}
	t := &Tracker{plan: plan, latency: latency, alarm: make(chan struct{}, 1)}
	for _, g := range plan.Guards {
		sig := &signal{guard: g}
		switch {
		case !g.IsMeasured():
			t.signals = append(t.signals, sig)
			continue
		case g.Limit > 0:
			sig.limits = [2]*limit{newLimit(g.Limit), newLimit(g.Limit)}
			sig.slow.Store(int64(g.Over))
			t.hasLimits = true
		default:
			sig.evidence = NewEvidence(plan.Tolerance)
		}
		t.hasLatency = t.hasLatency || g.Measures == core.GuardLatency
		t.signals = append(t.signals, sig)
	}
	t.threshold = Threshold(plan)
	t.latched = make([]*core.RolloutVerdict, len(t.signals))
	t.minute.Store(&minute{since: now})
	t.begin(s, now)
	return t
}

// Threshold returns what ln E must reach for a guard of a plan to find the canary bad: the guards
// that roll back share the plan's alpha.
func Threshold(plan *core.RolloutPlan) float64 {
	acting := 0
	for _, g := range plan.Guards {
		if g.Then == core.GuardRollback {
			acting++
		}
	}
	return math.Log(float64(max(acting, 1)) / plan.Alpha)
}

// Follow takes over the step and the percentage of a state of the same attempt.
func (t *Tracker) Follow(s *core.RolloutState, now time.Time) {
	if at := t.step.Load(); at.number != s.Step || at.percent != s.Percent {
		t.begin(s, now)
	}
}

func (t *Tracker) begin(s *core.RolloutState, now time.Time) {
	next := &step{number: s.Step, percent: s.Percent, least: LeastCallers(t.plan, s.Step), since: now}
	t.step.Store(next)
	for _, sig := range t.signals {
		if sig.evidence != nil {
			sig.evidence.Begin()
			sig.failing.Store(&[2]Callers{})
			continue
		}
		for _, l := range sig.limits {
			if l != nil {
				l.begin()
			}
		}
	}
}

// defaultCallers of the canary are compared in a step that does not say how many.
const defaultCallers = 100

// LeastCallers returns how many callers of the canary are to be compared in a step, from 1.
func LeastCallers(plan *core.RolloutPlan, step int) int {
	if step >= 1 && step <= len(plan.Steps) && plan.Steps[step-1].Min > 0 {
		return plan.Steps[step-1].Min
	}
	return defaultCallers
}

// Decided notes that the rollout's rule asked its bucket about a caller: at which position, and
// whether it took the caller.
func (t *Tracker) Decided(position uint64, arm Arm) Request {
	s := t.step.Load()
	s.callers[arm].Add(position)
	if t.hasLimits {
		t.minute.Load().callers[arm].Add(position)
	}
	return Request{position: position, percent: s.percent, arm: arm}
}

// Done notes how a request ended. Bad are statuses of 500 and above, connections that failed,
// timeouts, truncated bodies, the corresponding statuses of gRPC, and requests of the canary that
// stable had to answer; not clients that left. A request took as long as its header did.
func (t *Tracker) Done(r Request, isBad bool, took time.Duration) { t.done(r, isBad, 0, took) }

// done is Done for a request of which it was known already that it takes longer than some time.
func (t *Tracker) done(r Request, isBad bool, longer, took time.Duration) {
	if isBad {
		t.bad(r)
	} else if r.arm == Control {
		t.latency.Add(took)
	}
	t.slow(r, longer, took)
}

// slow counts a request for the guards on latency for which it is slow now, and was not before.
func (t *Tracker) slow(r Request, longer, took time.Duration) {
	for _, sig := range t.signals {
		if sig.guard.Measures != core.GuardLatency {
			continue
		}
		longest := time.Duration(sig.slow.Load())
		if longest > 0 && took > longest && longer <= longest {
			t.count(sig, r)
		}
	}
}

func (t *Tracker) bad(r Request) {
	for _, sig := range t.signals {
		if sig.guard.Measures == core.GuardErrors {
			t.count(sig, r)
		}
	}
}

// count counts a bad event, and raises the alarm when that makes the difference.
func (t *Tracker) count(sig *signal, r Request) {
	if sig.evidence == nil {
		sig.limits[r.arm].add(r.position)
		return
	}
	sig.failing.Load()[r.arm].Add(r.position)
	isNew := sig.evidence.Add(Bad{Position: r.position, Percent: r.percent, Arm: r.arm})
	t.raise(isNew && r.arm == Canary && sig.evidence.Counts().Highest >= t.threshold)
}

// Alarm returns a channel that receives when a guard has just found enough: Judge will say so.
func (t *Tracker) Alarm() <-chan struct{} { return t.alarm }

// Callers returns how many distinct callers the step has seen.
func (t *Tracker) Callers() (canary, control int) {
	s := t.step.Load()
	return s.callers[Canary].Count(), s.callers[Control].Count()
}

// Tick notes the time: each second or so. It ends minutes, and counts requests that hang.
func (t *Tracker) Tick(now time.Time) {
	t.countHanging(now)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.first.IsZero() {
		if canary, _ := t.Callers(); canary > 0 {
			t.first = now
		}
	}
	if m := t.minute.Load(); now.Sub(m.since) >= time.Minute {
		t.minute.Store(&minute{since: now})
		t.latency.Turn()
		for _, sig := range t.signals {
			if sig.evidence != nil {
				sig.evidence.Turn()
			}
			for arm, l := range sig.limits {
				if l != nil {
					l.turn(m.callers[arm].Count())
				}
			}
		}
	}
	if t.first.IsZero() || now.Sub(t.first) < t.plan.Warmup {
		return
	}
	for _, sig := range t.signals {
		if sig.evidence != nil && sig.guard.Measures == core.GuardLatency {
			sig.slow.Store(int64(t.latency.Quantile(sig.guard.Quantile)))
		}
	}
}
