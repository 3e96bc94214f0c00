package graygrpc

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"

	"google.golang.org/grpc/balancer"

	"github.com/grayrelease/gray/service"
)

// picker picks an instance for each call. What outranks versions it asks the follower, whose answer
// is newer than the picker: so a switch counts at once.
type picker struct {
	follower *service.Follower
	groups   map[string]*group // by version
	failure  error
}

// group is the instances of a version that can be called.
type group struct {
	ready     []balancer.SubConn // by weight
	isPending bool               // others are being connected to
	turn      atomic.Uint32
}

// begin has the turns begin anywhere: clients that start together must not all call the first.
func (g *group) begin() { g.turn.Store(rand.Uint32()) }

var errNoInstance = errors.New("no instance is known")

// Pick implements balancer.Picker.
func (p *picker) Pick(info balancer.PickInfo) (balancer.PickResult, error) {
	view := p.follower.View()
	serving, stable := view.Serving(service.Version(info.Ctx)), view.Stable()
	g := p.groups[serving]
	if g == nil && len(view.Upstreams(serving)) > 0 {
		return balancer.PickResult{}, balancer.ErrNoSubConnAvailable // until the balancer knows them too
	}
	if serving != stable && (g == nil || len(g.ready) == 0 && !g.isPending) {
		g = p.groups[stable]
	}
	switch {
	case g == nil:
		return balancer.PickResult{}, errNoInstance
	case len(g.ready) > 0:
		return balancer.PickResult{SubConn: g.ready[g.turn.Add(1)%uint32(len(g.ready))]}, nil
	case g.isPending:
		return balancer.PickResult{}, balancer.ErrNoSubConnAvailable
	case p.failure != nil:
		return balancer.PickResult{}, fmt.Errorf("no instance can be reached: %w", p.failure)
	}
	return balancer.PickResult{}, errNoInstance
}

// failing fails all calls.
type failing struct{ err error }

// Pick implements balancer.Picker.
func (f failing) Pick(balancer.PickInfo) (balancer.PickResult, error) {
	return balancer.PickResult{}, f.err
}
