package service

import (
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/grayrelease/gray/core/proxy"
)

// pool is a service's instances, with what its requests have shown of their health.
type pool struct {
	follower *Follower
	cooldown time.Duration
	now      atomic.Pointer[routes]
	stop     func() // no more views

	instances map[Upstream]*endpoint // only view uses it
}

// routes is what a view says, ready to be picked from.
type routes struct {
	view   *View
	groups map[string]*group // by version
}

// group is the instances of a version.
type group struct {
	entries []*endpoint // by weight
	each    int         // how many there are, each once
	turn    atomic.Uint32
}

type endpoint struct {
	Upstream
	health *proxy.Health
}

func newPool(f *Follower, cooldown time.Duration) *pool {
	if cooldown <= 0 {
		cooldown = proxy.Cooldown
	}
	p := &pool{follower: f, cooldown: cooldown, instances: map[Upstream]*endpoint{}}
	p.stop = f.OnChange(p.show)
	return p
}

// show puts a view in force. An instance that stays keeps its health; one that comes again begins
// anew.
func (p *pool) show(v *View) {
	instances := map[Upstream]*endpoint{}
	r := &routes{view: v, groups: map[string]*group{}}
	for version, upstreams := range v.upstreams {
		g := &group{}
		seen := map[Upstream]bool{}
		for _, u := range upstreams {
			e := instances[u]
			if e == nil {
				if e = p.instances[u]; e == nil {
					e = &endpoint{Upstream: u, health: &proxy.Health{}}
				}
				instances[u] = e
			}
			if !seen[u] {
				seen[u] = true
				g.each++
			}
			g.entries = append(g.entries, e)
		}
		g.turn.Store(rand.Uint32()) // many clients that start together must not all call the first
		r.groups[version] = g
	}
	p.instances = instances
	p.now.Store(r)
}

// pick returns the next instance that is in use, or is to be tried again; nil if there is none.
func (p *pool) pick(g *group) *endpoint {
	if g == nil || len(g.entries) == 0 {
		return nil
	}
	n := uint32(len(g.entries))
	turn := g.turn.Add(1)
	for i := range n {
		e := g.entries[(turn+i)%n]
		if proxy.IsUp(e.health) {
			return e
		}
	}
	for i := range n {
		e := g.entries[(turn+i)%n]
		if proxy.TryAgain(e.health, p.cooldown) {
			return e
		}
	}
	return nil
}

func (p *pool) close() {
	p.stop()
	p.follower.Close()
}
