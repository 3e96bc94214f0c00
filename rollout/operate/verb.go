package operate

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/source"
	"github.com/grayrelease/gray/rollout"
	"github.com/grayrelease/gray/rollout/store"
)

// Preview returns the state that a command would lead to now. The error is that of Do.
func (r *Release) Preview(c rollout.Command) (core.RolloutState, error) {
	if r.Plan == nil {
		return core.RolloutState{}, ErrNoRollout
	}
	var state core.RolloutState
	if r.State != nil {
		state = *r.State
	}
	return rollout.Do(r.Plan, state, c, now())
}

// Do moves the rollout of a source's policy as a person asks for, and returns the state after that.
// The error is that of rollout.Do if the command is not possible now, and ErrNoRollout,
// ErrNoPolicy, or that of the store.
func Do(ctx context.Context, s *store.Store, c rollout.Command) (core.RolloutState, error) {
	d, err := s.Get(ctx, source.Policy)
	if err != nil {
		return core.RolloutState{}, err
	}
	_, plan, err := readPolicy(s.Name, d)
	if err != nil {
		return core.RolloutState{}, err
	}
	if plan == nil {
		return core.RolloutState{}, ErrNoRollout
	}
	var next core.RolloutState
	err = s.Update(ctx, source.Rollout, func(d source.Document) ([]byte, error) {
		var state core.RolloutState
		if !d.Missing {
			stored, err := core.ParseRolloutState(d.Data)
			if err != nil {
				return nil, fmt.Errorf("the state of the rollout at %s cannot be read:\n%w", s.Name, err)
			}
			state = *stored
		}
		var err error
		if next, err = rollout.Do(plan, state, c, now()); err != nil {
			return nil, err
		}
		return json.Marshal(&next)
	})
	return next, err
}
