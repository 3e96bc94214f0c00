package live

import (
	"time"

	"github.com/grayrelease/gray/core"
)

// RolloutStatus tells people how a rollout stands: its plan, and what the state says of it.
type RolloutStatus struct {
	Rule    string   `json:"rule"`
	Version string   `json:"version"`
	Plan    []string `json:"plan"` // the lines of the steps

	Phase     string    `json:"phase"`
	Step      int       `json:"step"` // from 1; 0 before the first
	Steps     int       `json:"steps"`
	Percent   float64   `json:"percent"`
	Attempt   int64     `json:"attempt"`
	Epoch     int64     `json:"epoch"`
	Reason    string    `json:"reason,omitempty"`
	By        string    `json:"by,omitempty"`
	Since     time.Time `json:"since,omitzero"`
	Began     time.Time `json:"began,omitzero"`
	StepSince time.Time `json:"step_since,omitzero"`
	Approved  bool      `json:"approved,omitempty"`
	Withdrawn []string  `json:"withdrawn,omitempty"`

	// StepEnds is when the time of the step is over. The rollout stays at the step after that while
	// a guard is undecided, callers are too few, or an approval or the end of a freeze is missing.
	// Zero in phases in which no time counts.
	StepEnds time.Time `json:"step_ends,omitzero"`
	// NeedsApproval says that the rollout waits for a person, and for nothing else.
	NeedsApproval bool `json:"needs_approval,omitempty"`

	// Guards are what the guards say now, where a loop runs, or else the verdict in the state.
	Guards  []core.RolloutVerdict `json:"guards,omitempty"`
	History []core.RolloutEvent   `json:"history,omitempty"`

	// Note says what is wrong: with the document of the state, with its place, or with the samples.
	Note string `json:"note,omitempty"`
}

// rolloutStatus is nil if the document has no rollout. Called with mu held.
func (w *watch) rolloutStatus(d *document) *RolloutStatus {
	plan := d.engine.Rollout()
	if plan == nil {
		return nil
	}
	st := NewRolloutStatus(plan, d.engine.Policy().Rollout.Steps, d.rollout)
	st.Note = w.rolloutNote(d)
	return st
}

// NewRolloutStatus returns how a rollout stands by its plan, the lines of the plan's steps, and the
// state that belongs to the plan, nil if there is none.
func NewRolloutStatus(plan *core.RolloutPlan, steps []string, s *core.RolloutState) *RolloutStatus {
	st := &RolloutStatus{
		Rule: plan.Rule, Version: plan.Version, Plan: steps, Steps: len(plan.Steps),
		Phase: core.PhaseWaiting, Percent: plan.Percent,
	}
	if s == nil {
		st.Reason = "it has not begun: no gateway or controller has written its state"
		return st
	}
	st.Phase = s.Phase
	st.Step = s.Step
	st.Percent = s.Percent
	st.Attempt = s.Attempt
	st.Epoch = s.Epoch
	st.Reason = s.Reason
	st.By = s.By
	st.Since = s.Since
	st.Began = s.Began
	st.StepSince = s.StepSince
	st.Approved = s.Approved
	st.Withdrawn = s.Withdrawn
	st.History = s.History
	if s.Step >= 1 && s.Step <= len(plan.Steps) {
		step := plan.Steps[s.Step-1]
		switch s.Phase {
		case core.PhaseWaiting, core.PhaseRunning, core.PhaseBaking:
			st.StepEnds = s.StepSince.Add(step.For)
		}
		st.NeedsApproval = s.Phase == core.PhaseWaiting && step.UntilApproved && !s.Approved
	}
	if s.Verdict != nil {
		st.Guards = []core.RolloutVerdict{*s.Verdict}
	}
	return st
}
