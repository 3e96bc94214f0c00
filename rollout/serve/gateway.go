package serve

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/rollout/api"
)

const (
	// gatewayEvery is the time between two looks at how a gateway follows a policy, and lookEvery
	// the least time between two of all looks.
	gatewayEvery = 2 * time.Second
	lookEvery    = 4 * time.Millisecond
	// maxGatewayState bounds what a gateway answers, and maxUpstreams what is taken of it.
	maxGatewayState = 4 << 20
	maxUpstreams    = 1000
)

// gateway is a gateway that follows the policy. It is safe for concurrent use.
type gateway struct {
	url     string
	service string
	client  *http.Client

	mu       sync.Mutex
	known    api.Gateway
	origin   string
	traffic  *api.Traffic
	versions map[string][]api.Upstream
}

// look asks the gateway how it stands.
func (g *gateway) look(ctx context.Context, own *live.State, at time.Time) {
	state, err := g.read(ctx)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.known.Address = g.url
	if err != nil {
		g.known.Error = err.Error()
		return
	}
	lags := g.known.Lags
	g.known = api.Gateway{Address: g.url, Connected: state.Connected, Revision: state.Revision, Forced: state.Forced,
		Contact: at}
	g.origin = state.Origin
	if state.Rejected != nil {
		g.known.Rejected = state.Rejected.Error
	}
	if r := state.Rollout; r != nil {
		g.known.Epoch = r.Epoch
		g.known.Percent = r.Percent
	}
	if g.isBehind(own) {
		g.known.Lags = lags
		if lags.IsZero() {
			g.known.Lags = at
		}
	}
	if state.Traffic != nil {
		state.Traffic.At = at // by the clock here
	}
	g.traffic = state.Traffic
	g.versions = state.Versions
}

// isBehind reports whether the controller has something newer. Called with mu held.
func (g *gateway) isBehind(own *live.State) bool {
	if own.Origin != g.origin || own.Revision != g.known.Revision || own.Forced != g.known.Forced {
		return true
	}
	return own.Rollout != nil && own.Rollout.Epoch > g.known.Epoch
}

// addTo adds what is known of the gateway to a state, and returns what it has counted, nil if
// nothing.
func (g *gateway) addTo(s *api.State) *api.Traffic {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.known.Address == "" {
		return nil // it was not asked yet
	}
	s.Gateways = append(s.Gateways, g.known)
	if g.known.Error != "" {
		return nil
	}
	for name, upstreams := range g.versions {
		if _, known := s.Versions[name]; known {
			s.Versions[name] = merge(s.Versions[name], upstreams)
		}
	}
	return g.traffic
}

// merge adds what a gateway knows of upstreams: one that any gateway has left out is down.
func merge(all, more []api.Upstream) []api.Upstream {
	for _, u := range more {
		i := 0
		for i < len(all) && all[i].Address != u.Address {
			i++
		}
		switch {
		case i == len(all) && i < maxUpstreams:
			all = append(all, u)
		case i < len(all) && (all[i].Up == nil || u.Up != nil && !*u.Up):
			all[i].Up = u.Up
		}
	}
	return all
}

// read returns the state of the service's policy in the gateway.
func (g *gateway) read(ctx context.Context) (*api.State, error) {
	var states []api.State
	address := adminURL(g.url, g.service)
	if _, err := readJSON(ctx, g.client, address, maxGatewayState, &states); err != nil {
		return nil, err
	}
	if len(states) == 0 {
		return nil, fmt.Errorf("%s has no state of the policy", address)
	}
	return &states[0], nil
}
