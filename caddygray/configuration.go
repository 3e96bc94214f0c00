package caddygray

import (
	"slices"
	"sync"

	"github.com/caddyserver/caddy/v2"
)

// configuration is what the modules of one configuration of Caddy know of each other.
type configuration struct {
	key any

	mu       sync.Mutex
	handlers []*Handler // in the order of their routes
}

// configurations has those that are in use, by their metrics registries: each has its own.
var configurations = caddy.NewUsagePool()

// joinConfiguration returns the configuration that a module is part of, until it leaves.
func joinConfiguration(ctx caddy.Context) *configuration {
	key := ctx.GetMetricsRegistry()
	shared, _ := configurations.LoadOrStore(key, &configuration{key: key})
	return shared.(*configuration)
}

// leave is called once for each module that joined.
func (c *configuration) leave() {
	_, _ = configurations.Delete(c.key) // there is nothing to destruct
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

// serviceName is the service of the policy in force, or else of the configuration; "" while only the
// documents to come know it.
func (h *Handler) serviceName() string {
	if r := h.current.Load(); r != nil {
		return r.service
	}
	return h.configured.Service
}
