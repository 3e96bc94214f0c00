package serve

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/rollout"
	"github.com/grayrelease/gray/rollout/api"
	"github.com/grayrelease/gray/rollout/operate"
	"github.com/grayrelease/gray/rollout/store"
)

// Interface guards
var _ api.Service = (*service)(nil)

// apiServices returns what the API shows.
func (s *Server) apiServices() []api.Service {
	all := make([]api.Service, 0, len(s.services))
	for _, v := range s.services {
		all = append(all, v)
	}
	return all
}

// Name implements api.Service.
func (v *service) Name() string { return v.config.Service }

// Engine implements api.Service.
func (v *service) Engine() *core.Engine { return v.handle.Current().Engine }

// Do implements api.Service.
func (v *service) Do(ctx context.Context, c rollout.Command) (core.RolloutState, error) {
	return v.use.Do(ctx, c)
}

const switchTimeout = 10 * time.Second

// Throw implements api.Service: it writes a switch, and puts it in force here.
func (v *service) Throw(ctx context.Context, next live.Switch) (live.Switch, error) {
	ctx, cancel := context.WithTimeout(ctx, switchTimeout)
	defer cancel()
	place, err := store.Open(v.config.Source, v.config.Options)
	if err != nil {
		return next, err
	}
	return operate.ThrowFor(ctx, place, v.handle, next)
}

// State implements api.Service: the state of the policy, what the guards say here, and what
// gateways say.
func (v *service) State() api.State {
	state := api.State{State: v.use.State(v.handle)}
	if state.Service == "" {
		state.Service = v.config.Service
	}
	if current := v.handle.Current(); current.Engine != nil {
		state.Rules = api.Rules(current.Engine)
		state.Versions = upstreamsOf(current)
	}
	var traffic []*api.Traffic
	for _, g := range v.gateways {
		if t := g.addTo(&state); t != nil {
			traffic = append(traffic, t)
		}
	}
	state.Traffic = api.Sum(traffic)
	for _, upstreams := range state.Versions {
		slices.SortFunc(upstreams, func(a, b api.Upstream) int { return strings.Compare(a.Address, b.Address) })
	}
	return state
}

// upstreamsOf are the upstreams of the versions, of which nobody knows here whether they are up.
func upstreamsOf(c *live.Current) map[string][]api.Upstream {
	versions := map[string][]api.Upstream{}
	for name := range c.Engine.Versions() {
		versions[name] = []api.Upstream{}
		for _, address := range c.Addresses(name) {
			address = strings.TrimPrefix(strings.Fields(address)[0], "http://")
			versions[name] = append(versions[name], api.Upstream{Address: address})
		}
	}
	return versions
}
