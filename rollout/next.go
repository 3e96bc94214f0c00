package rollout

import (
	"slices"
	"strconv"
	"time"
	_ "time/tzdata" // freezes have time zones, which the machine may not know

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/rollout/guard"
)

// Evidence is what is known of the canary. A guard.Tracker is one.
type Evidence interface {
	// Judge returns what the guards of the plan say.
	Judge(now time.Time) []core.RolloutVerdict
	// Callers returns how many distinct callers the step has seen.
	Callers() (canary, control int)
}

// byGray is who moves a rollout that nobody else moves.
const byGray = "gray"

// Next returns the state that follows from what is known now, and what the guards say. It is the
// same state if nothing is to change; else its epoch is higher. Without evidence (nil) the rollout
// holds. A state whose fingerprint is not the plan's, such as the zero value, is followed by a new
// attempt.
func Next(
	plan *core.RolloutPlan, s core.RolloutState, e Evidence, now time.Time,
) (core.RolloutState, []core.RolloutVerdict) {
	if s.Fingerprint != plan.Fingerprint {
		return start(plan, s, now, byGray, ""), nil
	}
	var verdicts []core.RolloutVerdict
	if e != nil {
		verdicts = e.Judge(now)
	}
	if s.Phase == core.PhaseRolledBack {
		return s, verdicts
	}
	if v := bad(verdicts, core.GuardRollback); v != nil {
		return rollBack(plan, s, now, v.Reason, byGuard(v.Guard), v), verdicts
	}
	if line := overAlert(plan, s, verdicts); line != "" {
		return goOnAfter(plan, s, line, now), verdicts
	}
	if !isActive(s.Phase) {
		return s, verdicts
	}
	if v := bad(verdicts, core.GuardPause, s.Accepted...); v != nil {
		return pause(s, now, v.Reason, byGuard(v.Guard), v), verdicts
	}
	if plan.Expires > 0 && now.Sub(s.Began) >= plan.Expires {
		return rollBack(plan, s, now, "not complete within "+short(plan.Expires), byGray, nil), verdicts
	}
	return goOn(plan, s, e, verdicts, now), verdicts
}

// overAlert returns the alert that has paused the rollout, if it does not fire any more: "" else.
// What people or other guards have paused stays so.
func overAlert(plan *core.RolloutPlan, s core.RolloutState, verdicts []core.RolloutVerdict) string {
	if s.Phase != core.PhasePaused || s.Verdict == nil || s.Step > len(plan.Steps) {
		return ""
	}
	for i := range plan.Guards {
		g := &plan.Guards[i]
		if g.Measures != core.GuardAlert || g.Line != s.Verdict.Guard || s.By != byGuard(g.Line) {
			continue
		}
		for _, v := range verdicts {
			if v.Guard == g.Line && v.Verdict == core.VerdictGood {
				return g.Line
			}
		}
	}
	return ""
}

func byGuard(line string) string { return "guard " + line }

// isActive reports whether a rollout in that phase moves by itself.
func isActive(phase string) bool {
	return phase == core.PhaseWaiting || phase == core.PhaseRunning || phase == core.PhaseBaking
}

// bad returns the first verdict that asks for an action, and whose guard is not among those that a
// person has overruled.
func bad(verdicts []core.RolloutVerdict, action string, overruled ...string) *core.RolloutVerdict {
	for i, v := range verdicts {
		if v.Verdict == core.VerdictBad && v.Then == action && !slices.Contains(overruled, v.Guard) {
			return &verdicts[i]
		}
	}
	return nil
}

