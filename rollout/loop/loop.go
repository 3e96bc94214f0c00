// Package loop moves rollouts: it measures in this gateway, decides what follows, and writes it
// where all gateways read it.
//
//	use, err := loop.Open(loop.Options{Service: "user", URL: "etcd://127.0.0.1:2379/gray/user"})
//	handle, err := live.Open(live.Options{..., Apply: func(c *live.Current) error {
//		tracker := use.Follow(c) // observes requests; nil while there is nothing to compare
//		...
//	}})
//	use.Start(handle)
//	defer use.Close()
//
// Any number of gateways may run the loop of one rollout. States are written by compare-and-set, so
// that one raises a percentage once. What lowers it is in force here before it is written, and is
// written as soon as its place can be reached. When that place is away, nothing rises.
//
// Uses of one rollout in a program, such as before and after a reload, share one loop, and so what
// it knows of the canary.
package loop

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/rollout"
	"github.com/grayrelease/gray/rollout/guard"
	"github.com/grayrelease/gray/rollout/store"
)

// Options say what a loop moves.
type Options struct {
	// Service whose rollout it is. Required.
	Service string
	// URL of the policy beside which the state is written, and options that outrank those in it:
	// see store.Open. Required.
	URL          string
	StoreOptions map[string]string
	// Folder keeps what is known of the canary, for a gateway that starts again. It must exist by
	// the time that it is needed, or can be made. Default: nothing is kept.
	Folder string
	// Obeys has the loop measure nothing and move nothing by itself. Commands are still written.
	Obeys bool
	// Gateways is how many run the loop of this rollout, each with the callers that it sees: each
	// may be wrong with that share of the plan's alpha. 0 is 1.
	Gateways int
	// CountsRequests says that what is measured are requests whose callers are not known: the
	// canary is tolerated to be 1.5 times as bad at least.
	CountsRequests bool
	// Gate is asked before this loop raises the percentage; its error keeps the rollout where it
	// is, and is asked for again a second later. It may block. Default: nobody is asked.
	Gate func(ctx context.Context, next *core.RolloutState) error
	// Logger gets a line for what fails. Default: no log.
	Logger *slog.Logger
	// Event is told what happens to the rollout, one call at a time. Default: nobody is.
	Event func(Event)
}

// turnEvery is how often a loop looks at the time.
const turnEvery = time.Second

// now tells the time; tests replace it.
var now = func() time.Time { return time.Now().UTC().Round(0) }

// Use is one use of a loop.
type Use struct {
	loop    *Loop
	options Options
	handle  *live.Handle // nil before Start; guarded by the loop's lock
}

// Loop moves one rollout.
type Loop struct {
	key    string
	store  *store.Store
	folder string
	wake   chan struct{} // something has changed
	write  chan struct{} // something is to be written
	told   chan Event    // to be told; when nobody hears them, they are dropped
	cancel context.CancelFunc
	ended  sync.WaitGroup

	mu      sync.Mutex
	uses    []*Use // the newest last
	tracked tracked
	failure string // why the state cannot be written, "" if it can
	events  journal
}

var (
	registryLock sync.Mutex
	loops        = map[string]*Loop{}
)

// Open joins the loop of a rollout, or starts it. The error is that of store.Open.
func Open(o Options) (*Use, error) {
	s, err := store.Open(o.URL, o.StoreOptions)
	if err != nil {
		return nil, err
	}
	registryLock.Lock()
	defer registryLock.Unlock()
	key := o.Service + " " + s.Name
	l := loops[key]
	if l == nil {
		l = &Loop{key: key, folder: o.Folder, wake: make(chan struct{}, 1), write: make(chan struct{}, 1),
			told: make(chan Event, maxUntold)}
		l.tracked.latency = guard.NewLatency()
		loops[key] = l
		var ctx context.Context
		ctx, l.cancel = context.WithCancel(context.Background())
		l.ended.Go(func() { l.run(ctx) })
		l.ended.Go(func() { l.runWriter(ctx) })
		l.ended.Go(func() { l.runTeller(ctx) })
	}
	u := &Use{loop: l, options: o}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.store = s // the credentials of the newest configuration
	l.uses = append(l.uses, u)
	return u, nil
}

// Start gives the loop the handle by which states come into force.
func (u *Use) Start(h *live.Handle) {
	l := u.loop
	l.mu.Lock()
	u.handle = h
	l.mu.Unlock()
	signal(l.wake)
}

// Close ends the use. The last one ends the loop, and keeps what it knows.
func (u *Use) Close() {
	registryLock.Lock()
	defer registryLock.Unlock()
	l := u.loop
	l.mu.Lock()
	l.uses = slices.DeleteFunc(l.uses, func(other *Use) bool { return other == u })
	isLast := len(l.uses) == 0
	l.mu.Unlock()
	if !isLast || loops[l.key] != l {
		return
	}
	delete(loops, l.key)
	l.cancel()
	l.ended.Wait()
	l.keep()
}

