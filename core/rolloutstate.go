package core

import (
	"fmt"
	"strconv"
	"time"

	"github.com/grayrelease/gray/core/problem"
)

// RolloutState is the document that says where a rollout is. Controllers write it beside the
// policy, by compare-and-set; gateways obey it if it belongs to the plan of their policy.
type RolloutState struct {
	// Epoch counts the writes. A document is older than all with a higher one.
	Epoch int64 `json:"epoch"`
	// Attempt counts the releases that this document has described.
	Attempt int64 `json:"attempt"`
	// Fingerprint is that of the plan, see RolloutPlan.
	Fingerprint string `json:"fingerprint"`
	// Phase is one of the phases.
	Phase string `json:"phase"`
	// Step is the plan's step from 1; 0 before the first.
	Step int `json:"step"`
	// Percent is the percentage of the plan's rule.
	Percent float64 `json:"percent"`
	// Withdrawn are versions that no rule gives any more, except those that the plan keeps.
	Withdrawn []string `json:"withdrawn,omitempty"`
	// Approved says that a person has approved the step.
	Approved bool `json:"approved,omitempty"`
	// Reason says in a sentence why the rollout is where it is, and By who brought it there.
	Reason string `json:"reason,omitempty"`
	By     string `json:"by,omitempty"`
	// Since is when the phase or the step changed, Began when the attempt did.
	Since time.Time `json:"since"`
	Began time.Time `json:"began"`
	// StepSince is when the step began, moved on by the time that the rollout was paused.
	StepSince time.Time `json:"step_since"`
	// Accepted are guards whose pause a person has ended. They do not pause this attempt again.
	Accepted []string `json:"accepted,omitempty"`
	// Verdict is that of the guard that rolled back or paused.
	Verdict *RolloutVerdict `json:"verdict,omitempty"`
	// History is what happened, the oldest first, at most MaxRolloutHistory entries.
	History []RolloutEvent `json:"history,omitempty"`
}

// MaxRolloutHistory is how many events a state keeps.
const MaxRolloutHistory = 50

// Phases of a rollout.
const (
	PhaseWaiting    = "waiting"     // for a person's approval, or the end of a freeze
	PhaseRunning    = "running"     // a step that is not the last
	PhasePaused     = "paused"      // by a person or a guard
	PhaseBaking     = "baking"      // the last step
	PhaseCompleted  = "completed"   // the last percentage stays
	PhaseRolledBack = "rolled-back" // until `retry`, or another plan
)

var phases = []string{PhaseWaiting, PhaseRunning, PhasePaused, PhaseBaking, PhaseCompleted, PhaseRolledBack}

// RolloutEvent is an entry of the history.
type RolloutEvent struct {
	Epoch   int64     `json:"epoch"`
	At      time.Time `json:"at"`
	Attempt int64     `json:"attempt"`
	Phase   string    `json:"phase"`
	Step    int       `json:"step"`
	Percent float64   `json:"percent"`
	// Approved says that a person had approved the step by then.
	Approved bool   `json:"approved,omitempty"`
	Reason   string `json:"reason,omitempty"`
	By       string `json:"by,omitempty"`
}

// RolloutVerdict is what a guard says at one moment.
type RolloutVerdict struct {
	// Guard is the plan's line, and Then what it does: rollback, pause or watch.
	Guard string `json:"guard"`
	Then  string `json:"then"`
	// Verdict is "good", "bad" or "undecided". Bad stays for the attempt.
	Verdict string `json:"verdict"`
	// Cause says why the verdict is undecided.
	Cause string `json:"cause,omitempty"`
	// Reason is the verdict in a sentence.
	Reason string `json:"reason,omitempty"`
	// Evidence is ln E, and Threshold what it must reach for the verdict to be bad.
	Evidence  float64 `json:"evidence"`
	Threshold float64 `json:"threshold"`
	// IsWarning reports that there is more evidence than one would expect by luck.
	IsWarning bool `json:"is_warning,omitempty"`
	// Canary and Control are the callers since the step began.
	Canary  RolloutArm `json:"canary"`
	Control RolloutArm `json:"control"`
	// WaitSeconds estimates when there will be enough callers. 0 is unknown.
	WaitSeconds float64 `json:"wait_seconds,omitempty"`
}

