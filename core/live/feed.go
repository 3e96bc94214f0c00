package live

import (
	"context"
	"sync"
	"time"

	"github.com/grayrelease/gray/core/discover"
	"github.com/grayrelease/gray/internal/remote"
)

// listener is told that a feed with an identity has news.
type listener struct {
	refs int
	tell func(identity string)
}

// feed follows one discovery entry for all services that use it.
type feed struct {
	discovery *discover.Discovery
	refs      int
	cancel    context.CancelFunc

	mu        sync.Mutex
	listeners map[int64]listener
	instances []discover.Instance
	last      []discover.Instance // the newest list that was not empty
	known     bool                // the registry has answered
	contact   time.Time
	failure   string
}

var (
	feedsLock sync.Mutex
	feeds     = map[string]*feed{} // by identity
	listeners int64
)

// nextListener numbers those that follow feeds.
func nextListener() int64 {
	feedsLock.Lock()
	defer feedsLock.Unlock()
	listeners++
	return listeners
}

// follow gets the feed of a discovery entry for a listener, and starts it if nobody has yet.
func follow(d *discover.Discovery, id int64, tell func(identity string)) *feed {
	feedsLock.Lock()
	defer feedsLock.Unlock()
	f := feeds[d.Identity]
	if f == nil {
		f = &feed{discovery: d, listeners: map[int64]listener{}}
		feeds[d.Identity] = f
		ctx, cancel := context.WithCancel(context.Background())
		f.cancel = cancel
		go f.run(ctx)
	}
	f.refs++
	f.mu.Lock()
	f.listeners[id] = listener{refs: f.listeners[id].refs + 1, tell: tell}
	f.mu.Unlock()
	return f
}

// unfollow lets go of a feed; the last listener ends it.
func unfollow(f *feed, id int64) {
	feedsLock.Lock()
	defer feedsLock.Unlock()
	f.mu.Lock()
	l := f.listeners[id]
	l.refs--
	f.listeners[id] = l
	if l.refs == 0 {
		delete(f.listeners, id)
	}
	f.mu.Unlock()
	if f.refs--; f.refs == 0 {
		delete(feeds, f.discovery.Identity)
		f.cancel()
	}
}

func (f *feed) run(ctx context.Context) {
	forever(ctx, func() {
		f.discovery.Watch(ctx, func(e discover.Event) {
			if f.take(e) {
				f.tell()
			}
		})
	})
}

// take notes an event and tells whether it is news: another list, the first failure, or the first
// answer after one.
func (f *feed) take(e discover.Event) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if e.Err != nil {
		news := f.failure == ""
		f.failure = e.Err.Error()
		return news
	}
	f.contact = now()
	news := !f.known || f.failure != "" || !sameInstances(f.instances, e.Instances)
	f.known = true
	f.failure = ""
	f.instances = e.Instances
	if len(e.Instances) > 0 {
		f.last = e.Instances
	}
	return news
}

func (f *feed) tell() {
	f.mu.Lock()
	var tell []func(string)
	for _, l := range f.listeners {
		tell = append(tell, l.tell)
	}
	f.mu.Unlock()
	for i := range tell {
		tell[i](f.discovery.Identity)
	}
}

// lastListed returns the newest list that was not empty.
func (f *feed) lastListed() []discover.Instance {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last
}

// read returns what is known. Its lock is taken inside a service's, never the other way round.
func (f *feed) read() (instances []discover.Instance, known bool, contact time.Time, failure string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.instances, f.known, f.contact, f.failure
}

func sameInstances(a, b []discover.Instance) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].URL != b[i].URL || a[i].Weight != b[i].Weight || a[i].Version != b[i].Version {
			return false
		}
	}
	return true
}

// forever runs work until ctx ends, whatever becomes of it: a panic that nobody recovers ends the
// gateway.
func forever(ctx context.Context, work func()) {
	for ctx.Err() == nil {
		_ = remote.Protect(ctx, func(ctx context.Context) error {
			work()
			return nil
		})
		if !remote.Sleep(ctx, time.Second) {
			return
		}
	}
}
