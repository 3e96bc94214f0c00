package loop

import (
	"context"
	"strconv"
	"time"

	"github.com/grayrelease/gray/core"
)

// Event is something that happened to a rollout.
type Event struct {
	// ID is the same for one happening in all gateways: SERVICE/ATTEMPT/STEP/KIND.
	ID string `json:"id"`
	// Kind is one of the kinds.
	Kind    string `json:"kind"`
	Service string `json:"service"`
	Version string `json:"version"`

	Attempt int64     `json:"attempt"`
	Epoch   int64     `json:"epoch"`
	Phase   string    `json:"phase"`
	Step    int       `json:"step"`
	Steps   int       `json:"steps"`
	Percent float64   `json:"percent"`
	Reason  string    `json:"reason,omitempty"`
	By      string    `json:"by,omitempty"`
	At      time.Time `json:"at"`
	// Guard is the guard that rolled back, paused or warns; "" if none did.
	Guard string `json:"guard,omitempty"`
}

// Kinds of events.
const (
	Started        = "started"
	Step           = "step"            // a step begins
	ApprovalNeeded = "approval_needed" // the step lasts until it is approved
	Waiting        = "waiting"         // for the end of a freeze
	Approved       = "approved"
	Paused         = "paused"
	Resumed        = "resumed"
	RolledBack     = "rolled_back"
	Completed      = "completed"
	Warning        = "warning" // a guard has more evidence than one would expect by luck
)

// journal is what was told already.
type journal struct {
	isBegun bool
	epoch   int64
	last    core.RolloutEvent
	warned  map[string]int64 // attempts, by guard
}

// maxUntold is how many events wait for who hears them.
const maxUntold = 64

// tell notes what has happened since the last turn. What had happened before the first one was told
// by who saw it.
func (l *Loop) tell(s *situation) {
	if s.state.Fingerprint != s.plan.Fingerprint {
		return
	}
	l.mu.Lock()
	events := l.events.news(s)
	l.mu.Unlock()
	for _, e := range events {
		select {
		case l.told <- e:
		default:
		}
	}
}

// runTeller tells events: who hears them may take long, and must not hold up a rollback.
func (l *Loop) runTeller(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-l.told:
			o := l.options()
			if o.Event == nil {
				continue
			}
			e.Service = o.Service
			e.ID = e.Service + "/" + strconv.FormatInt(e.Attempt, 10) + "/" + strconv.Itoa(e.Step) + "/" + e.Kind
			o.Event(e)
		}
	}
}

func (j *journal) news(s *situation) []Event {
	var events []Event
	of := func(h core.RolloutEvent, kind, guard string) Event {
		return Event{Kind: kind, Version: s.plan.Version, Attempt: h.Attempt, Epoch: h.Epoch, Phase: h.Phase, Step: h.Step,
			Steps: len(s.plan.Steps), Percent: h.Percent, Reason: h.Reason, By: h.By, At: h.At, Guard: guard}
	}
	for _, h := range s.state.History {
		if j.isBegun && h.Epoch <= j.epoch {
			continue
		}
		if j.isBegun || s.state.Epoch == 1 {
			guard := ""
			if v := s.state.Verdict; v != nil && h.Epoch == s.state.Epoch {
				guard = v.Guard
			}
			events = append(events, of(h, kindOf(s.plan, &j.last, &h), guard))
		}
		j.epoch = max(j.epoch, h.Epoch)
		j.last = h
	}
	j.isBegun = true
	j.epoch = max(j.epoch, s.state.Epoch)
	if s.tracker == nil {
		return events
	}
	for _, v := range s.tracker.Judge(now()) {
		if !v.IsWarning || v.Verdict == core.VerdictBad || j.warned[v.Guard] == s.state.Attempt {
			continue
		}
		if j.warned == nil {
			j.warned = map[string]int64{}
		}
		j.warned[v.Guard] = s.state.Attempt
		e := of(j.last, Warning, v.Guard)
		e.Reason = v.Guard + ": the canary looks worse than by chance"
		e.At = now()
		events = append(events, e)
	}
	return events
}

func kindOf(plan *core.RolloutPlan, before, h *core.RolloutEvent) string {
	isLasting := h.Step >= 1 && h.Step <= len(plan.Steps) && plan.Steps[h.Step-1].UntilApproved
	switch {
	case h.Phase == core.PhaseRolledBack:
		return RolledBack
	case h.Phase == core.PhaseCompleted:
		return Completed
	case h.Attempt != before.Attempt:
		return Started
	case h.Phase == core.PhasePaused && before.Phase != core.PhasePaused:
		return Paused
	case h.Step != before.Step:
		return Step
	case h.Approved && !before.Approved:
		return Approved
	case h.Phase == core.PhaseWaiting && isLasting:
		return ApprovalNeeded
	case h.Phase == core.PhaseWaiting:
		return Waiting
	case before.Phase == core.PhasePaused:
		return Resumed
	}
	return Step
}
