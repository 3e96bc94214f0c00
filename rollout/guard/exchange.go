package guard

import (
	"sync"
	"time"
)

// openShards spreads the requests that are not answered over locks. It is a power of two.
const openShards = 16

// openList holds the requests of some callers that are not answered yet, linked to each other, so
// that adding one allocates nothing.
type openList struct {
	mu    sync.Mutex
	first *Exchange
	_     [40]byte // a cache line each
}

// Exchange is a request that a tracker observes, from Begin until it is answered. Who has it must
// not copy it, and calls its methods from one goroutine at a time.
type Exchange struct {
	tracker *Tracker
	request Request
	began   time.Time

	// In the list of its callers, under the list's lock.
	next, before *Exchange
	isOpen       bool
	longer       time.Duration // than this it takes, as was noted
}

// Begin observes a request about which the rollout's rule asked its bucket: see Decided.
func (t *Tracker) Begin(x *Exchange, position uint64, arm Arm, now time.Time) {
	x.tracker = t
	x.request = t.Decided(position, arm)
	x.began = now
	l := x.list()
	l.mu.Lock()
	x.isOpen = true
	x.next = l.first
	if x.next != nil {
		x.next.before = x
	}
	l.first = x
	l.mu.Unlock()
}

// Done notes that the request was answered: see the tracker's method.
func (x *Exchange) Done(isBad bool, now time.Time) {
	if x.close() {
		x.tracker.done(x.request, isBad, x.longer, now.Sub(x.began))
	}
}

// Leave notes that the client left before there was an answer, which says nothing about the
// version. It does nothing after Done.
func (x *Exchange) Leave() { x.close() }

// Broke notes that the answer was not whole after all: its body ended early, or its trailer says
// so.
func (x *Exchange) Broke() {
	if x.tracker != nil {
		x.tracker.bad(x.request)
	}
}

func (x *Exchange) list() *openList {
	return &x.tracker.open[x.request.position&(openShards-1)]
}

// close takes the request out of its list, and reports whether it was in it.
func (x *Exchange) close() bool {
	if x.tracker == nil {
		return false
	}
	l := x.list()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !x.isOpen {
		return false
	}
	x.isOpen = false
	if x.before != nil {
		x.before.next = x.next
	} else {
		l.first = x.next
	}
	if x.next != nil {
		x.next.before = x.before
	}
	x.next = nil
	x.before = nil
	return true
}

// countHanging counts the requests that have waited too long already, so that a canary that hangs
// is seen before it answers.
func (t *Tracker) countHanging(now time.Time) {
	if !t.hasLatency {
		return
	}
	for i := range t.open {
		l := &t.open[i]
		l.mu.Lock()
		for x := l.first; x != nil; x = x.next {
			took := now.Sub(x.began)
			t.slow(x.request, x.longer, took)
			x.longer = took
		}
		l.mu.Unlock()
	}
}
