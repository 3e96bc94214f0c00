package rollout

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/rollout/guard"
)

// noon is a Thursday.
var noon = time.Date(2025, 5, 1, 12, 0, 0, 0, time.UTC)

const fourSteps = `"steps": ["1% for 10m", "5% for 30m min 200", "25% until approved", "100% for 1h"],
	"guard": ["errors", "latency p90 pause", "errors < 2% watch"]`

func planOf(t testing.TB, fields string) *core.RolloutPlan {
	t.Helper()
	e, err := core.Load([]byte(`{"service": "shop", "stable": "v1", "versions": {"v1": {}, "v2": {}},
		"rules": [{"name": "ramp", "version": "v2"}], "rollout": {"rule": "ramp", ` + fields + `}}`))
	require.NoError(t, err)
	return e.Rollout()
}

// evidence is what guards say, all the same unless it is said otherwise.
type evidence struct {
	plan    *core.RolloutPlan
	all     core.RolloutVerdict
	some    map[string]core.RolloutVerdict
	callers int
}

func (e *evidence) Judge(time.Time) []core.RolloutVerdict {
	var verdicts []core.RolloutVerdict
	for _, g := range e.plan.Guards {
		v, set := e.some[g.Line]
		if !set {
			v = e.all
		}
		v.Guard = g.Line
		if v.Then == "" {
			v.Then = g.Then
		}
		verdicts = append(verdicts, v)
	}
	return verdicts
}

func (e *evidence) Callers() (canary, control int) { return e.callers, 0 }

var (
	good      = core.RolloutVerdict{Verdict: core.VerdictGood}
	isBad     = core.RolloutVerdict{Verdict: core.VerdictBad, Reason: "2.4 % of canary callers failed"}
	noTraffic = core.RolloutVerdict{Verdict: core.VerdictUndecided, Cause: guard.CauseNoTraffic}
	noControl = core.RolloutVerdict{Verdict: core.VerdictUndecided, Cause: guard.CauseNoControl}
)

func all(plan *core.RolloutPlan, v core.RolloutVerdict) *evidence {
	return &evidence{plan: plan, all: v}
}

func only(plan *core.RolloutPlan, line string, v core.RolloutVerdict) *evidence {
	return &evidence{plan: plan, all: good, some: map[string]core.RolloutVerdict{line: v}}
}

// at is a state of the plan, entered an hour before noon.
func at(plan *core.RolloutPlan, phase string, step int) core.RolloutState {
	s := core.RolloutState{
		Epoch: 7, Attempt: 2, Fingerprint: plan.Fingerprint, Phase: phase, Step: step, By: "gray", Reason: "as it is",
		Since: noon.Add(-time.Hour), Began: noon.Add(-2 * time.Hour), StepSince: noon.Add(-time.Hour),
	}
	if phase == core.PhaseRolledBack {
		s.Withdrawn = []string{"v2"}
	} else if step > 0 {
		s.Percent = plan.Steps[step-1].Percent
	}
	return s
}

// show is what matters of a state.
func show(s core.RolloutState) string {
	return fmt.Sprintf("%s %d %g%%: %s (%s)", s.Phase, s.Step, s.Percent, s.Reason, s.By)
}

func written(t testing.TB, s core.RolloutState) string {
	t.Helper()
	text, err := json.Marshal(s)
	require.NoError(t, err)
	return string(text)
}

// checkChange holds a step from one state to the next to what is always so.
func checkChange(t testing.TB, plan *core.RolloutPlan, before, after core.RolloutState) {
	t.Helper()
	if written(t, before) == written(t, after) {
		return
	}
	require.Equal(t, before.Epoch+1, after.Epoch, "an epoch for every change")
	last := after.History[len(after.History)-1]
	require.Equal(t, core.RolloutEvent{
		Epoch: after.Epoch, At: last.At, Attempt: after.Attempt, Phase: after.Phase, Step: after.Step, Percent: after.Percent,
		Approved: after.Approved, Reason: after.Reason, By: after.By,
	}, last)
	require.LessOrEqual(t, len(after.History), core.MaxRolloutHistory)
	require.NotEmpty(t, after.Reason)
	require.Equal(t, plan.Fingerprint, after.Fingerprint)
	if before.Phase == core.PhaseRolledBack && before.Fingerprint == plan.Fingerprint {
		require.Greater(t, after.Attempt, before.Attempt, "a rollback ends with another attempt only")
	}
	if after.Phase == core.PhaseRolledBack {
		require.Zero(t, after.Percent)
		require.Equal(t, []string{plan.Version}, after.Withdrawn)
	} else {
		require.Empty(t, after.Withdrawn)
	}
	parsed, err := core.ParseRolloutState([]byte(written(t, after)))
	require.NoError(t, err)
	require.JSONEq(t, written(t, after), written(t, *parsed))
	_, err = after.Overlay(plan)
	require.NoError(t, err)
}