// RolloutArm counts callers of one arm.
type RolloutArm struct {
	Callers int `json:"callers"`
	Bad     int `json:"bad"`
}

// Verdicts of a guard.
const (
	VerdictGood      = "good"
	VerdictBad       = "bad"
	VerdictUndecided = "undecided"
)

var verdicts = []string{VerdictGood, VerdictBad, VerdictUndecided}

// RollsBack reports whether the state takes back what another one of the same plan still gives.
func (s *RolloutState) RollsBack(other *RolloutState) bool {
	return s.Fingerprint == other.Fingerprint && s.Phase == PhaseRolledBack && other.Phase != PhaseRolledBack
}

// Overlay returns what the state puts on an engine whose policy has that plan. The error says why
// the state does not belong to the plan.
func (s *RolloutState) Overlay(plan *RolloutPlan) (Overlay, error) {
	if plan == nil {
		return Overlay{}, fmt.Errorf("rollout: the policy has no rollout")
	}
	if s.Fingerprint != plan.Fingerprint {
		return Overlay{}, fmt.Errorf("rollout: the state is about another plan: its fingerprint is %s, the plan's %s",
			problem.Quote(s.Fingerprint), plan.Fingerprint)
	}
	o := Overlay{Percent: map[string]float64{plan.Rule: s.Percent}, Withdrawn: s.Withdrawn, Keep: plan.Keep}
	percent := strconv.FormatFloat(s.Percent, 'f', -1, 64) + " %"
	switch s.Phase {
	case PhaseRolledBack:
		o.Reason = "the rollout of " + problem.Quote(plan.Version) + " was rolled back"
	case PhaseWaiting, PhasePaused, PhaseCompleted:
		o.Reason = "the rollout of " + problem.Quote(plan.Version) + " is " + s.Phase + " at " + percent
	default:
		o.Reason = "the rollout of " + problem.Quote(plan.Version) + " is at " + percent
	}
	if s.Reason != "" {
		o.Reason += ": " + s.Reason
	}
	return o, nil
}

// The document as it is read: times are strings.
type (
	stateDocument struct {
		Epoch       int64             `json:"epoch"`
		Attempt     int64             `json:"attempt"`
		Fingerprint string            `json:"fingerprint"`
		Phase       string            `json:"phase"`
		Step        int               `json:"step"`
		Percent     float64           `json:"percent"`
		Withdrawn   []string          `json:"withdrawn"`
		Approved    bool              `json:"approved"`
		Reason      string            `json:"reason"`
		By          string            `json:"by"`
		Since       string            `json:"since"`
		Began       string            `json:"began"`
		StepSince   string            `json:"step_since"`
		Accepted    []string          `json:"accepted"`
		Verdict     *RolloutVerdict   `json:"verdict"`
		History     []historyDocument `json:"history"`
	}
	historyDocument struct {
		Epoch   int64   `json:"epoch"`
		At      string  `json:"at"`
		Attempt int64   `json:"attempt"`
		Phase   string  `json:"phase"`
		Step    int     `json:"step"`
		Percent float64 `json:"percent"`

		Approved bool   `json:"approved"`
		Reason   string `json:"reason"`
		By       string `json:"by"`
	}
)