// goOn moves an active rollout on, if it is time.
func goOn(
	plan *core.RolloutPlan, s core.RolloutState, e Evidence, verdicts []core.RolloutVerdict, now time.Time,
) core.RolloutState {
	switch {
	case s.Step == 0:
		if line := frozen(plan, now); line != "" {
			return waitFor(s, now, freezeReason(line))
		}
		return enter(plan, s, 1, now, byGray, "")
	case s.Step > len(plan.Steps):
		return pause(s, now, "the plan has fewer steps than have been done", byGray, nil)
	}
	step := plan.Steps[s.Step-1]
	if step.Percent != s.Percent {
		return followPlan(plan, s, now)
	}
	if now.Sub(s.StepSince) < step.For {
		return s
	}
	if why := undecided(plan, s, e, verdicts); why != "" {
		switch plan.Undecided {
		case core.UndecidedRollback:
			return rollBack(plan, s, now, stepText(plan, s.Step)+" is over and undecided: "+why, byGray, nil)
		case core.UndecidedHold:
			return s
		}
	}
	if step.UntilApproved && !s.Approved {
		return waitFor(s, now, stepText(plan, s.Step)+" lasts until it is approved")
	}
	if s.Step == len(plan.Steps) {
		return complete(plan, s, now, byGray, "")
	}
	if line := frozen(plan, now); line != "" && plan.Steps[s.Step].Percent > s.Percent {
		return waitFor(s, now, freezeReason(line))
	}
	return enter(plan, s, s.Step+1, now, byGray, "")
}

// followPlan takes over the percentage of a step that people have changed in the plan.
func followPlan(plan *core.RolloutPlan, s core.RolloutState, now time.Time) core.RolloutState {
	if line := frozen(plan, now); line != "" && plan.Steps[s.Step-1].Percent > s.Percent {
		return waitFor(s, now, freezeReason(line))
	}
	return enter(plan, s, s.Step, now, byGray, "the plan has changed this step")
}

// undecided says why the end of a step is undecided, "" if it is not: every guard that may act is
// good, or has nothing to wait for.
func undecided(plan *core.RolloutPlan, s core.RolloutState, e Evidence, verdicts []core.RolloutVerdict) string {
	if s.Percent == 0 {
		return "" // nobody can be compared
	}
	if e == nil {
		if len(plan.Guards) == 0 && plan.Steps[s.Step-1].Min == 0 {
			return ""
		}
		return "nothing is known of the canary"
	}
	if len(plan.Guards) == 0 {
		if canary, _ := e.Callers(); canary < plan.Steps[s.Step-1].Min {
			return guard.CauseFewCallers
		}
		return ""
	}
	for _, g := range plan.Guards {
		if g.Then == core.GuardWatch || slices.Contains(s.Accepted, g.Line) {
			continue
		}
		if why := open(g.Line, verdicts); why != "" {
			return g.Line + ": " + why
		}
	}
	return ""
}

// open says why a guard's verdict is open, "" if it is not.
func open(line string, verdicts []core.RolloutVerdict) string {
	for _, v := range verdicts {
		if v.Guard != line {
			continue
		}
		if v.Verdict == core.VerdictGood || v.Verdict == core.VerdictUndecided && v.Cause == guard.CauseNoControl {
			return ""
		}
		return v.Cause
	}
	return "no verdict"
}

// frozen returns the freeze that covers a time, "" if none does.
func frozen(plan *core.RolloutPlan, now time.Time) string {
	for i := range plan.Freeze {
		if plan.Freeze[i].Covers(now) {
			return plan.Freeze[i].Line
		}
	}
	return ""
}

// Thaw returns the first moment from a time on, to the minute, that no freeze of the plan covers:
// that time itself if none does. It is zero if there is none within a week.
func Thaw(plan *core.RolloutPlan, at time.Time) time.Time {
	for end := at.Add(7 * 24 * time.Hour); at.Before(end); at = at.Truncate(time.Minute).Add(time.Minute) {
		if frozen(plan, at) == "" {
			return at
		}
	}
	return time.Time{}
}

func freezeReason(line string) string { return "frozen: " + line }

// stepText names a step, as in `step 2 of 4 (5 %)`.
func stepText(plan *core.RolloutPlan, step int) string {
	percent := strconv.FormatFloat(plan.Steps[step-1].Percent, 'f', -1, 64)
	return "step " + strconv.Itoa(step) + " of " + strconv.Itoa(len(plan.Steps)) + " (" + percent + " %)"
}
