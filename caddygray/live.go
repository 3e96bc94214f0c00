package caddygray

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/core/problem"
)

// follow keeps in force what a source or a registry says until Cleanup.
func (h *Handler) follow(ctx context.Context, policy *core.Policy, base *core.Engine) error {
	if h.Cache == "" {
		h.Cache = filepath.Join(caddy.AppDataDir(), "gray")
	}
	if base != nil && h.Source != nil {
		if problems := checkBase(base.Policy()); len(problems) > 0 {
			return problems
		}
	}
	h.isOff = h.Source != nil && base != nil && !base.Enabled()
	notify := func(c *core.Current) { h.apply(ctx, c) }
	options := core.FollowOptions{Service: policy.Service, Base: base, Check: checkUpstreams, Cache: h.Cache, Logger: h.slog()}
	var err error
	if h.Source != nil {
		h.user, err = core.Follow(h.Source, options, notify)
	} else {
		h.user, err = core.FollowInstances(policy, options, notify)
	}
	if err != nil {
		return fmt.Errorf("following the policy: %w", err)
	}
	states.add(&followed{h, h.user, policy.Service})
	return nil
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

// slog is the handler's log for the core: with its name, which Caddy's logs are filtered by, and without stack traces, which would tell of
// gray's code, not of what is wrong.
func (h *Handler) slog() *slog.Logger {
	never := slog.Level(math.MaxInt)
	return slog.New(zapslog.NewHandler(h.logger.Core(), zapslog.WithName(h.logger.Name()), zapslog.AddStacktraceAt(never)))
}

// checkUpstreams refuses a policy with an upstream that Caddy could not dial.
func checkUpstreams(e *core.Engine) error {
	var problems problem.List
	for name, v := range e.Versions() {
		_, err := parseUpstreams(v.Upstreams)
		problems = append(problems, problem.Of(err).Under(problem.Field("versions", name))...)
	}
	return problems.Err()
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
	mu  sync.Mutex
	all []*followed
}

// followed is a handler's use of a policy. The service is the one in the handler's configuration: as long as there is no document,
// nothing else tells whose policy is missing.
type followed struct {
	handler *Handler
	user    *live.User
	service string
}

func (l *stateList) add(f *followed) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, f)
}

func (l *stateList) remove(u *live.User) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = slices.DeleteFunc(l.all, func(f *followed) bool { return f.user == u })
}

// document is the state of the source that a handler follows, if a document of its is in force.
func (l *stateList) document(h *Handler) (live.State, bool) {
	if h.Source == nil {
		return live.State{}, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.all {
		if f.handler == h {
			state := f.user.State()
			return state, state.Origin != "none"
		}
	}
	return live.State{}, false
}

// of is the state of each followed source once, however many handlers follow it: those of a service, or all for "".
func (l *stateList) of(service string) []live.State {
	l.mu.Lock()
	defer l.mu.Unlock()
	seen := map[string]bool{}
	states := []live.State{}
	for _, f := range l.all {
		s := f.user.State()
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
