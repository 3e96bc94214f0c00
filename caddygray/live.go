package caddygray

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"

	"go.uber.org/zap/exp/zapslog"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/rollout/loop"
)

// open keeps in force what the policy, its source and registries say, until Cleanup.
func (h *Handler) open(ctx context.Context, policy *core.Policy) error {
	if h.Cache == "" && h.isFollowed(policy) {
		h.Cache = dataFolder()
	}
	options := live.Options{Policy: policy, Source: h.Source, Service: policy.Service, Cache: h.Cache, Logger: h.slog()}
	options.Apply = func(c *live.Current) error { return h.apply(ctx, c) }
	if h.Source != nil {
		if h.PolicyFile == "" && firstField(policy) == "" {
			options.Policy = nil
		} else if problems := checkBase(policy); len(problems) > 0 {
			return problems
		}
	}
	if err := h.openLoop(policy, &options); err != nil {
		return err
	}
	var err error
	if h.handle, err = live.Open(options); err != nil {
		return fmt.Errorf("policy of %q:\n%w", policy.Service, err)
	}
	if h.use != nil {
		h.use.Start(h.handle)
	}
	if h.isFollowed(policy) || h.use != nil {
		states.add(&followed{h, h.handle, policy.Service})
	}
	return nil
}

// isFollowed reports whether any part of the policy can change without a reload.
func (h *Handler) isFollowed(policy *core.Policy) bool {
	if h.Source != nil {
		return true
	}
	for _, v := range policy.Versions {
		if v.Discover != "" {
			return true
		}
	}
	return false
}

// checkBase checks a policy that is given beside a source.
func checkBase(base *core.Policy) problem.List {
	if base.Versions[base.Stable].Discover == "" {
		return nil
	}
	return problem.List{{
		Path:    problem.Field("versions", base.Stable) + ".discover",
		Message: "beside a source, the stable version needs upstreams: it serves until there is a document",
	}}
}

// slog returns the handler's log for the core. It has the handler's name, by which Caddy filters
// logs. It has no stack traces, which would show gray's code and not what is wrong.
func (h *Handler) slog() *slog.Logger {
	never := slog.Level(math.MaxInt)
	return slog.New(zapslog.NewHandler(h.logger.Core(), zapslog.WithName(h.logger.Name()), zapslog.AddStacktraceAt(never)))
}

// apply makes the handler use what came into force. It refuses a policy with an upstream that Caddy
// cannot dial.
func (h *Handler) apply(ctx context.Context, c *live.Current) error {
	if c.Engine == nil {
		return nil
	}
	active, err := newActive(h, c)
	if err != nil {
		return err
	}
	if h.use != nil {
		active.tracker = h.use.Follow(c)
	}
	h.install(ctx, active)
	return nil
}

// states holds the followed policies of the running configuration, for the admin API.
var states stateList

type stateList struct {
	mu  sync.Mutex
	all []*followed
}

// followed is a handler's use of a policy. The service is that of the handler's configuration:
// while there is no document, nothing else names it.
type followed struct {
	handler *Handler
	handle  *live.Handle
	service string
}

func (l *stateList) add(f *followed) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, f)
}

func (l *stateList) remove(h *live.Handle) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = slices.DeleteFunc(l.all, func(f *followed) bool { return f.handle == h })
}

// of returns the states of a service, or all for "". Each followed source is listed once, however
// many handlers follow it.
func (l *stateList) of(service string) []live.State {
	l.mu.Lock()
	defer l.mu.Unlock()
	seen := map[string]bool{}
	states := []live.State{}
	for _, f := range l.all {
		s := f.state()
		if s.Service == "" {
			s.Service = f.service
		}
		key := strings.Join([]string{s.Source, s.Service}, " ")
		if !seen[key] && (service == "" || s.Service == service) {
			seen[key] = true
			states = append(states, s)
		}
	}
	return states
}

// state is that of the policy, with what the guards of its rollout say.
func (f *followed) state() live.State {
	s := f.handle.State()
	if s.Rollout == nil || f.handler.use == nil {
		return s
	}
	guards, note := f.handler.use.Judge()
	if guards != nil && s.Rollout.Phase != core.PhaseRolledBack {
		s.Rollout.Guards = guards
	}
	if s.Rollout.Note == "" {
		s.Rollout.Note = note
	}
	return s
}

// useOf returns a use of the loop of a service's rollout, nil if there is none: that of the newest
// configuration.
func (l *stateList) useOf(service string) *loop.Use {
	l.mu.Lock()
	defer l.mu.Unlock()
	var use *loop.Use
	for _, f := range l.all {
		s := f.handle.State().Service
		if f.handler.use != nil && (s == service || s == "" && f.service == service) {
			use = f.handler.use
		}
	}
	return use
}
