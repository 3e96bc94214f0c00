package rollout

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
)

// Every verb in every phase.
func TestDo(t *testing.T) {
	plan := planOf(t, fourSteps)
	freezing := planOf(t, fourSteps+`, "freeze": ["Thu 11:00 - Thu 13:00"]`)
	byGuard := at(plan, core.PhasePaused, 2)
	byGuard.Verdict = &core.RolloutVerdict{Guard: "latency p90 pause", Verdict: core.VerdictBad}
	approved := at(plan, core.PhaseRunning, 3)
	approved.Approved = true
	longer := at(plan, core.PhasePaused, 4)
	longer.Step = 9
	unborn := core.RolloutState{}
	const rolledBack = "the rollout is rolled back: retry begins it again"
	for _, c := range []struct {
		verb  string
		state core.RolloutState
		want  string // or a part of the error
	}{
		{Approve, at(plan, core.PhaseRunning, 3), "running 3 25%: approved step 3 of 4 (25 %): because (ann)"},
		{Approve, at(plan, core.PhaseWaiting, 3), "waiting 3 25%: approved step 3 of 4 (25 %): because (ann)"},
		{Approve, at(plan, core.PhasePaused, 3), "paused 3 25%: approved step 3 of 4 (25 %): because (ann)"},
		{Approve, approved, "step 3 of 4 (25 %) is approved already"},
		{Approve, at(plan, core.PhaseRunning, 1), "no step waits to be approved"},
		{Approve, at(plan, core.PhaseWaiting, 0), "no step waits to be approved"},
		{Approve, at(plan, core.PhaseCompleted, 4), "no step waits to be approved"},
		{Approve, at(plan, core.PhaseRolledBack, 3), rolledBack},

		{Advance, at(plan, core.PhaseRunning, 1), "running 2 5%: step 2 of 4 (5 %): because (ann)"},
		{Advance, at(plan, core.PhaseWaiting, 0), "running 1 1%: step 1 of 4 (1 %): because (ann)"},
		{Advance, at(plan, core.PhaseWaiting, 3), "baking 4 100%: step 4 of 4 (100 %): because (ann)"},
		{Advance, at(plan, core.PhaseBaking, 4), "completed 4 100%: all 4 steps are done: because (ann)"},
		{Advance, at(plan, core.PhasePaused, 1), "the rollout is paused: only one that is"},
		{Advance, at(plan, core.PhaseCompleted, 4), "the rollout is completed: only one that is"},
		{Advance, at(plan, core.PhaseRolledBack, 1), rolledBack},
		{Advance, unborn, "the rollout of this plan has not begun yet"},

		{Promote, at(plan, core.PhaseRunning, 1), "baking 4 100%: step 4 of 4 (100 %): because (ann)"},
		{Promote, at(plan, core.PhaseWaiting, 0), "baking 4 100%: step 4 of 4 (100 %): because (ann)"},
		{Promote, at(plan, core.PhasePaused, 2), "baking 4 100%: step 4 of 4 (100 %): because (ann)"},
		{Promote, at(plan, core.PhaseBaking, 4), "the rollout is at its last step already"},
		{Promote, at(plan, core.PhaseCompleted, 4), "the rollout is at its last step already"},
		{Promote, at(plan, core.PhaseRolledBack, 4), rolledBack},

		{Pause, at(plan, core.PhaseRunning, 1), "paused 1 1%: paused: because (ann)"},
		{Pause, at(plan, core.PhaseWaiting, 0), "paused 0 0%: paused: because (ann)"},
		{Pause, at(plan, core.PhaseBaking, 4), "paused 4 100%: paused: because (ann)"},
		{Pause, at(plan, core.PhasePaused, 1), "the rollout is paused: only one that is"},
		{Pause, at(plan, core.PhaseCompleted, 4), "the rollout is completed: only one that is"},
		{Pause, at(plan, core.PhaseRolledBack, 4), rolledBack},

		{Resume, at(plan, core.PhasePaused, 1), "running 1 1%: resumed: because (ann)"},
		{Resume, at(plan, core.PhasePaused, 4), "baking 4 100%: resumed: because (ann)"},
		{Resume, at(plan, core.PhasePaused, 0), "waiting 0 0%: resumed: because (ann)"},
		{Resume, byGuard, "running 2 5%: resumed: because (ann)"},
		{Resume, longer, "the plan has only 4 steps by now: use goto"},
		{Resume, at(plan, core.PhaseRunning, 1), "the rollout is running, not paused"},
		{Resume, at(plan, core.PhaseCompleted, 4), "the rollout is completed, not paused"},
		{Resume, at(plan, core.PhaseRolledBack, 1), rolledBack},

		{Rollback, at(plan, core.PhaseRunning, 1), "rolled-back 1 0%: rolled back by hand: because (ann)"},
		{Rollback, at(plan, core.PhaseWaiting, 0), "rolled-back 0 0%: rolled back by hand: because (ann)"},
		{Rollback, at(plan, core.PhasePaused, 2), "rolled-back 2 0%: rolled back by hand: because (ann)"},
		{Rollback, at(plan, core.PhaseBaking, 4), "rolled-back 4 0%: rolled back by hand: because (ann)"},
		{Rollback, at(plan, core.PhaseCompleted, 4), "rolled-back 4 0%: rolled back by hand: because (ann)"},
		{Rollback, at(plan, core.PhaseRolledBack, 4), rolledBack},

		{Retry, at(plan, core.PhaseRolledBack, 4), "running 1 1%: step 1 of 4 (1 %): tried again: because (ann)"},
		{Retry, at(plan, core.PhaseRunning, 1), "the rollout is running: only one that is rolled back is tried again"},
		{Retry, at(plan, core.PhaseCompleted, 4), "the rollout is completed: only one that is rolled back is tried again"},

		{Goto, at(plan, core.PhaseRunning, 1), "running 3 25%: step 3 of 4 (25 %): because (ann)"},
		{Goto, at(plan, core.PhaseBaking, 4), "running 3 25%: step 3 of 4 (25 %): because (ann)"},
		{Goto, at(plan, core.PhaseCompleted, 4), "running 3 25%: step 3 of 4 (25 %): because (ann)"},
		{Goto, byGuard, "running 3 25%: step 3 of 4 (25 %): because (ann)"},
		{Goto, at(plan, core.PhaseRolledBack, 4), rolledBack},

		{"rolback", at(plan, core.PhaseRunning, 1), `unknown verb "rolback" (did you mean "rollback"?)`},
		{"begin", at(plan, core.PhaseRunning, 1),
			`unknown verb "begin" (one of advance, approve, goto, pause, promote, resume, retry, rollback)`},
	} {
		t.Run(c.verb+"/"+c.state.Phase, func(t *testing.T) {
			before := written(t, c.state)
			command := Command{Verb: c.verb, Step: 3, By: "ann", Reason: "because", Epoch: c.state.Epoch}
			next, err := Do(plan, c.state, command, noon)
			assert.Equal(t, before, written(t, c.state))
			if err != nil {
				assert.Contains(t, err.Error(), c.want)
				assert.Equal(t, c.state, next)
				return
			}
			assert.Equal(t, c.want, show(next))
			checkChange(t, plan, c.state, next)
		})
	}
	for _, verb := range []string{Advance, Promote, Goto} {
		_, err := Do(freezing, at(freezing, core.PhaseRunning, 1), Command{Verb: verb, Step: 3}, noon)
		assert.ErrorContains(t, err, "no percentage rises now (frozen: Thu 11:00 - Thu 13:00)", verb)
	}
	lower, err := Do(freezing, at(freezing, core.PhaseBaking, 4), Command{Verb: Goto, Step: 1}, noon)
	require.NoError(t, err, "what lowers is always possible")
	assert.Equal(t, 1.0, lower.Percent)
	for _, step := range []int{-1, 0, 5} {
		_, err := Do(plan, at(plan, core.PhaseRunning, 1), Command{Verb: Goto, Step: step}, noon)
		assert.ErrorContains(t, err, "there is no step")
	}
}

