package rollout

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/problem"
)

// Verbs that people move a rollout with.
const (
	Approve  = "approve"  // a step that lasts until it is approved
	Advance  = "advance"  // to the next step, whatever this one waits for
	Promote  = "promote"  // to the last step
	Pause    = "pause"    // where it is
	Resume   = "resume"   // after a pause
	Rollback = "rollback" // to the stable version
	Retry    = "retry"    // after a rollback: a new attempt
	Goto     = "goto"     // a step, up or down
)

// ErrStale is returned by Do when the command was given about an older state.
var ErrStale = errors.New("the rollout has moved on")

// Command is what a person asks for.
type Command struct {
	Verb string
	// Step is where Goto goes, from 1.
	Step int
	// By is who asks, and Reason why: at most 512 bytes each.
	By, Reason string
	// Epoch is that of the state that the person has seen. Default: any.
	Epoch int64
}

// verb says what a verb makes of a state, or why it cannot.
type verb func(plan *core.RolloutPlan, s core.RolloutState, c Command, now time.Time) (core.RolloutState, error)

var verbs = map[string]verb{
	Approve: approve, Advance: advance, Promote: promote, Pause: pauseByHand, Resume: resume, Rollback: rollBackByHand,
	Retry: retry, Goto: goTo,
}

// Verbs returns the names of all verbs, sorted.
func Verbs() []string { return slices.Sorted(maps.Keys(verbs)) }

// Text says in a few words what a verb does, "" if there is no such verb.
func Text(verb string) string { return texts[verb] }

var texts = map[string]string{
	Approve:  "Approves a rollout's step that lasts until it is approved",
	Advance:  "Moves a rollout to its next step",
	Promote:  "Moves a rollout to its last step",
	Pause:    "Pauses a rollout where it is",
	Resume:   "Goes on with a rollout that is paused",
	Rollback: "Takes a rollout's version back",
	Retry:    "Tries again what was rolled back",
	Goto:     "Moves a rollout to a step",
}

// Raises reports whether a verb may raise the percentage, or lead to that. The others may be used
// by anyone who may lower.
func Raises(verb string) bool { return verb != Pause && verb != Rollback }

// Do returns the state after a command. The error says why the command is not possible now; the
// state is the one given then.
func Do(plan *core.RolloutPlan, s core.RolloutState, c Command, now time.Time) (core.RolloutState, error) {
	do := verbs[c.Verb]
	if do == nil {
		return s, fmt.Errorf("unknown verb %s%s", problem.Quote(c.Verb), problem.OneOf(c.Verb, Verbs()))
	}
	for _, text := range []string{c.By, c.Reason} {
		if err := checkText(text); err != nil {
			return s, err
		}
	}
	if c.Epoch != 0 && c.Epoch != s.Epoch {
		return s, fmt.Errorf("%w: its epoch is %d, not %d", ErrStale, s.Epoch, c.Epoch)
	}
	if s.Fingerprint != plan.Fingerprint {
		return s, errors.New("the rollout of this plan has not begun yet")
	}
	if s.Phase == core.PhaseRolledBack && c.Verb != Retry {
		return s, fmt.Errorf("the rollout is rolled back: %s begins it again", Retry)
	}
	next, err := do(plan, s, c, now)
	if err != nil {
		return s, err
	}
	return next, nil
}

func checkText(text string) error {
	const most = 512
	if len(text) > most || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
		return fmt.Errorf("a text must be at most %d bytes of UTF-8 without control characters", most)
	}
	return nil
}

func approve(plan *core.RolloutPlan, s core.RolloutState, c Command, now time.Time) (core.RolloutState, error) {
	if s.Step < 1 || s.Step > len(plan.Steps) || s.Phase == core.PhaseCompleted || !plan.Steps[s.Step-1].UntilApproved {
		return s, errors.New("no step waits to be approved")
	}
	if s.Approved {
		return s, fmt.Errorf("%s is approved already", stepText(plan, s.Step))
	}
	s.Approved = true
	next := move(s, now, c.By, because("approved "+stepText(plan, s.Step), c.Reason))
	next.Since = s.Since // a pause goes on
	return next, nil
}

