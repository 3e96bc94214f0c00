package caddygray

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/live"
)

// defaultHeader is what is removed from requests as long as no policy says which header carries its decisions.
const defaultHeader = "X-Gray-Version"

// follow keeps in force what a source or a registry says until Cleanup.
func (h *Handler) follow(ctx context.Context, policy *core.Policy, base *core.Engine) error {
	if h.Cache == "" {
		h.Cache = filepath.Join(caddy.AppDataDir(), "gray")
	}
	logger := slog.New(zapslog.NewHandler(h.logger.Core()))
	notify := func(c *core.Current) { h.apply(ctx, c) }
	var err error
	if h.Source != nil {
		h.user, err = core.Follow(h.Source, base, h.Cache, logger, notify)
	} else {
		h.user, err = core.FollowInstances(policy, h.Cache, logger, notify)
	}
	if err != nil {
		return fmt.Errorf("following the policy: %w", err)
	}
	states.add(h.user)
	return nil
}

// apply puts what came into force to work. Where it cannot, what was in force before stays.
func (h *Handler) apply(ctx context.Context, c *core.Current) {
	if c.Engine == nil {
		return
	}
	release, err := newRelease(h, c.Engine, c.Upstreams)
	if err != nil {
		h.logger.Error("the policy cannot be served: the one before stays in force", zap.String("service", c.Engine.Service()), zap.Error(err))
		return
	}
	h.install(ctx, release)
}

// states are the followed policies of the running configuration, for the admin API.
var states stateList

type stateList struct {
	mu    sync.Mutex
	users []*live.User
}

func (l *stateList) add(u *live.User) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.users = append(l.users, u)
}

func (l *stateList) remove(u *live.User) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var kept []*live.User
	for _, other := range l.users {
		if other != u {
			kept = append(kept, other)
		}
	}
	l.users = kept
}

// all is the state of each followed source once, however many handlers follow it, or of one service's.
func (l *stateList) all(service string) []live.State {
	l.mu.Lock()
	defer l.mu.Unlock()
	seen := map[string]bool{}
	states := []live.State{}
	for _, u := range l.users {
		s := u.State()
		key := strings.Join([]string{s.Source, s.Service}, " ")
		if !seen[key] && (service == "" || s.Service == service) {
			seen[key] = true
			states = append(states, s)
		}
	}
	return states
}
