package core

import (
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// rampRules are a rule of testers and the one that a rollout raises.
const rampRules = `"identity": ["header X-ID"], "rules": [
	{"name": "testers", "version": "v2", "when": ["header X-App = beta"]}, {"name": "ramp", "version": "v2"}], `

func planOf(t testing.TB, fields string) *RolloutPlan {
	t.Helper()
	return engineFor(t, rampRules+`"rollout": {"rule": "ramp", `+fields+`}`).Rollout()
}

func TestRolloutPlan(t *testing.T) {
	plan := planOf(t, `"steps": ["0% until approved", "1% for 10m", " 5%  min 200 for 1h30m until approved ", "100%"],
		"guard": ["errors", "latency", "latency p50 pause", "errors < 2% watch", "errors<0.5%", "latency p99 < 800ms rollback", "latency p99.9<2s"],
		"keep": ["testers"], "build": "sha256:1", "expires": "24h", "freeze": ["Fri 16:00 - Mon 08:00"]`)
	assert.Equal(t, []RolloutStep{
		{UntilApproved: true}, {Percent: 1, For: 10 * time.Minute},
		{Percent: 5, For: 90 * time.Minute, Min: 200, UntilApproved: true}, {Percent: 100},
	}, plan.Steps)
	assert.Equal(t, []RolloutGuard{
		{Line: "errors", Measures: "errors", Then: "rollback"},
		{Line: "latency", Measures: "latency", Quantile: 0.9, Then: "rollback"},
		{Line: "latency p50 pause", Measures: "latency", Quantile: 0.5, Then: "pause"},
		{Line: "errors < 2% watch", Measures: "errors", Limit: 0.02, Then: "watch"},
		{Line: "errors < 0.5%", Measures: "errors", Limit: 0.005, Then: "rollback"},
		{Line: "latency p99 < 800ms rollback", Measures: "latency", Quantile: 0.99, Limit: 0.01, Over: 800 * time.Millisecond, Then: "rollback"},
		{Line: "latency p99.9 < 2s", Measures: "latency", Quantile: 0.999, Limit: 0.001, Over: 2 * time.Second, Then: "rollback"},
	}, plan.Guards)
	assert.Equal(t, []any{"ramp", "v2", "v1", 0.0}, []any{plan.Rule, plan.Version, plan.Stable, plan.Percent})
	assert.Equal(t, []any{0.001, 1.25, time.Minute, "hold", 24 * time.Hour},
		[]any{plan.Alpha, plan.Tolerance, plan.Warmup, plan.Undecided, plan.Expires})
	assert.Equal(t, []string{"testers"}, plan.Keep)
	assert.Len(t, plan.Freeze, 1)
}

func TestGuardsOfOthers(t *testing.T) {
	plan := planOf(t, `"steps": ["1%"], "guard": ["query checkout < 0.02", "query a-b<5 for 10 pause", "alert team=shop",
		"alert  severity=page alertname=\"Too  slow\" pause"],
		"queries": {"checkout": "rate(x{version=\"$version\",was=\"$stable\",s=\"$service\"}[$window]) > $1", "a-b": "y"}`)
	assert.Equal(t, []RolloutGuard{
		{Line: "query checkout < 0.02", Measures: "query", Query: "checkout", Limit: 0.02, Looks: 3, Then: "rollback"},
		{Line: "query a-b < 5 for 10 pause", Measures: "query", Query: "a-b", Limit: 5, Looks: 10, Then: "pause"},
		{Line: "alert team=shop", Measures: "alert", Alert: map[string]string{"team": "shop"}, Then: "rollback"},
		{Line: `alert severity=page alertname="Too  slow" pause`, Measures: "alert",
			Alert: map[string]string{"severity": "page", "alertname": "Too  slow"}, Then: "pause"},
	}, plan.Guards)
	assert.Equal(t, `rate(x{version="v2",was="v1",s="a\"b"}[60s]) > $1`, plan.Query(&plan.Guards[0], `a"b`, "60s"))
	for i := range plan.Guards {
		assert.False(t, plan.Guards[i].IsMeasured())
	}
}

func TestRolloutWithoutGuards(t *testing.T) {
	assert.Empty(t, planOf(t, `"steps": ["1%"], "guard": []`).Guards)
	assert.Empty(t, planOf(t, `"steps": ["1%"], "guard": ["none"]`).Guards)
	assert.Nil(t, engineFor(t, "").Rollout())
}

func TestRolloutSettings(t *testing.T) {
	plan := planOf(t, `"steps": ["1%"], "guard": [], "alpha": 0.01, "tolerance": 1, "warmup": "0s", "undecided": "advance"`)
	assert.Equal(t, []any{0.01, 1.0, time.Duration(0), "advance"}, []any{plan.Alpha, plan.Tolerance, plan.Warmup, plan.Undecided})
	random := engineFor(t, rampRules+`"anonymous": "random", "rollout": {"rule": "ramp", "steps": ["1%"], "guard": []}`).Rollout()
	assert.Equal(t, 1.5, random.Tolerance, "requests count, and not callers")
}

// A rule under a rollout takes nobody until the rollout says so, or stays where its own percentage
// puts it.
func TestRampWithoutState(t *testing.T) {
	const rollout = `"rollout": {"rule": "ramp", "steps": ["1%", "100%"], "guard": ["errors"]}`
	caller := func() *Caller { return &Caller{Request: request("/", "X-ID: ann")} }
	e := engineFor(t, rampRules+rollout)
	assert.Equal(t, "v1", Decide(e, caller()).Version)
	assert.Equal(t, "v2", Decide(e, &Caller{Request: request("/", "X-App: beta")}).Version)
	assert.Equal(t, "v2", Decide(e.With(Overlay{Percent: map[string]float64{"ramp": 100}}), caller()).Version)
	own := engineFor(t, `"rules": [{"name": "ramp", "version": "v2", "percent": 100}], `+rollout)
	assert.Equal(t, "v2", Decide(own, caller()).Version)
	assert.Equal(t, 100.0, own.Rollout().Percent)
}

func TestRolloutFingerprint(t *testing.T) {
	of := func(rule, build, more string) string {
		e := engineFor(t, `"rules": [`+rule+more+`], "rollout": {"rule": "ramp", "steps": ["1%"], "guard": [], "build": "`+build+`"}`)
		return e.Rollout().Fingerprint
	}
	const ramp = `{"name": "ramp", "version": "v2", "when": ["method = GET"]}`
	first := of(ramp, "", "")
	assert.Len(t, first, 32)
	assert.Equal(t, first, of(ramp, "", `, {"version": "v2"}`), "other rules do not count")
	assert.Equal(t, first, of(`{"name": "ramp", "version": "v2", "when": ["method = GET"], "percent": 5, "salt": "shop/v2"}`, "", ""))
	seen := map[string]bool{first: true}
	for _, other := range []string{
		of(ramp, "1", ""), of(`{"name": "ramp", "version": "v2"}`, "", ""), of(`{"name": "ramp", "version": "v2", "salt": "s"}`, "", ""),
		of(`{"name": "ramp", "version": "v2", "when": ["method = GET", "method = GET"]}`, "", ""),
	} {
		assert.False(t, seen[other])
		seen[other] = true
	}
}

func TestFreeze(t *testing.T) {
	for line, times := range map[string]map[string]bool{
		"Fri 16:00 - Mon 08:00": {
			"2025-05-02T15:59:59Z": false, "2025-05-02T16:00:00Z": true, "2025-05-03T12:00:00Z": true, "2025-05-04T00:00:00Z": true,
			"2025-05-05T07:59:59Z": true, "2025-05-05T08:00:00Z": false, "2025-05-07T08:00:00Z": false, "2025-05-02T17:00:00+02:00": false,
		},
		"Fri 16:00 - Mon 08:00 Asia/Shanghai": {"2025-05-02T07:59:59Z": false, "2025-05-02T08:00:00Z": true, "2025-05-05T00:00:00Z": false},
		"Mon 12:00 - Mon 13:00":               {"2025-05-05T12:30:00Z": true, "2025-05-05T13:00:00Z": false, "2025-05-06T12:30:00Z": false},
		"Mon 13:00 - Mon 12:00":               {"2025-05-05T12:30:00Z": false, "2025-05-05T13:00:00Z": true, "2025-05-04T12:30:00Z": true},
	} {
		freeze, problem := parseFreeze(line)
		require.Nil(t, problem)
		for text, want := range times {
			at, err := time.Parse(time.RFC3339, text)
			require.NoError(t, err)
			assert.Equal(t, want, freeze.Covers(at), "%s at %s", line, text)
		}
	}
}

func TestOverlayKeepsRules(t *testing.T) {
	e := engineFor(t, rampRules+`"rollout": {"rule": "ramp", "steps": ["1%"], "guard": []}`)
	withdrawn := e.With(Overlay{Withdrawn: []string{"v2"}, Keep: []string{"testers"}})
	tester := func() *Caller { return &Caller{Request: request("/", "X-App: beta")} }
	assert.Equal(t, "v2", Decide(withdrawn, tester()).Version)
	assert.Equal(t, []string{"testers"}, withdrawn.Overlay().Keep)
	assert.Equal(t, "v1", Decide(e.With(Overlay{Withdrawn: []string{"v2"}}), tester()).Version)
}

// FuzzRolloutLines holds the reading of a plan's lines to their syntax.
func FuzzRolloutLines(f *testing.F) {
	for _, line := range []string{
		"1% for 10m", "5% for 30m min 200", "25% until approved", "100%", "0%", "5", "5% for", "5% min 0", "5% until x", `"5%"`, "5.5% min 1 for 1h2m3s until approved",
		"errors", "latency", "latency p90", "errors < 2%", "latency p99 < 800ms", "latency p99.9<2s watch", "errors pause", "errors<1% rollback", "latency p",
		"query a < 0.02 for 3 pause", "query a<5", "query", "alert team=shop", `alert a="b c" d=e pause`, "alert =", `alert a="`,
		"Fri 16:00 - Mon 08:00 Asia/Shanghai", "Sun 00:00 - Sun 24:00", "Mon 08:00 - Mon 08:00",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		step, wrongStep := parseRolloutStep(line)
		guard, wrongGuard := parseRolloutGuard(line)
		freeze, wrongFreeze := parseFreeze(line)
		for _, wrong := range []*lineError{wrongStep, wrongGuard, wrongFreeze} {
			if wrong != nil {
				p := wrong.problem("line", line)
				require.GreaterOrEqual(t, p.Column, 1)
				require.LessOrEqual(t, p.Column, utf8.RuneCountInString(line)+1)
				require.NotEmpty(t, p.Message)
			}
		}
		if wrongStep == nil {
			require.True(t, isPercent(step.Percent) && step.For >= 0 && step.Min >= 0)
			again, wrong := parseRolloutStep("  " + line + "\t")
			require.Nil(t, wrong)
			require.Equal(t, step, again)
		}
		if wrongGuard == nil {
			again, wrong := parseRolloutGuard(guard.Line)
			require.Nil(t, wrong, guard.Line)
			require.Equal(t, guard, again)
			require.True(t, guard.Limit >= 0 && (guard.Limit < 1 || guard.Query != ""))
			require.True(t, guard.Quantile >= 0 && guard.Quantile < 1)
		}
		if wrongFreeze == nil {
			freeze.Covers(time.Unix(0, 0))
		}
	})
}
