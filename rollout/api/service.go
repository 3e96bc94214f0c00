package api

import (
	"context"
	"time"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/rollout"
)

// Service is one service, as who serves the API knows it. Its methods may be called at any time, by
// several at once.
type Service interface {
	// Name is the service's, as in its policy.
	Name() string
	// State is how its policy and its rollout stand now.
	State() State
	// Engine is that of the policy in force, nil while there is none.
	Engine() *core.Engine
	// Do moves its rollout. The error is that of loop.Use.Do.
	Do(ctx context.Context, c rollout.Command) (core.RolloutState, error)
	// Throw throws its kill switch with the epoch that is next, and returns it as it was written.
	Throw(ctx context.Context, s live.Switch) (live.Switch, error)
}

// State is how a policy and its rollout stand.
type State struct {
	live.State
	// Versions has each version's upstreams.
	Versions map[string][]Upstream `json:"versions,omitempty"`
	// Rules are the policy's, in order.
	Rules []Rule `json:"rules,omitempty"`
	// Traffic is what has been counted since the gateways started.
	Traffic *Traffic `json:"traffic,omitempty"`
	// Gateways are those that are known to follow the policy. A list has only how many there are,
	// and how many of them are Behind: that lag, refuse the policy, or cannot be asked.
	Gateways      []Gateway `json:"gateways,omitempty"`
	GatewaysKnown int       `json:"gateways_known,omitempty"`
	Behind        int       `json:"behind,omitempty"`
	// Next is when the next step begins, if all is well and a person is not to approve it.
	Next time.Time `json:"next,omitzero"`
	// Needs says what needs a person: some of the words Needs..., the most urgent first.
	Needs []string `json:"needs,omitempty"`
}

// Upstream is an instance of a version.
type Upstream struct {
	Address string `json:"address"`
	// Up says that requests are sent to it: neither failures nor health checks have left it out. It
	// is absent where nobody knows.
	Up *bool `json:"up,omitempty"`
}

// Rule is a rule of the policy as it is in force.
type Rule struct {
	Name    string   `json:"name"`
	Version string   `json:"version"`
	When    []string `json:"when,omitempty"`
	Percent float64  `json:"percent"`
}

// Rules returns the rules of an engine's policy, each with the percentage that is in force.
func Rules(e *core.Engine) []Rule {
	var rules []Rule
	percents := e.Overlay().Percent
	names := e.RuleNames()
	for i, r := range e.Policy().Rules {
		rule := Rule{Name: names[i], Version: r.Version, When: r.When, Percent: percentOf(e, &r)}
		if percent, isChanged := percents[rule.Name]; isChanged {
			rule.Percent = percent
		}
		rules = append(rules, rule)
	}
	return rules
}

// percentOf is a rule's own percentage.
func percentOf(e *core.Engine, r *core.Rule) float64 {
	switch {
	case r.Percent != nil:
		return *r.Percent
	case e.Rollout() != nil && e.Rollout().Rule == r.Name:
		return 0
	}
	return 100
}

// Gateway is how one gateway follows a policy.
type Gateway struct {
	Address string `json:"address"`
	// Error says why it cannot be asked; all else is what it said last.
	Error string `json:"error,omitempty"`
	// Connected says that its source answers it.
	Connected bool `json:"connected"`
	// Revision of its policy, and Epoch of its rollout's state.
	Revision string `json:"revision,omitempty"`
	Epoch    int64  `json:"epoch,omitempty"`
	// Percent of the rollout's rule.
	Percent float64 `json:"percent"`
	// Forced is the version that it sends every request to.
	Forced string `json:"forced,omitempty"`
	// Rejected says why it refuses the source's newest policy.
	Rejected string `json:"rejected,omitempty"`
	// Lags says that others have a newer policy, state or switch, and since when.
	Lags time.Time `json:"lags,omitzero"`
	// Contact is when it answered last.
	Contact time.Time `json:"contact,omitzero"`
}
