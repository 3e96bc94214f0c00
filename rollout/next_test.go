package rollout

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/grayrelease/gray/core"
)

// Every transition that time and evidence cause, in every phase.
func TestNext(t *testing.T) {
	plan := planOf(t, fourSteps)
	approved := at(plan, core.PhaseWaiting, 3)
	approved.Approved = true
	early := at(plan, core.PhaseRunning, 2)
	early.StepSince = noon.Add(-29 * time.Minute)
	accepted := at(plan, core.PhaseRunning, 1)
	accepted.Accepted = []string{"latency p90 pause"}
	waiting := at(plan, core.PhaseWaiting, 3)
	waiting.Reason = "step 3 of 4 (25 %) lasts until it is approved"
	longer := at(plan, core.PhaseRunning, 4)
	longer.Step = 9
	changed := at(plan, core.PhaseRunning, 2)
	changed.Percent = 4
	stableToo := isBad
	stableToo.Then = core.GuardPause
	none := planOf(t, `"steps": ["1%", "5% min 200", "100%"], "guard": []`)
	few, many := all(none, good), all(none, good)
	many.callers = 200
	advance := planOf(t, fourSteps+`, "undecided": "advance"`)
	back := planOf(t, fourSteps+`, "undecided": "rollback"`)
	expiring := planOf(t, fourSteps+`, "expires": "2h"`)
	zero := planOf(t, `"steps": ["0% until approved", "100%"], "guard": ["errors"]`)
	zeroApproved := at(zero, core.PhaseWaiting, 1)
	zeroApproved.Approved = true
	freezing := planOf(t, fourSteps+`, "freeze": ["Thu 11:00 - Thu 13:00"]`)
	alerting := planOf(t, `"steps": ["1% for 10m", "100%"], "guard": ["errors", "alert team=shop pause"]`)
	const alert = "alert team=shop pause"
	alerted := at(alerting, core.PhasePaused, 1)
	alerted.By = "guard " + alert
	alerted.Verdict = &core.RolloutVerdict{Guard: alert, Verdict: core.VerdictBad}
	alerted.StepSince = noon.Add(-65 * time.Minute)
	byHand := at(alerting, core.PhasePaused, 1)
	other := at(plan, core.PhaseRolledBack, 3)
	other.Fingerprint = "yesterday's"

	const asItIs = ": as it is (gray)"
	for _, c := range []struct {
		about string
		plan  *core.RolloutPlan
		state core.RolloutState
		e     Evidence
		want  string
	}{
		{"nothing yet", plan, core.RolloutState{}, nil, "running 1 1%: step 1 of 4 (1 %) (gray)"},
		{"another plan's", plan, other, all(plan, isBad), "running 1 1%: step 1 of 4 (1 %) (gray)"},
		{"nothing yet, frozen", freezing, core.RolloutState{}, nil,
			"waiting 0 0%: frozen: Thu 11:00 - Thu 13:00 (gray)"},
		{"a person begins it", zero, core.RolloutState{}, nil, "waiting 1 0%: step 1 of 2 (0 %) (gray)"},

		{"waiting at 0 %", zero, at(zero, core.PhaseWaiting, 1), all(zero, noTraffic),
			"waiting 1 0%: step 1 of 2 (0 %) lasts until it is approved (gray)"},
		{"waiting at 0 %, approved", zero, zeroApproved, all(zero, noTraffic),
			"baking 2 100%: step 2 of 2 (100 %) (gray)"},
		{"waiting for the thaw", freezing, at(freezing, core.PhaseWaiting, 0), nil,
			"waiting 0 0%: frozen: Thu 11:00 - Thu 13:00 (gray)"},
		{"thawed", plan, at(plan, core.PhaseWaiting, 0), nil, "running 1 1%: step 1 of 4 (1 %) (gray)"},
		{"waiting", plan, waiting, all(plan, good),
			"waiting 3 25%: step 3 of 4 (25 %) lasts until it is approved (gray)"},
		{"waiting, approved", plan, approved, all(plan, good), "baking 4 100%: step 4 of 4 (100 %) (gray)"},
		{"waiting, approved, no traffic", plan, approved, all(plan, noTraffic), "waiting 3 25%" + asItIs},
		{"waiting, bad", plan, waiting, only(plan, "errors", isBad),
			"rolled-back 3 0%: 2.4 % of canary callers failed (guard errors)"},

		{"running, early", plan, early, all(plan, good), "running 2 5%" + asItIs},
		{"running, over", plan, at(plan, core.PhaseRunning, 1), all(plan, good),
			"running 2 5%: step 2 of 4 (5 %) (gray)"},
		{"running, over, to be approved", plan, at(plan, core.PhaseRunning, 3), all(plan, good),
			"waiting 3 25%: step 3 of 4 (25 %) lasts until it is approved (gray)"},
		{"running, no traffic", plan, at(plan, core.PhaseRunning, 1), all(plan, noTraffic), "running 1 1%" + asItIs},
		{"running, no evidence", plan, at(plan, core.PhaseRunning, 1), nil, "running 1 1%" + asItIs},
		{"running, a guard is missing", plan, at(plan, core.PhaseRunning, 1), all(none, good),
			"running 1 1%" + asItIs},
		{"running, the watch is undecided", plan, at(plan, core.PhaseRunning, 1), only(plan, "errors < 2% watch",
			noTraffic),
			"running 2 5%: step 2 of 4 (5 %) (gray)"},
		{"running, the watch is bad", plan, at(plan, core.PhaseRunning, 1), only(plan, "errors < 2% watch", isBad),
			"running 2 5%: step 2 of 4 (5 %) (gray)"},
		{"running, early, bad", plan, early, only(plan, "errors", isBad),
			"rolled-back 2 0%: 2.4 % of canary callers failed (guard errors)"},
		{"running, a pause", plan, early, only(plan, "latency p90 pause", isBad),
			"paused 2 5%: 2.4 % of canary callers failed (guard latency p90 pause)"},
		{"running, stable too", plan, early, only(plan, "errors", stableToo),
			"paused 2 5%: 2.4 % of canary callers failed (guard errors)"},
		{"running, a rollback and a pause", plan, early, all(plan, isBad),
			"rolled-back 2 0%: 2.4 % of canary callers failed (guard errors)"},
		{"running, a pause that was ended", plan, accepted, only(plan, "latency p90 pause", isBad),
			"running 2 5%: step 2 of 4 (5 %) (gray)"},
		{"running, undecided, advance", advance, at(advance, core.PhaseRunning, 1), all(advance, noTraffic),
			"running 2 5%: step 2 of 4 (5 %) (gray)"},
		{"running, undecided, rollback", back, at(back, core.PhaseRunning, 1), all(back, noTraffic),
			"rolled-back 1 0%: step 1 of 4 (1 %) is over and undecided: errors: no traffic (gray)"},
		{"running, frozen", freezing, at(freezing, core.PhaseRunning, 1), all(freezing, good),
			"waiting 1 1%: frozen: Thu 11:00 - Thu 13:00 (gray)"},
		{"running, frozen, bad", freezing, at(freezing, core.PhaseRunning, 1), all(freezing, isBad),
			"rolled-back 1 0%: 2.4 % of canary callers failed (guard errors)"},
		{"running, expired", expiring, at(expiring, core.PhaseRunning, 1), all(expiring, good),
			"rolled-back 1 0%: not complete within 2h (gray)"},
		{"running, the plan has fewer steps", plan, longer, all(plan, good),
			"paused 9 100%: the plan has fewer steps than have been done (gray)"},
		{"running, the plan's step changed", plan, changed, all(plan, good),
			"running 2 5%: step 2 of 4 (5 %): the plan has changed this step (gray)"},
		{"running without guards", none, at(none, core.PhaseRunning, 1), nil,
			"running 2 5%: step 2 of 3 (5 %) (gray)"},
		{"running without guards, too few", none, at(none, core.PhaseRunning, 2), few, "running 2 5%" + asItIs},
		{"running without guards, unknown", none, at(none, core.PhaseRunning, 2), nil, "running 2 5%" + asItIs},
		{"running without guards, enough", none, at(none, core.PhaseRunning, 2), many,
			"baking 3 100%: step 3 of 3 (100 %) (gray)"},

		{"paused", plan, at(plan, core.PhasePaused, 2), all(plan, good), "paused 2 5%" + asItIs},
		{"paused, a pause", plan, at(plan, core.PhasePaused, 2), only(plan, "latency p90 pause", isBad),
			"paused 2 5%" + asItIs},
		{"paused, bad", plan, at(plan, core.PhasePaused, 2), only(plan, "errors", isBad),
			"rolled-back 2 0%: 2.4 % of canary callers failed (guard errors)"},
		{"paused, expired", expiring, at(expiring, core.PhasePaused, 2), all(expiring, good), "paused 2 5%" + asItIs},

		{"paused, the alert fires", alerting, alerted, only(alerting, alert, isBad),
			"paused 1 1%: as it is (guard " + alert + ")"},
		{"paused, the alert is over", alerting, alerted, all(alerting, good),
			"running 1 1%: resumed: the alert does not fire any more (guard " + alert + ")"},
		{"paused, nobody knows of the alert", alerting, alerted, only(alerting, alert, noTraffic),
			"paused 1 1%: as it is (guard " + alert + ")"},
		{"paused by hand, no alert", alerting, byHand, all(alerting, good), "paused 1 1%" + asItIs},
		{"paused, the alert is over, bad", alerting, alerted, only(alerting, "errors", isBad),
			"rolled-back 1 0%: 2.4 % of canary callers failed (guard errors)"},

		{"baking, over", plan, at(plan, core.PhaseBaking, 4), all(plan, good),
			"completed 4 100%: all 4 steps are done (gray)"},
		{"baking, nobody gets stable", plan, at(plan, core.PhaseBaking, 4), all(plan, noControl),
			"completed 4 100%: all 4 steps are done (gray)"},
		{"baking, frozen", freezing, at(freezing, core.PhaseBaking, 4), all(freezing, good),
			"completed 4 100%: all 4 steps are done (gray)"},
		{"baking, no traffic", plan, at(plan, core.PhaseBaking, 4), all(plan, noTraffic), "baking 4 100%" + asItIs},
		{"baking, bad", plan, at(plan, core.PhaseBaking, 4), only(plan, "errors", isBad),
			"rolled-back 4 0%: 2.4 % of canary callers failed (guard errors)"},

		{"completed", plan, at(plan, core.PhaseCompleted, 4), all(plan, good), "completed 4 100%" + asItIs},
		{"completed, a pause", plan, at(plan, core.PhaseCompleted, 4), only(plan, "latency p90 pause", isBad),
			"completed 4 100%" + asItIs},
		{"completed, bad", plan, at(plan, core.PhaseCompleted, 4), only(plan, "errors", isBad),
			"rolled-back 4 0%: 2.4 % of canary callers failed (guard errors)"},
		{"completed, long ago", expiring, at(expiring, core.PhaseCompleted, 4), all(expiring, good),
			"completed 4 100%" + asItIs},

		{"rolled back", plan, at(plan, core.PhaseRolledBack, 2), all(plan, good), "rolled-back 2 0%" + asItIs},
		{"rolled back, bad", plan, at(plan, core.PhaseRolledBack, 2), all(plan, isBad), "rolled-back 2 0%" + asItIs},
	} {
		t.Run(c.about, func(t *testing.T) {
			before := written(t, c.state)
			next, verdicts := Next(c.plan, c.state, c.e, noon)
			assert.Equal(t, c.want, show(next))
			assert.Equal(t, before, written(t, c.state), "the given state stays")
			checkChange(t, c.plan, c.state, next)
			if c.e != nil && c.state.Fingerprint == c.plan.Fingerprint {
				assert.Equal(t, c.e.Judge(noon), verdicts)
			}
			again, _ := Next(c.plan, next, c.e, noon)
			if next.Phase == core.PhaseRolledBack || next.Phase == core.PhaseCompleted {
				assert.Equal(t, next, again, "once is enough")
			}
		})
	}
}
