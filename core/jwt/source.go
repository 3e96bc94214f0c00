package jwt

import (
	"context"
	"fmt"
	"math/rand"
	"sync"
	"sync/atomic"
	"time"
)

const (
	minGap     = time.Second // between two fetches that unknown kids ask for
	maxGap     = time.Minute // the same while they turn out to be unknown for good
	maxBackoff = time.Minute // between two fetches that fail
	maxSources = 64          // that are kept though nothing uses them
)

// A source is where keys come from if not from the configuration itself. All verifiers with the same one share
// it, and it outlives them: a host that reloads lets go of everything before it starts anew, and the keys
// known so far must be there for the new handlers although the server may be down just then.
type source struct {
	name  string
	load  func(context.Context) (*keySet, time.Duration, error) // the keys, and how long they are good for
	keys  atomic.Value                                          // *keySet, once known
	ready chan struct{}                                         // closed once keys are known

	mu     sync.Mutex
	users  map[*Verifier]bool
	cancel context.CancelFunc
	done   chan struct{}
	wished bool               // a token named a key that is not known
	wake   context.CancelFunc // ends the wait for the next refresh; nil while there is none
}

// sources holds every source in use, and some that were. It is a package variable so that it survives the
// reloads of an interpreted plugin.
var (
	sourcesMu sync.Mutex
	sources   = map[string]*source{}
)

// sourceFor returns the source of that name, making it if it is not known.
func sourceFor(name string, load func(context.Context) (*keySet, time.Duration, error)) *source {
	sourcesMu.Lock()
	defer sourcesMu.Unlock()
	if s := sources[name]; s != nil {
		return s
	}
	for old, s := range sources {
		if len(sources) < maxSources {
			break
		}
		if isIdle(s) {
			delete(sources, old)
		}
	}
	s := &source{
		name:  name,
		load:  load,
		ready: make(chan struct{}),
		users: map[*Verifier]bool{},
	}
	sources[name] = s
	return s
}

func isIdle(s *source) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.users) == 0
}

// keysOf returns the keys known now, nil if none are.
func keysOf(v *Verifier) *keySet {
	if v.source == nil {
		return v.fixed
	}
	set, _ := v.source.keys.Load().(*keySet)
	return set
}

// attach makes v a user of s. The first one starts the background work.
func attach(s *source, v *Verifier) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users[v] = true
	if len(s.users) > 1 {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	s.cancel = cancel
	s.done = done
	go keepFresh(ctx, s, done)
}

// release lets v go. After the last one, it waits until the background work has ended.
func release(s *source, v *Verifier) {
	s.mu.Lock()
	delete(s.users, v)
	last := len(s.users) == 0
	cancel, done := s.cancel, s.done
	s.mu.Unlock()
	if last {
		cancel()
		<-done
	}
}

// ask wishes for a refresh, as a token names a key that is not known. It waits for a short lock at most.
func ask(s *source) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wished = true
	if s.wake != nil {
		s.wake()
	}
}

// keepFresh refreshes the keys when they are due and when tokens name unknown ones, one fetch at a time.
// Wishes are granted after a gap that doubles as long as they bring nothing new, so that invented kids do
// not become a load on the issuer.
func keepFresh(ctx context.Context, s *source, done chan struct{}) {
	defer close(done)
	backoff, gap := minGap, minGap
	wished := false
	for {
		changed, due, err := refresh(ctx, s)
		if ctx.Err() != nil {
			return
		}
		tell(s, err)
		switch {
		case err != nil:
			due = jittered(backoff)
			gap = backoff
			backoff = doubled(backoff, maxBackoff)
		case wished && !changed:
			gap = doubled(gap, maxGap)
			backoff = minGap
		default:
			gap, backoff = minGap, minGap
		}
		if wished = wait(ctx, s, due, gap); ctx.Err() != nil {
			return
		}
	}
}

// wait returns when keys are due, or true when a refresh is wished for and gap has passed.
//
// It must not select: Yaegi shares the list of channels between all goroutines in one select statement.
func wait(ctx context.Context, s *source, due, gap time.Duration) bool {
	start := time.Now()
	untilDue, wake := context.WithTimeout(ctx, due)
	defer wake()
	s.mu.Lock()
	s.wake = wake
	if s.wished {
		wake()
	}
	s.mu.Unlock()
	<-untilDue.Done()
	s.mu.Lock()
	wished := s.wished
	s.wished = false
	s.wake = nil
	s.mu.Unlock()
	return wished && sleep(ctx, gap-time.Since(start))
}

// sleep waits for d and reports whether ctx is still alive.
func sleep(ctx context.Context, d time.Duration) bool {
	c, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	<-c.Done()
	return ctx.Err() == nil
}

// refresh loads the keys once. A failure leaves the last good ones in force.
func refresh(ctx context.Context, s *source) (changed bool, due time.Duration, err error) {
	defer func() {
		if r := recover(); r != nil { // in some hosts a panic here would end the gateway
			err = fmt.Errorf("panic while keys were loaded: %v", r)
		}
	}()
	var set *keySet
	set, due, err = s.load(ctx)
	if err != nil {
		return false, due, err
	}
	return install(s, set), due, nil
}

// install puts a set in force and tells whether it differs from the last. Keys that stay are kept as they
// are, so that tokens verified by them stay remembered.
func install(s *source, set *keySet) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, _ := s.keys.Load().(*keySet)
	if old != nil && !adopt(old, set) {
		return false
	}
	s.keys.Store(set)
	if old == nil {
		close(s.ready)
		return true
	}
	for v := range s.users {
		forgetKeys(v)
	}
	return true
}

// adopt puts the keys of old into set where they are equal, and tells whether the sets differ.
func adopt(old, set *keySet) bool {
	known := make(map[string]*key, len(old.keys))
	for _, k := range old.keys {
		known[k.print] = k
	}
	changed := len(old.keys) != len(set.keys)
	for i, k := range set.keys {
		if same := known[k.print]; same != nil {
			set.keys[i] = same
		} else {
			changed = true
		}
	}
	return changed
}

// tell reports the first failure to each user, and the first success after it.
func tell(s *source, err error) {
	var reports []func(error)
	s.mu.Lock()
	for v := range s.users {
		if v.report != nil && v.failing != (err != nil) {
			v.failing = err != nil
			reports = append(reports, v.report)
		}
	}
	s.mu.Unlock() // a log may block, and requests wait for this lock
	for i := range reports {
		reports[i](err)
	}
}

func doubled(d, most time.Duration) time.Duration {
	if 2*d > most {
		return most
	}
	return 2 * d
}

// jittered spreads the retries of many gateways.
func jittered(d time.Duration) time.Duration {
	return d + time.Duration(rand.Int63n(int64(d)/4+1))
}
