package api

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/rollout/loop"
)

// Feed follows services: it takes the samples that figures are made of, and passes on what happens.
// Several APIs may show one feed.
type Feed struct {
	services func() []Service
	hub      hub

	mu        sync.Mutex
	histories map[string]*history
}

// NewFeed returns a feed. The function returns the services that there are now, in a lasting order.
// There are no figures unless Run is called.
func NewFeed(services func() []Service) *Feed {
	return &Feed{services: services, histories: map[string]*history{}}
}

// Run takes samples until the context ends. Streams of events end then too.
func (f *Feed) Run(ctx context.Context) {
	defer f.hub.close()
	ticker := time.NewTicker(sampleEvery)
	defer ticker.Stop()
	for {
		f.Sample(time.Now())
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// Sample takes a sample of each service, unless the last one is too recent, and forgets services
// that are gone. Run calls it.
func (f *Feed) Sample(at time.Time) {
	names := map[string]bool{}
	for _, s := range f.services() {
		names[s.Name()] = true
		state := s.State()
		var plan *core.RolloutPlan
		if e := s.Engine(); e != nil {
			plan = e.Rollout()
		}
		if f.history(s.Name()).take(&state, plan, at) {
			f.tell("figures", s.Name())
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for name := range f.histories {
		if !names[name] {
			delete(f.histories, name)
		}
	}
}

func (f *Feed) history(service string) *history {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := f.histories[service]
	if h == nil {
		h = &history{}
		f.histories[service] = h
	}
	return h
}

// Changed tells those who listen that the state of a service is another one.
func (f *Feed) Changed(service string) { f.tell("state", service) }

// tell sends an event that says no more than which service it is about.
func (f *Feed) tell(kind, service string) {
	data, err := json.Marshal(map[string]string{"service": service})
	if err == nil {
		f.hub.send(message{service, kind, data})
	}
}

// Happened passes an event of a rollout on to those who listen.
func (f *Feed) Happened(e *loop.Event) {
	if data, err := json.Marshal(e); err == nil {
		f.hub.send(message{e.Service, e.Kind, data})
	}
}
