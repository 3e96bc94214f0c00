package loop

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/core/source"
	"github.com/grayrelease/gray/internal/remote"
	"github.com/grayrelease/gray/rollout"
	"github.com/grayrelease/gray/rollout/store"
)

const (
	writeTimeout = 10 * time.Second
	retryPause   = time.Second // after a failure
)

// Errors of Do, besides those of rollout.Do.
var (
	// ErrNoRollout is returned when the policy in force has no rollout.
	ErrNoRollout = errors.New("the policy has no rollout")
	// ErrPlace is returned when the place of the state cannot be read or written.
	ErrPlace = errors.New("the place of the rollout's state is away")
	// ErrUnwritten is returned when the state is in force in this gateway, and could not be written
	// yet. The loop goes on trying.
	ErrUnwritten = errors.New("it is in force in this gateway, and not written yet")
)

// runWriter writes what is to be written, and keeps what is known.
func (l *Loop) runWriter(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.write:
			if !l.writeNext(ctx) && !remote.Sleep(ctx, retryPause) {
				return
			}
		case <-time.After(keepEvery):
		}
		l.mu.Lock()
		isTime := now().Sub(l.tracked.kept) >= keepEvery
		l.mu.Unlock()
		if isTime {
			l.keep()
		}
	}
}

// writeNext writes what follows from the state as it stands by then. It reports false after a
// failure.
func (l *Loop) writeNext(ctx context.Context) bool {
	s, ok := l.situation()
	if !ok {
		return true
	}
	gate := l.options().Gate
	_, err := l.commit(ctx, s, func(state core.RolloutState) (core.RolloutState, error) {
		next := s.next(state, now())
		if gate != nil && isHigher(&next, &state) {
			if err := gate(ctx, &next); err != nil {
				return state, err
			}
		}
		return next, nil
	})
	l.failed(err)
	return err == nil
}

// isHigher reports whether a state gives more callers the canary than the one before.
func isHigher(next, before *core.RolloutState) bool {
	return next.Percent > before.Percent || next.Percent > 0 && next.Attempt != before.Attempt
}

// failed notes why the state cannot be written, and logs it if that is news.
func (l *Loop) failed(err error) {
	l.mu.Lock()
	text := ""
	if err != nil {
		text = err.Error()
	}
	isNews := text != "" && l.failure == ""
	l.failure = text
	l.mu.Unlock()
	if isNews {
		l.log("the rollout cannot go on: nothing rises", err)
	}
}

func (l *Loop) log(text string, err error) {
	if o := l.options(); o.Logger != nil {
		o.Logger.Warn(text, "service", o.Service, "error", err.Error())
	}
}

// commit reads the state where it is kept, writes what change makes of it, and puts that in force.
// Where somebody else has written meanwhile, it starts over. If change changes nothing, it only
// writes what this gateway knows and the place does not.
func (l *Loop) commit(
	ctx context.Context, s *situation, change func(core.RolloutState) (core.RolloutState, error),
) (core.RolloutState, error) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	l.mu.Lock()
	place := l.store
	l.mu.Unlock()
	result := s.state
	isWritten := false
	var refusal error
	err := place.Update(ctx, source.Rollout, func(d source.Document) ([]byte, error) {
		isWritten = false
		stored, wrong := parse(d)
		from := choose(s.state, stored)
		result = from
		next, err := change(from)
		if err != nil {
			refusal = err
			return nil, err
		}
		isChanged := next.Epoch != from.Epoch
		if !isChanged && (wrong != nil && !s.isUnwritten() || isStored(&next, d) && s.isPassed(stored, d)) {
			result = next
			return nil, nil
		}
		if stored != nil && next.Epoch <= stored.Epoch {
			next.Epoch = stored.Epoch + 1
		}
		result = next
		if next.Epoch == 0 {
			return nil, nil
		}
		isWritten = true
		return json.Marshal(&next)
	})
	switch {
	case refusal != nil:
		return result, refusal
	case errors.Is(err, store.ErrContended):
		return result, err
	case err != nil:
		return s.state, fmt.Errorf("%w: %w", ErrPlace, err)
	case isWritten:
		s.put(&result, true)
	}
	return result, nil
}

// parse reads a stored state, nil if there is none or it is not one.
func parse(d source.Document) (*core.RolloutState, error) {
	if d.Missing {
		return nil, nil
	}
	return core.ParseRolloutState(d.Data)
}

// isStored reports whether a document says what a state says.
func isStored(s *core.RolloutState, d source.Document) bool {
	if s.Epoch == 0 {
		return d.Missing
	}
	data, err := json.Marshal(s)
	return err == nil && bytes.Equal(data, d.Data)
}

// choose returns the state to go on from: of what this gateway knows and what is stored the newer
// one, but a rollback in any case, unless another attempt has followed it.
func choose(known core.RolloutState, stored *core.RolloutState) core.RolloutState {
	if stored == nil {
		return known
	}
	chosen := *stored
	switch {
	case known.RollsBack(stored) && known.Attempt >= stored.Attempt:
		chosen = known
	case stored.RollsBack(&known) && stored.Attempt >= known.Attempt:
	case known.Epoch > stored.Epoch:
		chosen = known
	}
	chosen.Epoch = max(known.Epoch, stored.Epoch)
	return chosen
}

// isUnwritten reports whether the place of the state does not have what this gateway knows.
func (s *situation) isUnwritten() bool {
	return slices.ContainsFunc(s.handles, (*live.Handle).IsRolloutUnwritten)
}

// isPassed reports whether all who know this gateway's state take the stored one for a newer one,
// or the same.
func (s *situation) isPassed(stored *core.RolloutState, d source.Document) bool {
	return s.state.Epoch == 0 || stored.Epoch > s.state.Epoch || isStored(&s.state, d)
}

// Do moves the rollout as a person asks for. It returns the state after that. A rollback is in
// force in this gateway even where it cannot be written: the error is ErrUnwritten then.
func (u *Use) Do(ctx context.Context, c rollout.Command) (core.RolloutState, error) {
	l := u.loop
	s, ok := l.situation()
	if !ok {
		return core.RolloutState{}, ErrNoRollout
	}
	change := func(state core.RolloutState) (core.RolloutState, error) { return rollout.Do(s.plan, state, c, now()) }
	if c.Verb == rollout.Rollback {
		next, err := change(s.state)
		if err != nil {
			return s.state, err
		}
		s.put(&next, false)
		s.state = next
		change = func(state core.RolloutState) (core.RolloutState, error) { return state, nil }
	}
	state, err := l.commit(ctx, s, change)
	signal(l.wake)
	if err != nil && c.Verb == rollout.Rollback {
		signal(l.write)
		return s.state, fmt.Errorf("%w: %w", ErrUnwritten, err)
	}
	return state, err
}
