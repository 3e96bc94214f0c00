package caddygray

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
)

// configuration is what the modules of one configuration of Caddy know of each other.
type configuration struct {
	key any

	mu         sync.Mutex
	handlers   []*Handler // in the order of their routes
	references []reference
	isStarted  bool            // all modules are there
	said       map[string]bool // of references
}

// configurations has those that are in use, by their metrics registries: each has its own.
var configurations = caddy.NewUsagePool()

// joinConfiguration returns the configuration that a module is part of, until it leaves.
func joinConfiguration(ctx caddy.Context) (*configuration, error) {
	key := ctx.GetMetricsRegistry()
	shared, _, err := configurations.LoadOrNew(key, func() (caddy.Destructor, error) {
		app, err := ctx.App("events")
		if err != nil {
			return nil, fmt.Errorf("getting the app `events`: %w", err)
		}
		c := &configuration{key: key, said: map[string]bool{}}
		return c, app.(*caddyevents.App).On("started", c)
	})
	if err != nil {
		return nil, err
	}
	return shared.(*configuration), nil
}

// Destruct implements caddy.Destructor.
func (c *configuration) Destruct() error { return nil }

// leave is called once for each module that joined.
func (c *configuration) leave() {
	_, _ = configurations.Delete(c.key) // Destruct does not fail
}

// Handle hears that the configuration has started.
func (c *configuration) Handle(context.Context, caddy.Event) error {
	c.mu.Lock()
	c.isStarted = true
	c.mu.Unlock()
	c.checkReferences()
	return nil
}

func (c *configuration) add(h *Handler) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handlers = append(c.handlers, h)
}

// last returns the last handler so far that decides for a service, or for any if service is empty.
// It is nil if there is none.
func (c *configuration) last(service string) *Handler {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range slices.Backward(c.handlers) {
		if service == "" || h.serviceName() == service {
			return h
		}
	}
	return nil
}

// serviceName is the service of the policy in force, or else of the configuration. It is "" while
// only the documents to come know it.
func (h *Handler) serviceName() string {
	if r := h.current.Load(); r != nil {
		return r.service
	}
	return h.configured.Service
}

// Interface guards
var (
	_ caddy.Destructor    = (*configuration)(nil)
	_ caddyevents.Handler = (*configuration)(nil)
)
