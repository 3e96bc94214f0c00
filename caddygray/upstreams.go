package caddygray

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/proxy"
)

// retries is how often a request may be retried by default: on the other upstreams of its version,
// then on stable. Caddy retries only requests that were never sent, and GET requests.
const retries = 5

// attemptsInVersion is the number of failed upstreams after which a request goes to stable, even if
// its version has more.
const attemptsInVersion = 3

// Upstreams gives `reverse_proxy` the upstreams of the version that the `gray` handler decided on.
//
// Upstreams that failed are left out: at once if no connection was made, TLS included, and
// otherwise after three failures in a row. After ten seconds, one request tries them again. If no
// usable upstream is left, or three could not serve the request, stable serves, and the request
// names that version. If stable has no usable upstream either, all of them are tried.
//
// If the proxy configures neither `lb_retries` nor `lb_try_duration`, failed attempts are retried
// up to five times. Caddy's rules stay in force: a request that was sent and is not a GET is never
// sent again.
type Upstreams struct {
	// Service names the decision, if a request passes several `gray` handlers. Default: the last
	// decision.
	Service string `json:"service,omitempty"`

	configuration *configuration

	transport *transport
	pool      *pool
	selects   bool // the proxy selects by identity
	isOnly    bool // the proxy has no upstreams of its own for requests without a decision
}

// CaddyModule returns the Caddy module information.
func (Upstreams) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.reverse_proxy.upstreams.gray",
		New: func() caddy.Module { return new(Upstreams) },
	}
}

// UnmarshalJSON reads the source's JSON strictly.
func (u *Upstreams) UnmarshalJSON(data []byte) error { return core.Decode(data, u) }

// Provision finds the source's proxy, lets it retry, and watches its attempts.
func (u *Upstreams) Provision(ctx caddy.Context) error {
	proxy := proxyOf(ctx)
	if proxy == nil {
		return errors.New("the gray upstream source works in reverse_proxy only")
	}
	if proxy.LoadBalancing == nil {
		proxy.LoadBalancing = new(reverseproxy.LoadBalancing)
	}
	if lb := proxy.LoadBalancing; lb.Retries == 0 && lb.TryDuration == 0 {
		lb.Retries = retries
	}
	u.isOnly = len(proxy.Upstreams) == 0
	if checks := proxy.HealthChecks; u.isOnly && checks != nil && checks.Active != nil && checks.Active.IsEnabled() {
		return errHealthChecks
	}
	_, u.selects = proxy.LoadBalancing.SelectionPolicy.(*Selection)
	t, err := watch(ctx, proxy)
	if err != nil {
		return fmt.Errorf("setting up the transport: %w", err)
	}
	u.transport = t
	if u.configuration, err = joinConfiguration(ctx); err != nil {
		return err
	}
	u.configuration.refer(reference{of: "dynamic gray", service: u.Service, logger: ctx.Logger()})
	h := u.configuration.last(u.Service)
	if h == nil {
		return nil
	}
	if u.isOnly && isSourceOf(ctx, proxy) {
		u.pool = fillPool(proxy, h.configured)
	}
	return h.serve(u.isOnly)
}

// errHealthChecks refuses active health checks that would check nothing.
var errHealthChecks = errors.New("health_uri and health_port of reverse_proxy check its own upstreams only: put the " +
	"health checks into the versions of `gray`, as in `version v2 10.0.0.1:8080 { health_uri /healthz }`")

// proxyOf returns the proxy whose configuration is being provisioned.
func proxyOf(ctx caddy.Context) *reverseproxy.Handler {
	modules := ctx.Modules()
	for i := len(modules) - 1; i >= 0; i-- {
		if proxy, ok := modules[i].(*reverseproxy.Handler); ok {
			return proxy
		}
	}
	return nil
}

// Cleanup closes idle connections.
func (u *Upstreams) Cleanup() error {
	if u.configuration != nil {
		u.configuration.leave()
	}
	if u.transport == nil {
		return nil
	}
	return u.transport.cleanup()
}

var (
	errUndecided = errors.New("no version has been decided on: `gray` must come before the proxy, in the same route or " +
		"one around it")
	errNoPolicy = errors.New("no version has been decided on: `gray` has no policy yet, since its source has given no " +
		"good document " +
		"(GET /gray/ of the admin API tells why). To serve without one, give `stable` and its version beside `source`")
	errUnlocated = errors.New("the stable version has no upstreams: give it some in `gray`")
	errUnsourced = errors.New("the stable version has no upstreams: no policy document has come from the source yet, " +
		"and the policy beside it has none either")
	errUnlisted = errors.New("the stable version has no upstreams: the registry of its `discover` lists no instance")
)

// GetUpstreams is called before each attempt.
func (u *Upstreams) GetUpstreams(r *http.Request) ([]*reverseproxy.Upstream, error) {
	state := stateOf(r)
	d := state.of(u.Service)
	if state != nil {
		state.pooled = nil
	}
	if d == nil {
		return nil, u.once(r, u.undecided(r))
	}
	if there := &d.active.handler.proxies.areThere; !there.Load() {
		there.Store(true) // of a service that is not the last before the proxy
	}
	d.use()
	a := &state.attempt
	if a.again {
		a.again = false
		a.settle()
	} else {
		*a = attempt{decided: d, selects: u.selects}
	}
	list := a.choose()
	if len(list) == 0 {
		return nil, u.once(r, d.unlisted())
	}
	if state.pooled = u.pool.of(d.serving, list); state.pooled != nil {
		return nil, nil // the pool offers them
	}
	return toCaddy(list), nil
}