func advance(plan *core.RolloutPlan, s core.RolloutState, c Command, now time.Time) (core.RolloutState, error) {
	if !isActive(s.Phase) {
		return s, fmt.Errorf("the rollout is %s: only one that is waiting, running or baking advances", s.Phase)
	}
	if s.Step >= len(plan.Steps) {
		return complete(plan, s, now, c.By, c.Reason), nil
	}
	return raise(plan, s, s.Step+1, c, now)
}

func promote(plan *core.RolloutPlan, s core.RolloutState, c Command, now time.Time) (core.RolloutState, error) {
	if s.Phase == core.PhaseCompleted || s.Step >= len(plan.Steps) {
		return s, errors.New("the rollout is at its last step already")
	}
	return raise(plan, s, len(plan.Steps), c, now)
}

func goTo(plan *core.RolloutPlan, s core.RolloutState, c Command, now time.Time) (core.RolloutState, error) {
	if c.Step < 1 || c.Step > len(plan.Steps) {
		return s, fmt.Errorf("there is no step %d: the plan has 1 to %d", c.Step, len(plan.Steps))
	}
	return raise(plan, s, c.Step, c, now)
}

// raise enters a step, unless that raises the percentage in a freeze.
func raise(plan *core.RolloutPlan, s core.RolloutState, step int, c Command, now time.Time) (core.RolloutState, error) {
	if line := frozen(plan, now); line != "" && plan.Steps[step-1].Percent > s.Percent {
		return s, fmt.Errorf("no percentage rises now (%s): change the plan's freeze first", freezeReason(line))
	}
	return enter(plan, accept(s), step, now, c.By, c.Reason), nil
}

func pauseByHand(_ *core.RolloutPlan, s core.RolloutState, c Command, now time.Time) (core.RolloutState, error) {
	if !isActive(s.Phase) {
		return s, fmt.Errorf("the rollout is %s: only one that is waiting, running or baking can be paused", s.Phase)
	}
	return pause(s, now, because("paused", c.Reason), c.By, nil), nil
}

// resume goes on with the step. The time of the pause does not count towards the step.
func resume(plan *core.RolloutPlan, s core.RolloutState, c Command, now time.Time) (core.RolloutState, error) {
	if s.Phase != core.PhasePaused {
		return s, fmt.Errorf("the rollout is %s, not paused", s.Phase)
	}
	if s.Step > len(plan.Steps) {
		return s, fmt.Errorf("the plan has only %d steps by now: use %s", len(plan.Steps), Goto)
	}
	return goOnWith(plan, accept(s), now, c.By, because("resumed", c.Reason)), nil
}

// accept notes that a person goes on in spite of the guard that paused the rollout.
func accept(s core.RolloutState) core.RolloutState {
	if s.Phase == core.PhasePaused && s.Verdict != nil && !slices.Contains(s.Accepted, s.Verdict.Guard) {
		s.Accepted = append(slices.Clone(s.Accepted), s.Verdict.Guard)
	}
	s.Verdict = nil
	return s
}

func rollBackByHand(plan *core.RolloutPlan, s core.RolloutState, c Command, now time.Time) (core.RolloutState, error) {
	return rollBack(plan, s, now, because("rolled back by hand", c.Reason), c.By, nil), nil
}

func retry(plan *core.RolloutPlan, s core.RolloutState, c Command, now time.Time) (core.RolloutState, error) {
	if s.Phase != core.PhaseRolledBack {
		return s, fmt.Errorf("the rollout is %s: only one that is rolled back is tried again", s.Phase)
	}
	return start(plan, s, now, c.By, because("tried again", c.Reason)), nil
}