func TestVerbs(t *testing.T) {
	assert.Equal(t, []string{"advance", "approve", "goto", "pause", "promote", "resume", "retry", "rollback"}, Verbs())
	for _, verb := range Verbs() {
		assert.Equal(t, verb != Pause && verb != Rollback, Raises(verb))
	}
	plan := planOf(t, fourSteps)
	_, err := Do(plan, at(plan, core.PhaseRunning, 1), Command{Verb: Pause, Epoch: 6}, noon)
	require.ErrorIs(t, err, ErrStale)
	assert.EqualError(t, err, "the rollout has moved on: its epoch is 7, not 6")
	for _, text := range []string{"a\nb", "\xff", string(make([]byte, 513))} {
		_, err = Do(plan, at(plan, core.PhaseRunning, 1), Command{Verb: Pause, Reason: text}, noon)
		assert.Error(t, err)
	}
}

// A pause takes no time of its step, and the guard that caused it does not pause the attempt again.
func TestResume(t *testing.T) {
	plan := planOf(t, fourSteps)
	slow := only(plan, "latency p90 pause", isBad)
	running := at(plan, core.PhaseRunning, 2)
	running.StepSince = noon.Add(-20 * time.Minute)
	paused, _ := Next(plan, running, slow, noon)
	require.Equal(t, core.PhasePaused, paused.Phase)
	assert.Equal(t, "latency p90 pause", paused.Verdict.Guard)
	approvedLater, err := Do(plan, paused, Command{Verb: Resume, By: "ann"}, noon.Add(5*time.Hour))
	require.NoError(t, err)
	assert.Equal(t, []string{"latency p90 pause"}, approvedLater.Accepted)
	assert.Nil(t, approvedLater.Verdict)
	for minutes, step := range map[int]int{0: 2, 9: 2, 10: 3} {
		next, _ := Next(plan, approvedLater, slow, noon.Add(5*time.Hour+time.Duration(minutes)*time.Minute))
		assert.Equal(t, step, next.Step, "%d minutes later", minutes)
	}
	back, _ := Next(plan, approvedLater, only(plan, "errors", isBad), noon.Add(6*time.Hour))
	assert.Equal(t, core.PhaseRolledBack, back.Phase)
	again, err := Do(plan, back, Command{Verb: Retry}, noon.Add(7*time.Hour))
	require.NoError(t, err)
	assert.Empty(t, again.Accepted, "another attempt, another judgement")
	assert.Equal(t, int64(3), again.Attempt)
}