// once returns the error of a request for which there are no upstreams. The proxy logs it and tries
// again. If the proxy has no upstreams of its own, the other tries find nothing either, so one log
// entry is enough.
func (u *Upstreams) once(r *http.Request, err error) error {
	ctx := r.Context()
	if u.isOnly && caddyhttp.GetVar(ctx, toldKey) != nil {
		return nil
	}
	caddyhttp.SetVar(ctx, toldKey, true)
	return err
}

// undecided returns the error of a request without a decision.
func (u *Upstreams) undecided(r *http.Request) error {
	if state := stateOf(r); state != nil {
		return fmt.Errorf("no version has been decided on for the service %q: `gray` has decided for %s",
			u.Service, state.services())
	}
	if caddyhttp.GetVar(r.Context(), noPolicyKey) != nil {
		return errNoPolicy
	}
	return errUndecided
}

// unlisted returns why not even stable has an upstream.
func (d *decided) unlisted() error {
	switch {
	case d.active.now.IsLocated(d.active.stable.name):
		return errUnlisted
	case d.active.handler.Source != nil:
		return errUnsourced
	}
	return errUnlocated
}

// ResetCache is called before GetUpstreams when an attempt has failed.
func (u *Upstreams) ResetCache(r *http.Request) error {
	if state := stateOf(r); state != nil {
		state.attempt.again = true
	}
	return nil
}

// toCaddy returns the proxy's view of upstreams. The proxy writes to it, so each attempt gets its
// own.
func toCaddy(upstreams []*upstream) []*reverseproxy.Upstream {
	all := make([]reverseproxy.Upstream, len(upstreams))
	pool := make([]*reverseproxy.Upstream, len(upstreams))
	for i, u := range upstreams {
		all[i].Dial = u.dial
		pool[i] = &all[i]
	}
	return pool
}

// attempt is the progress of proxying a request.
type attempt struct {
	decided  *decided
	selects  bool        // the proxy selects by identity
	again    bool        // the next list is for another try
	sent     int         // attempts on the version that serves
	asked    int         // lists given for the version that serves
	last     *upstream   // of the last attempt
	answered bool        // it did
	failed   []*upstream // no response
	tried    []*upstream // a response, which the proxy did not like
}

// settle records the last attempt, now that another one follows.
func (a *attempt) settle() {
	switch {
	case a.last == nil:
	case a.answered:
		a.tried = append(a.tried, a.last)
	default:
		a.failed = append(a.failed, a.last)
	}
	a.last = nil
}

// choose returns the upstreams for the next try: those of the serving version, or of stable if it
// has no usable one.
func (a *attempt) choose() []*upstream {
	d := a.decided
	if d.serving != d.active.stable {
		// The proxy may refuse all upstreams of a list for its own reasons: breakers, limits, its
		// own health checks.
		refused := a.asked > a.sent
		if !refused && len(a.failed) < attemptsInVersion {
			if list := a.usable(); len(list) > 0 {
				a.asked++
				return list
			}
		}
		d.fallBack()
		a.asked, a.sent = 0, 0
	}
	a.asked++
	if list := a.usable(); len(list) > 0 {
		return list
	}
	// A try is better than a refusal.
	return d.serving.upstreams
}

// usable returns the serving version's upstreams that are up and have not been tried, or the one
// that is due for another try.
func (a *attempt) usable() []*upstream {
	v := a.decided.serving
	if len(a.failed) == 0 && len(a.tried) == 0 && v.allUp() {
		return v.upstreams
	}
	var fresh, old []*upstream
	home := a.home()
	for _, u := range v.upstreams {
		if slices.Contains(a.failed, u) {
			continue
		}
		if home != nil && u != home && !proxy.IsUp(u.health.passive) {
			continue // its own callers try it again, so that nobody else loses their instance for that
		}
		switch u.standing(v.checked) {
		case onTrial:
			return []*upstream{u}
		case usable:
			if slices.Contains(a.tried, u) {
				old = append(old, u)
			} else {
				fresh = append(fresh, u)
			}
		}
	}
	if len(fresh) > 0 {
		return fresh
	}
	return old
}

// hasTried reports whether the request has been sent to an upstream.
func (a *attempt) hasTried(u *upstream) bool {
	return slices.Contains(a.failed, u) || slices.Contains(a.tried, u)
}

// allUp is the common case, which allocates nothing.
func (v *version) allUp() bool {
	for _, u := range v.upstreams {
		if !proxy.IsUp(u.health.passive) || v.checked && u.health.down.Load() {
			return false
		}
	}
	return true
}

// UnmarshalCaddyfile sets up the source from Caddyfile tokens. Syntax:
//
//	dynamic gray [<service>]
func (u *Upstreams) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume the module's name
	if d.NextArg() {
		u.Service = d.Val()
	}
	if d.NextArg() {
		return d.ArgErr()
	}
	for d.NextBlock(0) {
		return d.Errf("unknown subdirective %q of dynamic gray, which takes the name of a service only", d.Val())
	}
	return nil
}

// Interface guards
var (
	_ caddy.Provisioner                  = (*Upstreams)(nil)
	_ caddy.CleanerUpper                 = (*Upstreams)(nil)
	_ reverseproxy.CachingUpstreamSource = (*Upstreams)(nil)
	_ caddyfile.Unmarshaler              = (*Upstreams)(nil)
)
