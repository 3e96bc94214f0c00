package caddygray

import (
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/proxy"
)

// Selection is a selection policy of `reverse_proxy` that keeps a caller on one instance of the
// chosen version without a cookie: the available upstream that is closest to the identity by which
// `gray` decides (rendezvous hashing). All gateways find the same one. If an instance goes, only
// its callers move; if one comes, only those who are now closest to it.
//
// A caller without identity, and a request without a decision, get a random available upstream.
type Selection struct {
	// Service whose decision counts if a request passes several `gray` handlers. Default: the last
	// one.
	Service string `json:"service,omitempty"`

	configuration *configuration
}

// CaddyModule returns the Caddy module information.
func (Selection) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.reverse_proxy.selection_policies.gray",
		New: func() caddy.Module { return new(Selection) },
	}
}

// UnmarshalJSON reads the policy's JSON strictly.
func (s *Selection) UnmarshalJSON(data []byte) error { return core.Decode(data, s) }

// Provision has the service looked for in the policies of the configuration.
func (s *Selection) Provision(ctx caddy.Context) (err error) {
	if s.configuration, err = joinConfiguration(ctx); err != nil {
		return err
	}
	s.configuration.refer(reference{of: "lb_policy gray", service: s.Service, logger: ctx.Logger()})
	return nil
}

// Cleanup leaves the configuration.
func (s *Selection) Cleanup() error {
	if s.configuration != nil {
		s.configuration.leave()
	}
	return nil
}

// Select returns the available upstream of the pool that is closest to the caller, or nil if none
// is available.
func (s *Selection) Select(
	pool reverseproxy.UpstreamPool, r *http.Request, w http.ResponseWriter,
) *reverseproxy.Upstream {
	d := stateOf(r).of(s.Service)
	identity := d.knownIdentity()
	if identity == "" {
		return reverseproxy.RandomSelection{}.Select(pool, r, w)
	}
	at := proxy.HashIdentity(identity)
	var closest *reverseproxy.Upstream
	most := uint64(0)
	for _, u := range pool {
		if !u.Available() {
			continue
		}
		if c := proxy.Closeness(d.places(u.Dial), at); c > most || closest == nil {
			closest, most = u, c
		}
	}
	return closest
}

// knownIdentity returns who the caller counts as, "" if that is nobody or nothing was decided.
func (d *decided) knownIdentity() string {
	if d == nil {
		return ""
	}
	return core.KnownIdentity(d.active.engine, &d.caller)
}

// places returns where an upstream is in the version that serves. One that the version does not
// have is one of the proxy's own.
func (d *decided) places(dial string) []uint64 {
	if u := d.serving.byDial[dial]; u != nil {
		return u.places
	}
	return proxy.Places(dial, 1)
}

// home returns the upstream of the version that is closest to the caller, without those that cannot
// serve the request. It is nil if there is none, or if the proxy does not select by identity.
func (a *attempt) home() *upstream {
	if !a.selects {
		return nil
	}
	identity := a.decided.knownIdentity()
	if identity == "" {
		return nil
	}
	at := proxy.HashIdentity(identity)
	var closest *upstream
	most := uint64(0)
	v := a.decided.serving
	for _, u := range v.byDial {
		if a.hasTried(u) || v.checked && u.health.down.Load() {
			continue
		}
		if c := proxy.Closeness(u.places, at); c > most || closest == nil {
			closest, most = u, c
		}
	}
	return closest
}

// UnmarshalCaddyfile sets up the policy from Caddyfile tokens. Syntax:
//
//	lb_policy gray [<service>]
func (s *Selection) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume the policy's name
	if d.NextArg() {
		s.Service = d.Val()
	}
	if d.NextArg() {
		return d.ArgErr()
	}
	for d.NextBlock(0) {
		return d.Errf("unknown subdirective %q: lb_policy gray takes only a service", d.Val())
	}
	return nil
}

// Interface guards
var (
	_ caddy.Provisioner     = (*Selection)(nil)
	_ caddy.CleanerUpper    = (*Selection)(nil)
	_ reverseproxy.Selector = (*Selection)(nil)
	_ caddyfile.Unmarshaler = (*Selection)(nil)
)
