package traefikgray

import (
	"context"
	"encoding/json"
	"log"
	"log/slog"
	"net/http"
	"sync/atomic"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/core/proxy"
)

// served is what requests go through at the moment.
type served struct{ handler http.Handler }

// liveHandler serves a policy that comes from a source, or whose instances come from a registry. What the user configures wrong is an
// error; a source that is down is none.
func liveHandler(s *setup, config *Config, next http.Handler) (http.Handler, error) {
	now := &atomic.Value{}
	pools := map[string]*proxy.Pool{}
	notify := func(c *core.Current) {
		now.Store(&served{handlerOf(s, c, next, pools)})
	}
	logger := newLogger(s.name)
	user, err := follow(s, config, logger, notify)
	if err != nil {
		return nil, err
	}
	if s.engine == nil && s.mode != modeProxy && user.State().Origin == "none" {
		logger.Warn("no policy yet, and no stable version beside the source: routers that match a version's header do not serve until there is a document")
	}
	context.AfterFunc(s.ctx, func() {
		user.Release()
		for _, pool := range pools { // after Release nobody notifies
			pool.Close()
		}
	})
	serve := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		now.Load().(*served).handler.ServeHTTP(w, r)
	})
	if config.StatePath == "" {
		return serve, nil
	}
	return stateHandler(config.StatePath, user, serve), nil
}

func follow(s *setup, config *Config, logger *slog.Logger, notify func(*core.Current)) (*live.User, error) {
	options := core.FollowOptions{Service: s.policy.Service, Base: s.engine, Check: checkUpstreams, Cache: config.Cache, Logger: logger}
	if config.Source == nil {
		return core.FollowInstances(s.policy, options, notify)
	}
	return core.Follow(config.Source, options, notify)
}

// checkUpstreams refuses a policy with an upstream that mode proxy could not use. It is the same in both modes, which may share a source.
func checkUpstreams(e *core.Engine) error {
	pool := proxy.NewPool(proxy.Options{})
	defer pool.Close()
	for _, version := range canaries(e) {
		if err := pool.Set(e.Versions()[version].Upstreams); err != nil {
			return upstreamProblems(version, err)
		}
	}
	return nil
}

// handlerOf is how requests are served by what is in force. Pools are kept for versions that stay, with what they know of their upstreams.
func handlerOf(s *setup, c *core.Current, next http.Handler, pools map[string]*proxy.Pool) http.Handler {
	if c.Engine == nil {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			core.PassNothing(r)
			next.ServeHTTP(w, r)
		})
	}
	if s.mode != modeProxy {
		return core.Handler(c.Engine, s.clientIP, next)
	}
	targets := map[string]*target{}
	for _, version := range canaries(c.Engine) {
		if pools[version] == nil {
			pools[version] = newPool(s.name)
		}
		setPool(s, c, version, pools[version])
		targets[version] = &target{pools[version], toStable(c.Engine, s.name, version, next)}
	}
	for version, pool := range pools {
		if targets[version] == nil {
			pool.Close()
			delete(pools, version)
		}
	}
	return forwarding(c.Engine, s.clientIP, targets, next)
}

// setPool gives a version's pool its upstreams: those that the policy lists, or those that a registry does.
func setPool(s *setup, c *core.Current, version string, pool *proxy.Pool) {
	v := c.Engine.Versions()[version]
	upstreams := v.Upstreams
	if v.Discover != "" {
		upstreams = core.Upstreams(c.Upstreams[version])
	}
	if err := pool.Set(upstreams); err != nil {
		log.Printf("gray: middleware %s: %v: stable serves", s.name, upstreamProblems(version, err))
		_ = pool.Set(nil)
	}
}

// stateHandler answers one path with how the policy stands. Whoever configures it sees to who may ask.
func stateHandler(path string, user *live.User, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != path {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		text, err := json.MarshalIndent(user.State(), "", "  ")
		if err != nil {
			http.Error(w, "the state cannot be told", http.StatusInternalServerError)
			return
		}
		_, _ = w.Write(append(text, '\n'))
	})
}
