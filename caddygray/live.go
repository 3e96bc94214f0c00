package caddygray

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/core/proxy"
	"github.com/grayrelease/gray/rollout/api"
)

// open keeps in force what the policy, its source and registries say, until Cleanup.
func (h *Handler) open(ctx context.Context, policy *core.Policy) error {
	if h.Cache == "" && h.isFollowed(policy) {
		h.Cache = dataFolder()
	}
	options := live.Options{Policy: policy, Source: h.Source, Service: policy.Service, Host: host, Cache: h.Cache,
		Logger: h.slog()}
	options.Apply = func(c *live.Current) error { return h.apply(ctx, c) }
	if h.Source != nil {
		if h.PolicyFile == "" && firstField(policy) == "" {
			options.Policy = nil
		} else if err := checkUpstreams(policy.Versions).Err(); err != nil {
			return err
		}
	}
	if err := h.openPlace(policy, &options); err != nil {
		return err
	}
	var err error
	if h.handle, err = live.Open(options); err != nil {
		return fmt.Errorf("policy of %q:\n%w", policy.Service, err)
	}
	if h.use != nil {
		h.use.Start(h.handle)
	}
	states.add(&followed{h, h.handle, policy.Service, h.isFollowed(policy)})
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

// slog returns the handler's log for the core. It has the handler's name, by which Caddy filters
// logs. It has no stack traces, which would show gray's code and not what is wrong.
func (h *Handler) slog() *slog.Logger {
	never := slog.Level(math.MaxInt)
	return slog.New(zapslog.NewHandler(h.logger.Core(), zapslog.WithName(h.logger.Name()), zapslog.AddStacktraceAt(never)))
}

// apply makes the handler use what came into force. It refuses a policy with an upstream that Caddy
// cannot dial, and one whose stable version `dynamic gray` cannot serve.
func (h *Handler) apply(ctx context.Context, c *live.Current) error {
	if c.Engine == nil {
		h.release(h.current.Swap(nil))
		return nil
	}
	if err := h.checkStable(c); err != nil {
		return err
	}
	active, err := newActive(h, c)
	if err != nil {
		return err
	}
	if h.use != nil {
		active.tracker = h.use.Follow(c)
	}
	h.install(ctx, active)
	tellConsoles(active.service, nil)
	return nil
}

// checkStable refuses a policy whose stable version `dynamic gray` cannot serve. A policy that only
// fills in for a document is taken as it is.
func (h *Handler) checkStable(c *live.Current) error {
	stable := c.Engine.Stable()
	if !h.proxies.needStable.Load() || c.Origin == "none" || c.IsLocated(stable) {
		return nil
	}
	where := ""
	if h.Source != nil {
		where = ", in the document or in the gateway's own configuration"
	}
	return problem.New(problem.Field("versions", stable),
		"the stable version needs upstreams or discover%s: `dynamic gray` has no others to serve it by", where)
}

// proxies says what `dynamic gray` does with a handler's decisions.
type proxies struct {
	areThere   atomic.Bool // some reverse_proxy uses the versions' upstreams
	needStable atomic.Bool // and has no others
	unused     atomic.Bool // it was logged that requests pass them by
}

// serve has the versions' upstreams serve the requests of a proxy; isOnly says that it has no
// others. The error refuses a configuration with which they never could.
func (h *Handler) serve(isOnly bool) error {
	h.proxies.areThere.Store(true)
	if !isOnly || h.proxies.needStable.Swap(true) {
		return nil
	}
	base := h.configured
	stable, isGiven := base.Versions[base.Stable]
	switch {
	case h.Source == nil:
		if err := h.checkStable(h.handle.Current()); err != nil {
			return fmt.Errorf("policy of %q:\n%w", base.Service, err)
		}
		return nil
	case isGiven && len(stable.Upstreams) == 0:
		h.logger.Warn("the stable version beside the source has no upstreams: "+
			"until there is a document, requests are answered with 503",
			zap.String("service", base.Service), zap.String("version", base.Stable))
	}
	return h.handle.Recheck()
}

// states holds the policies of the running configuration, for the admin API.
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
	// canChange says that the policy or its instances may change without a reload.
	canChange bool
}

// name is the service's by the policy in force or, while there is none, by the configuration.
func (f *followed) name() string {
	if service := f.handle.State().Service; service != "" {
		return service
	}
	return f.service
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

// policyState is a policy as the admin API shows it.
type policyState struct {
	api.State

	canChange bool // without a reload
}

// of returns the states of a service, or all for "". Each source is listed once, however many
// handlers use it.
func (l *stateList) of(service string) []policyState {
	l.mu.Lock()
	defer l.mu.Unlock()
	seen := map[string]bool{}
	states := []policyState{}
	for _, f := range l.all {
		s := f.state()
		if s.Service == "" {
			s.Service = f.service
		}
		key := strings.Join([]string{s.Source, s.Service}, " ")
		if !seen[key] && (service == "" || s.Service == service) {
			seen[key] = true
			states = append(states, f.describe(s))
		}
	}
	return states
}

// describe adds what the handler has of the policy.
func (f *followed) describe(s live.State) policyState {
	p := policyState{State: api.State{State: s}, canChange: f.canChange}
	active := f.handler.current.Load()
	if active == nil {
		return p
	}
	p.Versions = map[string][]api.Upstream{}
	for name, v := range active.versions {
		upstreams := []api.Upstream{}
		for _, u := range v.byDial {
			isUp := proxy.IsUp(u.health.passive) && !(v.checked && u.health.down.Load())
			upstreams = append(upstreams, api.Upstream{Address: u.dial, Up: &isUp})
		}
		slices.SortFunc(upstreams, func(a, b api.Upstream) int { return strings.Compare(a.Address, b.Address) })
		p.Versions[name] = upstreams
	}
	p.Rules = api.Rules(active.engine)
	p.Traffic = active.traffic()
	return p
}

// state is that of the policy, with what the guards of its rollout say.
func (f *followed) state() live.State {
	if f.handler.use == nil {
		return f.handle.State()
	}
	return f.handler.use.State(f.handle)
}

// services returns the use of each service's policy by the newest configuration.
func (l *stateList) services() map[string]*followed {
	l.mu.Lock()
	defer l.mu.Unlock()
	newest := map[string]*followed{}
	for _, f := range l.all {
		newest[f.name()] = f
	}
	return newest
}

// newest returns the use of a service's policy by the newest configuration, nil if there is none.
func (l *stateList) newest(service string) *followed {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range slices.Backward(l.all) {
		if f.name() == service {
			return f
		}
	}
	return nil
}
