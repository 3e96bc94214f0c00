package api

import (
	"time"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/rollout"
)

// What needs a person, the most urgent first.
const (
	NeedsLook      = "look"      // a guard has more evidence than one would expect by luck
	NeedsRetry     = "retry"     // it was rolled back: what was wrong, and is it to be tried again?
	NeedsResume    = "resume"    // it is paused
	NeedsPolicy    = "policy"    // the newest policy is refused
	NeedsSource    = "source"    // the source does not answer, or has no policy
	NeedsGateways  = "gateways"  // a gateway lags, refuses, or cannot be asked
	NeedsApproval  = "approval"  // a step lasts until it is approved
	NeedsSwitch    = "switch"    // the kill switch is in force
	NeedsUndecided = "undecided" // a step's time is over and a guard is undecided
)

// lagging is how long a gateway may be behind before a person is needed.
const lagging = 10 * time.Second

// needs returns what in a state needs a person.
func needs(s *State, now time.Time) []string {
	var all []string
	add := func(isNeeded bool, what string) {
		if isNeeded {
			all = append(all, what)
		}
	}
	r := s.Rollout
	isUnder := r != nil && r.Phase != core.PhaseRolledBack && r.Phase != core.PhaseCompleted
	add(isUnder && isWarned(r.Guards), NeedsLook)
	add(r != nil && r.Phase == core.PhaseRolledBack, NeedsRetry)
	add(r != nil && r.Phase == core.PhasePaused, NeedsResume)
	add(s.Rejected != nil, NeedsPolicy)
	add(!s.Connected || s.Origin == "none" || s.Deleted, NeedsSource)
	add(s.Behind > 0, NeedsGateways)
	add(r != nil && r.NeedsApproval, NeedsApproval)
	add(s.Switch != nil && s.Switch.To != "", NeedsSwitch)
	isOver := !s.Next.IsZero() && s.Next.Before(now)
	add(isUnder && r.Phase != core.PhasePaused && isOver && isAnyUndecided(r.Guards), NeedsUndecided)
	return all
}

func isWarned(guards []core.RolloutVerdict) bool {
	for _, v := range guards {
		if v.IsWarning || v.Verdict == core.VerdictBad {
			return true
		}
	}
	return false
}

func isAnyUndecided(guards []core.RolloutVerdict) bool {
	for _, v := range guards {
		if v.Verdict == core.VerdictUndecided {
			return true
		}
	}
	return false
}

// isBehind reports whether a gateway needs a person.
func (g *Gateway) isBehind(now time.Time) bool {
	return g.Error != "" || g.Rejected != "" || !g.Connected || !g.Lags.IsZero() && now.Sub(g.Lags) > lagging
}

// nextStep is when the step after the present one begins, if all is well: zero if that is not
// known, or a person is to say.
func nextStep(e *core.Engine, s *State) time.Time {
	r := s.Rollout
	if e == nil || e.Rollout() == nil || r == nil || r.StepEnds.IsZero() || r.Step > len(e.Rollout().Steps) {
		return time.Time{}
	}
	if e.Rollout().Steps[r.Step-1].UntilApproved && !r.Approved {
		return time.Time{}
	}
	return rollout.Thaw(e.Rollout(), r.StepEnds)
}
