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
	minGap     = time.Second // between two fetches because of unknown kids
	maxGap     = time.Minute // the same, while the fetches bring nothing new
	maxBackoff = time.Minute // between two fetches that fail
	maxSources = 64          // kept at most, unless more are in use
)

// source loads keys that are not in the configuration itself. Verifiers with the same source share
// it, and it outlives them: a host may close all verifiers before it makes the next, and the new
// ones must still have the known keys if the server is down just then.
type source struct {
	name  string
	load  func(context.Context) (*keySet, time.Duration, error) // the keys, and how long they are good for
	keys  atomic.Value                                          // *keySet, once known
	ready chan struct{}                                         // closed once keys are known

	mu     sync.Mutex
	users  map[*Verifier]bool
	cancel context.CancelFunc
	done   chan struct{}
	wished bool               // a token named an unknown key
	wake   context.CancelFunc // ends the wait for the next refresh; nil while there is none
}

// sources holds every source in use, and some that were in use. It is a package variable because
// those survive the reloads of an interpreted plugin.
var (
	sourcesMu sync.Mutex
	sources   = map[string]*source{}
)

// sourceFor returns the source of that name, and makes it if necessary.
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

// keysOf returns the keys known now, or nil.
func keysOf(v *Verifier) *keySet {
	if v.source == nil {
		return v.fixed
	}
	set, _ := v.source.keys.Load().(*keySet)
	return set
}

// attach makes v a user of s. The first user starts the background work.
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

// release removes v from the users of s. The last user ends the background work and waits for it.
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

// ask requests a refresh because a token names an unknown key. It waits for a short lock at most.
func ask(s *source) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wished = true
	if s.wake != nil {
		s.wake()
	}
}

// keepFresh refreshes the keys when they are due and when tokens name unknown keys, one fetch at a
// time. The gap before a fetch for unknown keys doubles while such fetches bring nothing new, so
// that invented kids put no load on the issuer.
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

// wait returns false when keys are due, and true when a refresh was requested and gap has passed.
//
// It must not use select: in Yaegi, goroutines in one select statement share its list of channels.
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

// refresh loads the keys once. After a failure, the last good keys stay in force.
func refresh(ctx context.Context, s *source) (changed bool, due time.Duration, err error) {
	defer func() {
		if r := recover(); r != nil { // in some hosts, a panic here would end the gateway
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

// install puts a set in force and reports whether it differs from the last. Equal keys keep their
// identity, so tokens that they verified stay remembered.
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

// adopt replaces keys of set by equal keys of old, and reports whether the sets differ.
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

// jittered adds up to a quarter, so that many gateways do not retry at the same time.
func jittered(d time.Duration) time.Duration {
	return d + time.Duration(rand.Int63n(int64(d)/4+1))
}