// ParseRolloutState reads the document strictly. Whether it belongs to a plan is for Overlay to
// say.
//
// The error is a problem.List.
func ParseRolloutState(document []byte) (*RolloutState, error) {
	d := &stateDocument{}
	c := &stateChecker{problems: decodeStrict(document, d)}
	if len(c.problems) > 0 {
		return nil, c.problems
	}
	s := &RolloutState{
		Epoch: d.Epoch, Attempt: d.Attempt, Fingerprint: d.Fingerprint, Phase: d.Phase, Step: d.Step, Percent: d.Percent,
		Withdrawn: d.Withdrawn, Approved: d.Approved, Reason: d.Reason, By: d.By, Accepted: d.Accepted, Verdict: d.Verdict,
	}
	c.atLeast("epoch", d.Epoch, 1)
	c.atLeast("attempt", d.Attempt, 1)
	c.atLeast("step", int64(d.Step), 0)
	c.percent("percent", d.Percent)
	c.word("phase", d.Phase, phases)
	if d.Fingerprint == "" {
		c.note("fingerprint", "required")
	}
	s.Since = c.time("since", d.Since)
	s.Began = c.time("began", d.Began)
	s.StepSince = c.time("step_since", d.StepSince)
	for i, version := range d.Withdrawn {
		if !IsVersionName(version) {
			c.note(problem.Index("withdrawn", i), problem.Quote(version)+" is not the name of a version")
		}
	}
	c.texts("", append([]string{d.Fingerprint, d.Reason, d.By}, d.Accepted...))
	if v := d.Verdict; v != nil {
		c.word("verdict.verdict", v.Verdict, verdicts)
		c.texts("verdict", []string{v.Guard, v.Then, v.Cause, v.Reason})
	}
	if len(d.History) > MaxRolloutHistory || len(d.Accepted) > MaxRolloutHistory || len(d.Withdrawn) > MaxRolloutHistory {
		c.note("", "a list has more than "+strconv.Itoa(MaxRolloutHistory)+" entries")
	}
	s.History = c.history(d.History)
	if len(c.problems) > 0 {
		return nil, c.problems
	}
	return s, nil
}

// stateChecker collects what is wrong with a state.
type stateChecker struct{ problems problem.List }

func (c *stateChecker) note(path, message string) {
	c.problems = append(c.problems, problem.Problem{Path: path, Message: message})
}

func (c *stateChecker) atLeast(path string, n, least int64) {
	if n < least {
		c.note(path, "must be "+strconv.FormatInt(least, 10)+" or more, is "+strconv.FormatInt(n, 10))
	}
}

func (c *stateChecker) percent(path string, percent float64) {
	if !isPercent(percent) {
		c.note(path, "must be from 0 to 100, is "+strconv.FormatFloat(percent, 'g', -1, 64))
	}
}

func (c *stateChecker) word(path, word string, words []string) {
	if indexOf(words, word) < 0 {
		c.note(path, "unknown word "+problem.Quote(word)+problem.OneOf(word, words))
	}
}

// time reads a time that must be given.
func (c *stateChecker) time(path, text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		c.note(path, problem.Quote(text)+" is not a time (as in 2025-05-01T10:00:00Z)")
	}
	return t
}

// texts checks what is shown to people.
func (c *stateChecker) texts(path string, texts []string) {
	for _, text := range texts {
		if len(text) > 1024 || !printable(text) {
			c.note(path, "a text is longer than 1,024 bytes, or has control characters: "+problem.Quote(text))
		}
	}
}

func (c *stateChecker) history(documents []historyDocument) []RolloutEvent {
	var events []RolloutEvent
	for i := range documents {
		d := &documents[i]
		path := problem.Index("history", i)
		c.word(path+".phase", d.Phase, phases)
		c.percent(path+".percent", d.Percent)
		c.texts(path, []string{d.Reason, d.By})
		at := c.time(path+".at", d.At)
		events = append(events, RolloutEvent{Epoch: d.Epoch, At: at, Attempt: d.Attempt, Phase: d.Phase, Step: d.Step,
			Percent: d.Percent, Approved: d.Approved, Reason: d.Reason, By: d.By})
	}
	return events
}
