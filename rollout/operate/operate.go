// Package operate does what people do to a release, at the documents of a source: it reads where
// the release is, moves its rollout, and throws its kill switch.
//
//	s, err := store.Open("etcd://10.0.0.9:2379/gray/shop", nil)
//	release, err := operate.Read(ctx, s)
//	state, err := operate.Do(ctx, s, rollout.Command{Verb: rollout.Approve, By: "ann"})
//
// Documents are written by compare-and-set; gateways obey them as soon as they read them.
package operate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/core/source"
	"github.com/grayrelease/gray/rollout/store"
)

// Errors of Read and Do, besides those of the store and of rollout.Do.
var (
	// ErrNoPolicy is returned when the source has no policy, or one that cannot be read.
	ErrNoPolicy = errors.New("there is no policy")
	// ErrNoRollout is returned when the policy has no rollout.
	ErrNoRollout = errors.New("the policy has no rollout: give it a plan first")
)

// now is the time; tests replace it.
var now = func() time.Time { return time.Now().UTC().Round(0) }

// Release is what the documents of a source say about the release of a service.
type Release struct {
	// Source is the URL without credentials.
	Source  string
	Service string
	Stable  string
	// Policy is the document, of which only the rollout has been checked.
	Policy *core.Policy
	// Plan is the rollout's, nil if there is none.
	Plan *core.RolloutPlan
	// State is that of the rollout, nil if there is none that belongs to the plan.
	State *core.RolloutState
	// Switch is the kill switch, nil if there is none. One whose To is empty has ended.
	Switch *live.Switch
	// Notes say what is wrong with the documents beside the policy.
	Notes []string
}

// Documents are those of a source, as they were read.
type Documents map[source.Key]source.Document

// Read reads the documents of a source. The error wraps ErrNoPolicy if the policy cannot be read.
func Read(ctx context.Context, s *store.Store) (*Release, error) {
	documents := Documents{}
	for _, key := range []source.Key{source.Switch, source.Rollout, source.Policy} {
		d, err := s.Get(ctx, key)
		if err != nil {
			return nil, err
		}
		documents[key] = d
	}
	return NewRelease(s.Name, documents)
}

// NewRelease returns what documents say. The error wraps ErrNoPolicy if the policy cannot be read.
func NewRelease(name string, documents Documents) (*Release, error) {
	policy, plan, err := readPolicy(name, documents[source.Policy])
	if err != nil {
		return nil, err
	}
	r := &Release{Source: name, Service: policy.Service, Stable: policy.Stable, Policy: policy, Plan: plan}
	if d, there := documents[source.Switch]; there && !d.Missing {
		sw, err := live.ParseSwitch(d.Data)
		if err != nil {
			r.Notes = append(r.Notes, err.Error())
		} else {
			r.Switch = &sw
		}
	}
	if d, there := documents[source.Rollout]; there && !d.Missing {
		state, err := core.ParseRolloutState(d.Data)
		switch {
		case err != nil:
			r.Notes = append(r.Notes, "the state of the rollout cannot be read: "+err.Error())
		case plan == nil:
		case state.Fingerprint != plan.Fingerprint:
			r.Notes = append(r.Notes, "the state of the rollout is about another plan, and has no effect")
		default:
			r.State = state
		}
	}
	return r, nil
}

// readPolicy reads a policy and its plan.
func readPolicy(name string, d source.Document) (*core.Policy, *core.RolloutPlan, error) {
	if d.Missing || d.Data == nil {
		return nil, nil, fmt.Errorf("%w at %s: write it there first", ErrNoPolicy, name)
	}
	policy, err := core.ParsePolicy(d.Data)
	if err != nil {
		return nil, nil, fmt.Errorf("%w at %s that can be read:\n%w", ErrNoPolicy, name, err)
	}
	plan, err := core.ReadPlan(policy)
	if err != nil {
		return nil, nil, fmt.Errorf("%w at %s that can be read:\n%w", ErrNoPolicy, name, err)
	}
	return policy, plan, nil
}

// Status returns how the rollout stands, nil if the policy has none.
func (r *Release) Status() *live.RolloutStatus {
	if r.Plan == nil {
		return nil
	}
	return live.NewRolloutStatus(r.Plan, r.Policy.Rollout.Steps, r.State)
}

// Forced returns the version that the kill switch, or a policy that is not enabled, gives to every
// request; "" is none.
func (r *Release) Forced() string {
	switch {
	case r.Switch != nil && r.Switch.To != "":
		return r.Switch.To
	case r.Policy.Enabled != nil && !*r.Policy.Enabled:
		return r.Stable
	}
	return ""
}

// Watch calls emit with the release, and again whenever a document changes; with an error when the
// source, or its policy, cannot be read. It returns when ctx ends. One goroutine calls emit.
func Watch(ctx context.Context, s *store.Store, emit func(*Release, error)) {
	documents := Documents{}
	s.Watch(ctx, func(e source.Event) {
		switch {
		case e.Contact:
			return
		case e.Err != nil:
			emit(nil, e.Err)
			return
		}
		documents[e.Key] = e.Document
		if _, isRead := documents[source.Policy]; !isRead {
			return // the policy is read last
		}
		r, err := NewRelease(s.Name, documents)
		if err != nil && e.Settling {
			return // it is still being written
		}
		emit(r, err)
	})
}
