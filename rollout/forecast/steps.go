package forecast

import (
	"math"
	"time"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/rollout"
	"github.com/grayrelease/gray/rollout/guard"
)

// longest is how far ahead steps are looked for.
const longest = 366 * 24 * time.Hour

// Traffic is the callers whom the rollout's rule asks its percentage about.
type Traffic interface {
	// Callers returns how many distinct ones come within a time.
	Callers(within time.Duration) float64
}

// Step is when a step begins, if the version is well and people approve it at once.
type Step struct {
	Number  int
	Percent float64
	Begins  time.Time
	Ends    time.Time // zero if it does not, within a year
	// UntilApproved says that a person ends it.
	UntilApproved bool
	// Needs is how long it takes until enough callers of the canary were compared; 0 if that is not
	// asked for, or the traffic is not known; negative if it is longer than a year.
	Needs time.Duration
	// Waits says what held it up after its time was over, such as a freeze. "" if nothing did.
	Waits string
}

// Steps returns when the steps of a plan begin if the rollout begins at a time, and the phase that
// it ends in: completed, or rolled-back where the plan expires before. Without traffic (nil) there
// are always enough callers.
func Steps(plan *core.RolloutPlan, begins time.Time, traffic Traffic) (steps []Step, phase string) {
	w := &walk{plan: plan, traffic: traffic}
	for w.now = begins; w.now.Sub(begins) < longest && !w.isOver(); w.now = w.next() {
		for w.move() {
			continue
		}
	}
	return w.steps, w.state.Phase
}

// walk is a rollout of a version that is well.
type walk struct {
	plan    *core.RolloutPlan
	traffic Traffic
	now     time.Time
	state   core.RolloutState
	steps   []Step
}

func (w *walk) isOver() bool {
	return w.state.Phase == core.PhaseCompleted || w.state.Phase == core.PhaseRolledBack
}

// move makes what follows now, and reports whether that is anything.
func (w *walk) move() bool {
	if w.isOver() {
		return false
	}
	s := w.state
	next, _ := rollout.Next(w.plan, s, w, w.now)
	if isAsked := next.Epoch == s.Epoch && s.Phase == core.PhaseWaiting; isAsked && s.Step > 0 && !s.Approved {
		if approved, err := rollout.Do(w.plan, s, rollout.Command{Verb: rollout.Approve}, w.now); err == nil {
			next = approved
		}
	}
	if next.Epoch == s.Epoch {
		return false
	}
	w.note(next)
	return true
}

// note takes over a state.
func (w *walk) note(next core.RolloutState) {
	last := len(w.steps) - 1
	isNew := next.Step > 0 && (last < 0 || w.steps[last].Number != next.Step)
	before := w.state
	w.state = next
	if last >= 0 && (isNew || w.isOver()) {
		w.steps[last].Ends = w.now
	}
	if isNew && !w.isOver() {
		step := w.plan.Steps[next.Step-1]
		w.steps = append(w.steps, Step{Number: next.Step, Percent: step.Percent, Begins: w.now,
			UntilApproved: step.UntilApproved, Needs: needs(w.plan, next.Step, w.traffic)})
		return
	}
	isApproval := last >= 0 && w.steps[last].UntilApproved && !before.Approved
	if last >= 0 && next.Phase == core.PhaseWaiting && !isApproval {
		w.steps[last].Waits = next.Reason
	}
}

// needs is how long a step takes until enough callers of the canary were compared.
func needs(plan *core.RolloutPlan, number int, traffic Traffic) time.Duration {
	step := plan.Steps[number-1]
	if traffic == nil || step.Percent == 0 || len(plan.Guards) == 0 && step.Min == 0 {
		return 0
	}
	enough := func(d time.Duration) bool {
		return traffic.Callers(d)*step.Percent/100 >= float64(guard.LeastCallers(plan, number))
	}
	if !enough(longest) {
		return -1
	}
	low, high := time.Duration(0), longest
	for high-low > time.Millisecond {
		if middle := (low + high) / 2; enough(middle) {
			high = middle
		} else {
			low = middle
		}
	}
	return high.Round(time.Second)
}

// next is when the rollout is to be looked at again: when the time of its step is over, when enough
// is known, and at every whole minute, at which freezes begin and end.
func (w *walk) next() time.Time {
	next := w.now.Truncate(time.Minute).Add(time.Minute)
	if len(w.steps) == 0 {
		return next
	}
	step := &w.steps[len(w.steps)-1]
	for _, after := range []time.Duration{w.plan.Steps[step.Number-1].For, step.Needs} {
		if at := w.state.StepSince.Add(after); after > 0 && at.After(w.now) && at.Before(next) {
			next = at
		}
	}
	return next
}

func (w *walk) isEnough() bool {
	if len(w.steps) == 0 {
		return false
	}
	needs := w.steps[len(w.steps)-1].Needs
	return needs >= 0 && w.now.Sub(w.state.StepSince) >= needs
}

// Judge implements rollout.Evidence: the version is well, and not known before there were enough
// callers.
func (w *walk) Judge(time.Time) []core.RolloutVerdict {
	verdicts := make([]core.RolloutVerdict, 0, len(w.plan.Guards))
	for _, g := range w.plan.Guards {
		v := core.RolloutVerdict{Guard: g.Line, Then: g.Then, Verdict: core.VerdictGood}
		if !w.isEnough() {
			v.Verdict, v.Cause = core.VerdictUndecided, guard.CauseFewCallers
		}
		verdicts = append(verdicts, v)
	}
	return verdicts
}

// Callers implements rollout.Evidence.
func (w *walk) Callers() (canary, control int) {
	if w.isEnough() {
		return math.MaxInt32, math.MaxInt32
	}
	return 0, 0
}
