package caddygray

import (
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/grayrelease/gray/core"
)

// pool makes upstreams that stand in the configuration a proxy's own. The proxy prepares those
// once, and its metrics tell of them; what it gets by GetUpstreams it prepares for each attempt.
//
// It is the proxy's selection policy: of its own upstreams that GetUpstreams says may be tried, it
// has the policy that was configured select one.
type pool struct {
	configured reverseproxy.Selector
	upstreams  []*reverseproxy.Upstream
	byDial     map[string]*reverseproxy.Upstream
}

// fillPool gives a proxy the upstreams of a policy's versions. It returns nil if there are none.
func fillPool(proxy *reverseproxy.Handler, policy *core.Policy) *pool {
	p := &pool{configured: proxy.LoadBalancing.SelectionPolicy, byDial: map[string]*reverseproxy.Upstream{}}
	for _, version := range policy.Versions {
		targets, err := parseUpstreams(version.Upstreams)
		if err != nil {
			return nil // which the handler refuses
		}
		for _, to := range targets {
			if p.byDial[to.dial] == nil {
				u := &reverseproxy.Upstream{Dial: to.dial}
				p.byDial[to.dial] = u
				p.upstreams = append(p.upstreams, u)
			}
		}
	}
	if len(p.upstreams) == 0 {
		return nil
	}
	if p.configured == nil {
		p.configured = reverseproxy.RandomSelection{} // Caddy's default
	}
	proxy.Upstreams = p.upstreams
	proxy.LoadBalancing.SelectionPolicy = p
	return p
}

// of returns some of a version's upstreams as the proxy's own, nil if one of them is not. It can be
// called on nil.
func (p *pool) of(v *version, upstreams []*upstream) []*reverseproxy.Upstream {
	if p == nil {
		return nil
	}
	areAll := len(upstreams) == len(v.upstreams)
	if areAll {
		if known, ok := v.pooled.Load(p); ok {
			return known.([]*reverseproxy.Upstream)
		}
	}
	own := make([]*reverseproxy.Upstream, 0, len(upstreams))
	for _, u := range upstreams {
		if p.byDial[u.dial] == nil {
			own = nil
			break
		}
		own = append(own, p.byDial[u.dial])
	}
	if areAll {
		v.pooled.Store(p, own)
	}
	return own
}

// Select selects one of the upstreams that may be tried. Where GetUpstreams has failed, as nothing
// was decided, the proxy offers all of its own; it gets none.
func (p *pool) Select(
	offered reverseproxy.UpstreamPool, r *http.Request, w http.ResponseWriter,
) *reverseproxy.Upstream {
	if state := stateOf(r); state != nil && state.pooled != nil {
		offered = state.pooled
	} else if len(offered) > 0 && offered[0] == p.upstreams[0] {
		return nil
	}
	return p.configured.Select(offered, r, w)
}

// isSourceOf reports whether the module that is being provisioned is a proxy's source of upstreams
// itself, and not one of several of `dynamic multi`.
func isSourceOf(ctx caddy.Context, proxy *reverseproxy.Handler) bool {
	modules := ctx.Modules()
	return modules[len(modules)-2] == caddy.Module(proxy) // the last one is the source
}

var _ reverseproxy.Selector = (*pool)(nil)