// options are those of the newest use, none after the last one.
func (l *Loop) options() Options {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.uses) == 0 {
		return Options{}
	}
	return l.uses[len(l.uses)-1].options
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// run takes turns: at once when a guard has found enough, else each second.
func (l *Loop) run(ctx context.Context) {
	ticker := time.NewTicker(turnEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-l.wake:
		case <-l.alarm():
		}
		l.turn(now())
	}
}

// situation is what a turn goes by.
type situation struct {
	plan     *core.RolloutPlan
	state    core.RolloutState // the newest; zero is none
	evidence rollout.Evidence
	tracker  *guard.Tracker
	handles  []*live.Handle
	obeys    bool
	mayBegin bool // another plan's state may be followed by an attempt of this plan
}

// situation returns false while nothing has a plan.
func (l *Loop) situation() (*situation, bool) {
	l.mu.Lock()
	s := &situation{}
	for _, u := range l.uses {
		if u.handle != nil {
			s.handles = append(s.handles, u.handle)
			s.obeys = u.options.Obeys
		}
	}
	l.mu.Unlock()
	if len(s.handles) == 0 {
		return nil, false
	}
	newest := s.handles[len(s.handles)-1]
	c := newest.Current()
	if c.Engine == nil || c.Engine.Rollout() == nil {
		return nil, false
	}
	s.plan = c.Engine.Rollout()
	for _, h := range s.handles {
		if known, _ := h.Rollout(); known != nil && known.Epoch > s.state.Epoch {
			s.state = *known
		}
	}
	// A gateway that is behind sees the state of the others' plan in place of its own, and must not
	// begin its own again. Nor may one that goes by a policy which is not known to be the newest.
	isBehind := c.Rollout != nil && s.state.Fingerprint != s.plan.Fingerprint
	s.mayBegin = !isBehind && c.Origin != "kept" && newest.State().Rejected == nil
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.tracked.isOf(s.plan, &s.state) {
		s.tracker = l.tracked.tracker
		s.evidence = s.tracker
	}
	return s, true
}

// next is what follows from a state, the same one if nothing does.
func (s *situation) next(state core.RolloutState, at time.Time) core.RolloutState {
	if s.obeys || state.Fingerprint != s.plan.Fingerprint && !s.mayBegin {
		return state
	}
	evidence := s.evidence
	if state.Fingerprint != s.state.Fingerprint || state.Attempt != s.state.Attempt {
		evidence = nil // it is about another attempt
	}
	next, _ := rollout.Next(s.plan, state, evidence, at)
	return next
}

// turn looks what follows now. What lowers the percentage is in force before it is written.
func (l *Loop) turn(at time.Time) {
	s, ok := l.situation()
	if !ok {
		return
	}
	if s.tracker != nil {
		s.tracker.Tick(at)
	}
	next := s.next(s.state, at)
	if next.Epoch != s.state.Epoch {
		if isLower(&next, &s.state) {
			s.put(&next, false)
			s.state = next
		}
		signal(l.write)
	} else if s.state.Epoch > 0 && !s.obeys && s.isUnwritten() {
		signal(l.write)
	}
	l.tell(s)
}

// isLower reports whether a state gives fewer callers the canary than another.
func isLower(next, before *core.RolloutState) bool {
	return next.Fingerprint == before.Fingerprint && next.Attempt == before.Attempt &&
		(next.Phase == core.PhaseRolledBack || next.Percent < before.Percent)
}

func (s *situation) put(state *core.RolloutState, isWritten bool) {
	for _, h := range s.handles {
		own := *state
		h.PutRollout(&own, isWritten)
	}
}

// Judge returns what the guards say now, and what is wrong with the loop or its samples, "" if
// nothing is. Guards are nil where nothing is measured.
func (u *Use) Judge() (guards []core.RolloutVerdict, note string) {
	l := u.loop
	l.mu.Lock()
	tracker := l.tracked.tracker
	note = l.failure
	l.mu.Unlock()
	if tracker == nil {
		return nil, note
	}
	if note == "" {
		note = tracker.Imbalance()
	}
	return tracker.Judge(now()), note
}

// State is the state of a policy, with what the guards of its rollout say now.
func (u *Use) State(h *live.Handle) live.State {
	s := h.State()
	if s.Rollout == nil {
		return s
	}
	guards, note := u.Judge()
	if guards != nil && s.Rollout.Phase != core.PhaseRolledBack {
		s.Rollout.Guards = guards
	}
	if s.Rollout.Note == "" {
		s.Rollout.Note = note
	}
	return s
}
