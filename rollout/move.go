package rollout

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/grayrelease/gray/core"
)

// move returns the state after a change, with an entry in its history. The state that is given
// stays as it is.
func move(s core.RolloutState, now time.Time, by, reason string) core.RolloutState {
	s.Epoch++
	s.By = by
	s.Reason = reason
	s.Since = now
	over := max(len(s.History)-core.MaxRolloutHistory+1, 0)
	s.History = append(slices.Clone(s.History[over:]), core.RolloutEvent{
		Epoch: s.Epoch, At: now, Attempt: s.Attempt, Phase: s.Phase, Step: s.Step, Percent: s.Percent,
		Approved: s.Approved, Reason: reason, By: by,
	})
	return s
}

// start begins an attempt.
func start(plan *core.RolloutPlan, s core.RolloutState, now time.Time, by, reason string) core.RolloutState {
	begun := core.RolloutState{
		Epoch: s.Epoch, Attempt: s.Attempt + 1, Fingerprint: plan.Fingerprint,
		Phase: core.PhaseWaiting, Percent: plan.Percent, Began: now, StepSince: now, History: s.History,
	}
	if line := frozen(plan, now); line != "" {
		return move(begun, now, by, because(freezeReason(line), reason))
	}
	return enter(plan, begun, 1, now, by, reason)
}

// enter begins a step.
func enter(plan *core.RolloutPlan, s core.RolloutState, step int, now time.Time, by, reason string) core.RolloutState {
	s.Step = step
	s.Percent = plan.Steps[step-1].Percent
	s.Phase = phaseOf(plan, step)
	s.StepSince = now
	s.Approved = false
	s.Verdict = nil
	return move(s, now, by, because(stepText(plan, step), reason))
}

// phaseOf returns the phase of a step that has just begun.
func phaseOf(plan *core.RolloutPlan, step int) string {
	switch {
	case step == 0 || step <= len(plan.Steps) && plan.Steps[step-1].Percent == 0:
		return core.PhaseWaiting
	case step >= len(plan.Steps):
		return core.PhaseBaking
	}
	return core.PhaseRunning
}

// waitFor puts a rollout in the phase waiting, where it may be already.
func waitFor(s core.RolloutState, now time.Time, reason string) core.RolloutState {
	if s.Phase == core.PhaseWaiting && s.Reason == reason {
		return s
	}
	s.Phase = core.PhaseWaiting
	return move(s, now, byGray, reason)
}

func pause(s core.RolloutState, now time.Time, reason, by string, v *core.RolloutVerdict) core.RolloutState {
	s.Phase = core.PhasePaused
	s.Verdict = copied(v)
	return move(s, now, by, reason)
}

// goOnWith ends a pause. Its time does not count towards the step.
func goOnWith(plan *core.RolloutPlan, s core.RolloutState, now time.Time, by, reason string) core.RolloutState {
	s.StepSince = s.StepSince.Add(max(now.Sub(s.Since), 0))
	s.Phase = phaseOf(plan, s.Step)
	s.Verdict = nil
	return move(s, now, by, reason)
}

// goOnAfter ends the pause of an alert that does not fire any more. It may pause again.
func goOnAfter(plan *core.RolloutPlan, s core.RolloutState, line string, now time.Time) core.RolloutState {
	return goOnWith(plan, s, now, byGuard(line), "resumed: the alert does not fire any more")
}

func complete(plan *core.RolloutPlan, s core.RolloutState, now time.Time, by, reason string) core.RolloutState {
	s.Phase = core.PhaseCompleted
	return move(s, now, by, because("all "+strconv.Itoa(len(plan.Steps))+" steps are done", reason))
}

func rollBack(
	plan *core.RolloutPlan, s core.RolloutState, now time.Time, reason, by string, v *core.RolloutVerdict,
) core.RolloutState {
	s.Phase = core.PhaseRolledBack
	s.Percent = 0
	s.Withdrawn = []string{plan.Version}
	s.Approved = false
	s.Verdict = copied(v)
	return move(s, now, by, reason)
}

func copied(v *core.RolloutVerdict) *core.RolloutVerdict {
	if v == nil {
		return nil
	}
	c := *v
	return &c
}

// because appends a reason that somebody gave to what happened.
func because(what, reason string) string {
	if reason == "" {
		return what
	}
	return what + ": " + reason
}

// short writes a duration without its zeros, as in 24h.
func short(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
