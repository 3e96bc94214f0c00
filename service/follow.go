package service

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/grayrelease/gray/core/discover"
	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/core/problem"
)

// Follower follows where a service runs, and its policy.
type Follower struct {
	name   string
	target Target
	handle *live.Handle // nil without a policy
	cancel context.CancelFunc
	done   chan struct{}

	view  atomic.Pointer[View]
	ready chan struct{}

	mu        sync.Mutex // guards all below, and changes of view
	current   *live.Current
	listed    map[string][]discover.Instance // nil until the registry has answered
	failure   string                         // of the registry
	isReady   bool
	patience  *time.Timer // runs while it is known where some versions run
	listeners []*viewListener
}

type viewListener struct{ tell func(*View) }

// Follow follows a service until Close is called. It connects to nothing by itself; a registry or a
// source that is down is asked again, and what was known last stays. The error is about the target:
// a problem.List with the names of its fields as paths.
func Follow(name string, t Target) (*Follower, error) {
	t = t.named(name)
	if err := t.check(); err != nil {
		return nil, err
	}
	registry, err := t.registry()
	if err != nil {
		return nil, err
	}
	f := &Follower{name: name, target: t, ready: make(chan struct{}), done: make(chan struct{})}
	f.view.Store(&View{stable: t.Stable})
	if t.hasPolicy() {
		f.current = &live.Current{}
		f.handle, err = live.Open(live.Options{
			Source: t.Source, Policy: t.Policy, Cache: t.Cache, Logger: t.Logger, Apply: f.apply,
		})
		if err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	f.cancel = cancel
	go func() {
		defer close(f.done)
		if registry != nil {
			registry.Watch(ctx, f.take)
		}
	}()
	return f, nil
}

// Close ends the following. The view stays as it is.
func (f *Follower) Close() {
	f.cancel()
	f.mu.Lock()
	if f.patience != nil {
		f.patience.Stop()
	}
	f.mu.Unlock()
	if f.handle != nil {
		f.handle.Close()
	}
	<-f.done
}

// View returns the newest view.
func (f *Follower) View() *View { return f.view.Load() }

// Ready returns a channel that is closed once it is known where the stable version runs, or that it
// runs nowhere.
func (f *Follower) Ready() <-chan struct{} { return f.ready }

// Await waits until it is known where the service runs. The error says that ctx has ended before,
// and what is the matter.
func (f *Follower) Await(ctx context.Context) error {
	select {
	case <-f.ready:
		return nil
	default:
	}
	select {
	case <-f.ready:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s: it is not known yet where the service runs%s: %w", f.name, f.trouble(), context.Cause(ctx))
	}
}

// trouble says what cannot be read, as the end of a sentence.
func (f *Follower) trouble() string {
	f.mu.Lock()
	text := f.failure
	f.mu.Unlock()
	if text == "" && f.handle != nil {
		state := f.handle.State()
		text = state.Error
		for _, u := range state.Upstreams {
			if text == "" {
				text = u.Error
			}
		}
	}
	if text != "" {
		text = " (" + text + ")"
	}
	return text
}

// OnChange has a function called with the view: now, and after each change. Calls are made one at a
// time, and must not block. Stop ends that.
func (f *Follower) OnChange(tell func(*View)) (stop func()) {
	l := &viewListener{tell}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.listeners = append(f.listeners, l)
	tell(f.View())
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.listeners = slices.DeleteFunc(f.listeners, func(other *viewListener) bool { return other == l })
	}
}

// apply takes what is in force by the policy.
func (f *Follower) apply(c *live.Current) error {
	if c.Engine != nil && f.target.Discover == "" && !c.IsLocated(c.Engine.Stable()) {
		return problem.New(problem.Field("versions", c.Engine.Stable()),
			"it is not known where the stable version runs: give it upstreams or discover, or the target Discover")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.current = c
	f.show()
	return nil
}

// take takes what the registry lists.
func (f *Follower) take(e discover.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if e.Err != nil {
		if f.failure == "" {
			f.target.Logger.Warn("the registry cannot be read; what it listed last stays", "service", f.name,
				"error", e.Err.Error())
		}
		f.failure = e.Err.Error()
		return
	}
	if f.failure != "" {
		f.target.Logger.Info("the registry can be read again", "service", f.name)
	}
	f.failure = ""
	f.listed = f.held(byVersion(e.Instances))
	f.show()
}

// held returns the list with the stable instances that were listed last, while it has none: a
// registry that restarts is no reason to call nobody.
func (f *Follower) held(listed map[string][]discover.Instance) map[string][]discover.Instance {
	stable := stableOf(f.target, f.current)
	if len(listed[stable]) > 0 || len(listed[""]) > 0 {
		return listed
	}
	for _, version := range []string{stable, ""} {
		if last := f.listed[version]; len(last) > 0 {
			listed[version] = last
		}
	}
	return listed
}

// show makes the view anew and tells of it. Called with mu held.
func (f *Follower) show() {
	v := viewOf(f.target, f.current, f.listed)
	f.view.Store(v)
	for _, l := range f.listeners {
		l.tell(v)
	}
	switch {
	case f.isReady || !v.isKnown:
	case v.isAll:
		f.setReady()
	case f.patience == nil: // a source that is down, or a canary's registry, must not keep stable waiting
		f.patience = time.AfterFunc(maxWait, func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.setReady()
		})
	}
}

// setReady says that callers need not wait any more. Called with mu held.
func (f *Follower) setReady() {
	if !f.isReady {
		f.isReady = true
		close(f.ready)
	}
}

// maxWait is how long calls wait for the policy, and for where other versions run, once it is known
// where the stable one does.
const maxWait = 2 * time.Second
