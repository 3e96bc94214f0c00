package rollout

import (
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/rollout/guard"
)

// Nothing known is nothing moved, however long, in every phase and with every guard.
func TestNoDataMovesNothing(t *testing.T) {
	plan := planOf(t, fourSteps)
	for _, phase := range []string{core.PhaseRunning, core.PhasePaused, core.PhaseBaking, core.PhaseCompleted} {
		for step := 1; step <= 4; step++ {
			s := at(plan, phase, step)
			for hours := range 24 * 60 {
				for _, e := range []Evidence{all(plan, noTraffic), nil} {
					next, _ := Next(plan, s, e, noon.Add(time.Duration(hours)*time.Hour))
					require.True(t, reflect.DeepEqual(s, next), "%+v", next)
				}
			}
		}
	}
}

// Whatever happens, in whatever order: epochs grow by one, a rollback lasts until retry, bad rolls
// back at once and from everywhere, and states are written and read.
func TestAnythingGoes(t *testing.T) {
	plans := []*core.RolloutPlan{
		planOf(t, fourSteps), planOf(t, fourSteps+`, "undecided": "advance", "build": "2"`),
		planOf(t, fourSteps+`, "undecided": "rollback", "expires": "3h"`),
		planOf(t, `"steps": ["0% until approved", "50%"], "guard": ["errors"], "build": "3",
			"freeze": ["Thu 11:00 - Thu 13:00"]`),
		planOf(t, `"steps": ["10%"], "guard": [], "build": "4"`),
	}
	verdicts := []core.RolloutVerdict{good, good, good, noTraffic, noControl, isBad}
	phases := map[string]int{}
	seeds := uint64(60)
	if testing.Short() {
		seeds = 12
	}
	for seed := range seeds {
		random := rand.New(rand.NewPCG(seed, 1))
		plan := plans[random.IntN(len(plans))]
		s, now := core.RolloutState{}, noon
		for range 200 {
			now = now.Add(time.Duration(random.IntN(40)) * time.Minute)
			if random.IntN(50) == 0 {
				plan = plans[random.IntN(len(plans))]
			}
			e := all(plan, good)
			e.some = map[string]core.RolloutVerdict{}
			for _, g := range plan.Guards {
				e.some[g.Line] = verdicts[random.IntN(len(verdicts))]
				if random.IntN(4) > 0 && e.some[g.Line].Verdict == core.VerdictBad {
					e.some[g.Line] = good
				}
			}
			next, said := Next(plan, s, e, now)
			checkChange(t, plan, s, next)
			if s.Fingerprint == plan.Fingerprint && bad(said, core.GuardRollback) != nil {
				require.Equal(t, core.PhaseRolledBack, next.Phase)
			}
			s = next
			if random.IntN(3) == 0 {
				c := Command{Verb: Verbs()[random.IntN(len(verbs))], Step: random.IntN(6), By: "ann"}
				after, err := Do(plan, s, c, now)
				require.True(t, err != nil || after.Epoch == s.Epoch+1)
				checkChange(t, plan, s, after)
				if !Raises(c.Verb) {
					require.LessOrEqual(t, after.Percent, s.Percent)
				}
				s = after
			}
			phases[s.Phase]++
		}
	}
	assert.Len(t, phases, 6, "every phase was reached: %v", phases)
}

// A week of a rollout, looked at every ten seconds.
func TestWeek(t *testing.T) {
	plan := planOf(t, `"steps": ["1% for 24h", "5% for 24h", "25% for 24h until approved", "50% for 24h", "100% for 24h"],
		"guard": ["errors"], "freeze": ["Sat 00:00 - Mon 00:00 UTC"]`)
	began := time.Now()
	s, now := core.RolloutState{}, noon
	e := all(plan, good)
	for range 7 * 24 * 360 {
		s, _ = Next(plan, s, e, now)
		if s.Phase == core.PhaseWaiting && s.Step == 3 && !s.Approved {
			var err error
			s, err = Do(plan, s, Command{Verb: Approve, By: "ann"}, now)
			require.NoError(t, err)
		}
		now = now.Add(10 * time.Second)
	}
	assert.Equal(t, core.PhaseCompleted, s.Phase)
	var story []string
	for _, event := range s.History {
		story = append(story, event.At.Format("Mon 15:04 ")+event.Reason)
	}
	assert.Equal(t, []string{
		"Thu 12:00 step 1 of 5 (1 %)",
		"Fri 12:00 step 2 of 5 (5 %)",
		"Sat 12:00 frozen: Sat 00:00 - Mon 00:00 UTC",
		"Mon 00:00 step 3 of 5 (25 %)",
		"Tue 00:00 step 3 of 5 (25 %) lasts until it is approved",
		"Tue 00:00 approved step 3 of 5 (25 %)",
		"Tue 00:00 step 4 of 5 (50 %)",
		"Wed 00:00 step 5 of 5 (100 %)",
		"Thu 00:00 all 5 steps are done",
	}, story)
	t.Log(time.Since(began))
	assert.Less(t, time.Since(began), 2*time.Second)
}

// The whole chain: a tracker under load, the loop, and the overlay that gateways put on.
func TestLoop(t *testing.T) {
	plan := planOf(t, `"steps": ["5% for 1m", "50% for 1m", "100% for 1m"], "guard": ["errors"]`)
	for _, c := range []struct {
		errors float64
		want   string
	}{{0.01, core.PhaseCompleted}, {0.3, core.PhaseRolledBack}} {
		random := rand.New(rand.NewPCG(1, 2))
		now := noon
		s, _ := Next(plan, core.RolloutState{}, nil, now)
		tracker := guard.NewTracker(plan, &s, nil, now)
		for range 600 {
			o, err := s.Overlay(plan)
			require.NoError(t, err)
			for range 100 {
				position, arm, rate := random.Uint64(), guard.Control, 0.01
				if float64(position) < o.Percent["ramp"]/100*(1<<64) {
					arm, rate = guard.Canary, c.errors
				}
				tracker.Done(tracker.Decided(position, arm), random.Float64() < rate, time.Millisecond)
			}
			now = now.Add(time.Second)
			tracker.Tick(now)
			s, _ = Next(plan, s, tracker, now)
			tracker.Follow(&s, now)
		}
		assert.Equal(t, c.want, s.Phase)
		if c.want == core.PhaseRolledBack {
			assert.Less(t, s.Since.Sub(noon), time.Minute)
			assert.Regexp(t, `^\d+ % of canary callers failed, (none|[\d.]+ %) of stable's; `+
				`by luck less than once in 1,000 releases$`, s.Reason)
			assert.Equal(t, "guard errors", s.By)
		}
	}
}
