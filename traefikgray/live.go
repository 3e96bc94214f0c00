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
	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/core/proxy"
)

// served is what requests go through at the moment.
type served struct{ handler http.Handler }

// open keeps the policy in force and returns the handler that serves by it. What the user
// configures wrong is an error; a source that is down is not.
func open(s *setup, config *Config, next http.Handler) (http.Handler, error) {
	now := &atomic.Value{}
	pools := map[string]*proxy.Pool{}
	isFollowed := isFollowed(s, config)
	logger := newLogger(s.name)
	warnOnce := unusedUpstreams(s, logger)
	apply := func(c *live.Current) error {
		if problems := checkUpstreams(s, c, isFollowed); len(problems) > 0 {
			return problems
		}
		warnOnce(c)
		now.Store(&served{handlerOf(s, c, next, pools)})
		return nil
	}
	if config.Source != nil && s.policy != nil { // what it lists may serve in place of what documents list
		listed := func(version string) []string { return s.policy.Versions[version].Upstreams }
		if problems := checkListed(s, versionNames(s.policy.Versions), listed); len(problems) > 0 {
			return nil, problems
		}
	}
	options := live.Options{Policy: s.policy, Cache: config.Cache, Logger: logger, Apply: apply}
	if config.Source != nil {
		options.Source = &config.Source.Source
	}
	handle, err := live.Open(options)
	if err != nil {
		return nil, err
	}
	if s.policy == nil && s.mode != modeProxy && handle.Current().Origin == "none" {
		logger.Warn("no policy yet, and no stable version beside the source: " +
			"routers that match a version's header do not serve until there is a document")
	}
	context.AfterFunc(s.ctx, func() {
		handle.Close()
		for _, pool := range pools { // nothing is applied after Close
			pool.Close()
		}
	})
	if !isFollowed {
		return now.Load().(*served).handler, nil
	}
	serve := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		now.Load().(*served).handler.ServeHTTP(w, r)
	})
	if config.StatePath == "" {
		return serve, nil
	}
	return stateHandler(config.StatePath, handle, serve), nil
}

// unusedUpstreams makes a function that warns of a followed policy whose upstreams nothing uses,
// because the mode was not given and its default is header.
func unusedUpstreams(s *setup, logger *slog.Logger) func(*live.Current) {
	due := s.guessed && s.mode == modeHeader
	return func(c *live.Current) {
		if due && c.Engine != nil && areLocated(c.Engine.Policy()) {
			due = false
			logger.Warn("the document says where versions run, and mode header does not use that: " +
				"give mode proxy to forward to them, or mode header if child routers match the version")
		}
	}
}

// checkUpstreams returns what keeps mode proxy from forwarding by a policy. Stable is served by the
// router's own service, so a version without upstreams is refused only where it can never have any.
func checkUpstreams(s *setup, c *live.Current, isFollowed bool) problem.List {
	if s.mode != modeProxy || c.Engine == nil {
		return nil
	}
	var problems problem.List
	for _, version := range canaries(c.Engine) {
		if !isFollowed && len(c.Listed(version)) == 0 {
			problems = append(problems, upstreamProblems(version, errNoUpstreams)...)
		}
	}
	return append(problems, checkListed(s, canaries(c.Engine), c.Listed)...)
}

// checkListed returns what is wrong with the upstreams that are listed for versions.
func checkListed(s *setup, versions []string, listed func(string) []string) problem.List {
	if s.mode != modeProxy {
		return nil
	}
	pool := proxy.NewPool(proxy.Options{})
	defer pool.Close()
	var problems problem.List
	for _, version := range versions {
		if err := pool.Set(withoutWeights(listed(version))); err != nil {
			problems = append(problems, upstreamProblems(version, err)...)
		}
	}
	return problems
}

// withoutWeights returns the addresses of upstreams as a policy has them, one for each.
func withoutWeights(upstreams []string) []string {
	addresses := make([]string, 0, len(upstreams))
	for _, text := range upstreams {
		address, _, _ := core.SplitWeight(text)
		addresses = append(addresses, address)
	}
	return addresses
}

// handlerOf is how requests are served by what is in force. Pools are kept for versions that stay,
// with what they know of their upstreams.
func handlerOf(s *setup, c *live.Current, next http.Handler, pools map[string]*proxy.Pool) http.Handler {
	if c.Engine == nil {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			core.PassNothing(r)
			next.ServeHTTP(w, r)
		})
	}
	if s.mode != modeProxy {
		return core.Handler(c.Engine, client(s), next)
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
	return forwarding(c.Engine, client(s), identifier(s, c.Engine), targets, next)
}

// setPool gives a version's pool its upstreams: those that the policy lists, or those that a
// registry does.
func setPool(s *setup, c *live.Current, version string, pool *proxy.Pool) {
	if err := pool.Set(c.Addresses(version)); err != nil {
		log.Printf("gray: middleware %s: %v: stable serves", s.name, upstreamProblems(version, err))
		_ = pool.Set(nil)
	}
}

// stateHandler answers one path with how the policy stands. Whoever configures it sees to who may
// ask.
func stateHandler(path string, handle *live.Handle, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != path {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		text, err := json.MarshalIndent(handle.State(), "", "  ")
		if err != nil {
			http.Error(w, "the state cannot be told", http.StatusInternalServerError)
			return
		}
		_, _ = w.Write(append(text, '\n'))
	})
}

// client is what Traefik knows of the client. It lets only the trusted peers of its entry points
// send X-Forwarded-Proto, and sets it for all others.
func client(s *setup) *core.Client {
	return &core.Client{Address: s.clientIP, Secure: core.ForwardedSecurely}
}
