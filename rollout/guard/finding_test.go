package guard

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
)

// withQuery is a tracker whose plan has guards that it does not measure.
func withQuery(t *testing.T) *Tracker {
	p := &core.Policy{
		Service: "shop", Stable: "v1", Versions: map[string]core.Version{"v1": {}, "v2": {}},
		Rules: []core.Rule{{Name: "ramp", Version: "v2"}},
		Rollout: &core.Rollout{Rule: "ramp", Steps: []string{"5%", "100%"},
			Guard:   []string{"errors", "errors < 2%", "query q < 1", "alert a=b pause"},
			Queries: map[string]string{"q": "x"}},
	}
	e, err := core.New(p)
	require.NoError(t, err)
	return NewTracker(e.Rollout(), &core.RolloutState{Step: 1, Percent: 5}, nil, time.Unix(0, 0))
}

func verdictsOf(tracker *Tracker, now time.Time) map[string]core.RolloutVerdict {
	all := map[string]core.RolloutVerdict{}
	for _, v := range tracker.Judge(now) {
		all[v.Guard] = v
	}
	return all
}

// What nobody has said anything about is undecided; what rolls back stays bad, what pauses does
// not.
func TestFindings(t *testing.T) {
	tracker := withQuery(t)
	now := time.Unix(0, 0)
	for _, line := range []string{"query q < 1", "alert a=b pause"} {
		before := verdictsOf(tracker, now)[line]
		assert.Equal(t, CauseElsewhere, before.Cause)
		tracker.Report(line, Finding{Verdict: core.VerdictGood})
		assert.Equal(t, core.VerdictGood, verdictsOf(tracker, now)[line].Verdict)
		tracker.Report(line, Finding{Verdict: core.VerdictBad, Reason: "too high", Evidence: 3, Threshold: 3})
		assert.Equal(t, core.VerdictBad, verdictsOf(tracker, now)[line].Verdict)
		assert.Equal(t, "too high", verdictsOf(tracker, now)[line].Reason)
		<-tracker.Alarm()
		tracker.Report(line, Finding{Verdict: core.VerdictGood})
	}
	after := verdictsOf(tracker, now)
	assert.Equal(t, core.VerdictBad, after["query q < 1"].Verdict)
	assert.Equal(t, core.VerdictGood, after["alert a=b pause"].Verdict)

	data, err := tracker.MarshalBinary()
	require.NoError(t, err)
	again := withQuery(t)
	require.NoError(t, again.UnmarshalBinary(data))
	kept := verdictsOf(again, now)
	assert.Equal(t, core.VerdictBad, kept["query q < 1"].Verdict)
	assert.Equal(t, CauseElsewhere, kept["alert a=b pause"].Cause)

	tracker.Report("errors", Finding{Verdict: core.VerdictBad})
	assert.Equal(t, core.VerdictUndecided, verdictsOf(tracker, now)["errors"].Verdict, "measured here, not reported")
}

// Figures of other programs are judged as requests are.
func TestCountedRequests(t *testing.T) {
	tracker := withQuery(t)
	now := time.Unix(0, 0)
	for range 60 {
		tracker.Count(Control, 190, 0)
		tracker.Count(Canary, 10, 0)
	}
	v := verdictsOf(tracker, now)["errors"]
	assert.Equal(t, core.VerdictGood, v.Verdict, "%+v", v)
	assert.InDelta(t, 600, v.Canary.Callers, 80)
	tracker.Count(Canary, 10, 12)
	v = verdictsOf(tracker, now)["errors"]
	assert.Equal(t, core.VerdictBad, v.Verdict)
	assert.InDelta(t, 10, v.Canary.Bad, 3, "no more than there were")
	tracker.Count(Canary, -1, -1)
}

// What gateways have found counts: bad at once, limits while they are heard.
func TestHeardVerdicts(t *testing.T) {
	const limit = "errors < 2%"
	tracker := withQuery(t)
	now := time.Unix(0, 0)
	arm := core.RolloutArm{Callers: 60}
	for range 200 {
		tracker.Count(Canary, 1, 0)
	}
	hear := func(gateway, verdict string) {
		tracker.Hear(gateway, []core.RolloutVerdict{{Guard: limit, Then: "rollback", Verdict: verdict, Canary: arm}}, now)
	}
	hear("a", core.VerdictGood)
	hear("b", core.VerdictUndecided)
	assert.Equal(t, core.VerdictGood, verdictsOf(tracker, now)[limit].Verdict)
	hear("b", core.VerdictBad)
	now = now.Add(time.Hour)
	v := verdictsOf(tracker, now)[limit]
	assert.Equal(t, core.VerdictBad, v.Verdict, "what rolls back stays")
	assert.Contains(t, v.Reason, "found by b")

	other := withQuery(t)
	other.Hear("a", []core.RolloutVerdict{{Guard: "errors", Then: "rollback", Verdict: "bad", Reason: "2 % failed"}}, now)
	assert.Equal(t, "2 % failed (found by a)", verdictsOf(other, now)["errors"].Reason)
	other.Hear("a", []core.RolloutVerdict{{Guard: "alert a=b pause", Then: "pause", Verdict: "bad"}}, now)
	assert.Equal(t, CauseElsewhere, verdictsOf(other, now)["alert a=b pause"].Cause, "gateways know nothing of alerts")
}
