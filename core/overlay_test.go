package core

import (
	"encoding/json"
	"math"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// overlaid makes an engine with three versions, a rule with a percentage, one without, and the
// rules that are given.
func overlaid(t *testing.T, fields string) *Engine {
	t.Helper()
	e, err := Load([]byte(`{"service": "shop", "stable": "v1", "versions": {"v1": {}, "v2": {}, "v3": {}},
		"identity": ["header X-ID"], ` + fields + `"rules": [
		{"name": "ramp", "version": "v2", "when": ["header X-Kiosk != yes"], "percent": 10},
		{"name": "all", "version": "v3"}]}`))
	require.NoError(t, err)
	return e
}

func TestOverlayForces(t *testing.T) {
	const off = `"enabled": false, `
	force := func(version string) Overlay { return Overlay{Force: version, Reason: "forced " + version} }
	for _, c := range []struct {
		about    string
		fields   string
		overlays []Overlay
		version  string
		reason   string
	}{
		{"nothing", "", nil, "v3", `rule "all" matched`},
		{"the zero value", "", []Overlay{{}}, "v3", `rule "all" matched`},
		{"a version", "", []Overlay{force("v2")}, "v2", "forced v2"},
		{"stable", "", []Overlay{force("v1")}, "v1", "forced v1"},
		{"an unknown version", "", []Overlay{force("v9")}, "v3", `rule "all" matched`},
		{"off", off, nil, "v1", "the policy is not enabled: every request gets the stable version"},
		{"off, outranked", off, []Overlay{force("v2")}, "v2", "forced v2"},
		{"off, and an unknown version", off, []Overlay{force("v9")}, "v1", "the policy is not enabled: every request gets the stable version"},
		{"the last one", "", []Overlay{force("v2"), force("v1")}, "v1", "forced v1"},
		{"force, then changes of rules", "", []Overlay{force("v2"), {Withdrawn: []string{"v3"}, Reason: "withdrawn"}}, "v2", "forced v2"},
		{"changes of rules, then force", "", []Overlay{{Withdrawn: []string{"v3"}, Reason: "withdrawn"}, force("v2")}, "v2", "forced v2"},
		{"without a reason", "", []Overlay{{Force: "v2"}}, "v2", ""},
	} {
		t.Run(c.about, func(t *testing.T) {
			e := overlaid(t, c.fields)
			for _, o := range c.overlays {
				e = e.With(o)
			}
			caller := &Caller{Request: request("/")}
			d := Decide(e, caller)
			assert.Equal(t, c.version, d.Version)
			assert.Equal(t, c.reason, Reason(e, d))
			x := Explain(e, caller)
			assert.Equal(t, []string{c.version, d.Rule, c.reason}, []string{x.Version, x.Rule, x.Reason})
		})
	}
}

// A percentage of an overlay takes the same callers as the same percentage in the policy.
func TestOverlayPercent(t *testing.T) {
	policy := func(ramp, all string) *Engine {
		return engineFor(t, `"identity": ["header X-ID"], "rules": [
			{"name": "ramp", "version": "v2", "salt": "s", "when": ["header X-Kiosk != yes"]`+ramp+`},
			{"name": "all", "version": "v2"`+all+`}]`)
	}
	versions := func(e *Engine) string {
		all := ""
		for i := 0; i < 300; i++ {
			d := Decide(e, &Caller{Request: request("/", "X-ID: "+strconv.Itoa(i), "X-Kiosk: "+map[bool]string{true: "yes"}[i%3 == 0])})
			all += d.Version + d.Rule + " "
		}
		return all
	}
	for _, percent := range []float64{0, 0.5, 10, 62.5, 100} {
		text := `, "percent": ` + strconv.FormatFloat(percent, 'g', -1, 64)
		want := versions(policy(text, text))
		e := policy(`, "percent": 10`, "")
		before := versions(e)
		o := Overlay{Percent: map[string]float64{"ramp": percent, "all": percent}}
		changed := e.With(o)
		assert.Equal(t, want, versions(changed), percent)
		assert.Equal(t, before, versions(e), "the receiver stays as it is")

		changed = e.With(Overlay{Percent: map[string]float64{"ramp": 99, "all": 1}, Withdrawn: []string{"v2"}}).With(o)
		assert.Equal(t, want, versions(changed), "what is put on later replaces all changes of rules")
		o.Percent["ramp"] = 77
		assert.Equal(t, want, versions(changed.With(Overlay{})), "an engine does not share the caller's map")
	}
}

func TestOverlayLeavesOutWhatDoesNotFit(t *testing.T) {
	e := overlaid(t, "")
	for _, percent := range []float64{-1, math.Inf(-1), math.NaN(), math.Inf(1), 100.1, 500} {
		changed := e.With(Overlay{Percent: map[string]float64{"ramp": percent, "nobody": 50}})
		assert.Equal(t, e.rules, changed.rules, percent)
		assert.Empty(t, changed.Overlay().Percent)
	}
	changed := e.With(Overlay{Withdrawn: []string{"v1", "v9", ""}})
	assert.Equal(t, e.rules, changed.rules)
	assert.Empty(t, changed.Overlay().Withdrawn)
}

func TestOverlayReturned(t *testing.T) {
	e := overlaid(t, "")
	assert.Equal(t, Overlay{}, e.Overlay())
	rollout := Overlay{Percent: map[string]float64{"ramp": 5}, Withdrawn: []string{"v3"}, Reason: "step 2"}
	assert.Equal(t, rollout, e.With(rollout).Overlay())
	assert.Equal(t, Overlay{Force: "v1", Percent: rollout.Percent, Withdrawn: rollout.Withdrawn, Reason: "off"},
		e.With(rollout).With(Overlay{Force: "v1", Reason: "off"}).Overlay())
	assert.Equal(t, "v1", overlaid(t, `"enabled": false, `).Overlay().Force)
}

func TestOverlayExplained(t *testing.T) {
	e := overlaid(t, "")
	for _, c := range []struct {
		about   string
		overlay Overlay
		header  string
		want    string
	}{
		{"a percentage", Overlay{Percent: map[string]float64{"ramp": 100}, Reason: "step 5"}, "X-ID: a",
			`{"service": "shop", "version": "v2", "rule": "ramp", "reason": "rule \"ramp\" matched (step 5)", "identity": "a", "identity_source": "header X-ID",
			"rules": [{"rule": "ramp", "version": "v2", "matched": true}]}`},
		{"a percentage that does not decide", Overlay{Percent: map[string]float64{"ramp": 0}, Reason: "step 0"}, "X-ID: a",
			`{"service": "shop", "version": "v3", "rule": "all", "reason": "rule \"all\" matched", "identity": "a", "identity_source": "header X-ID",
			"rules": [{"rule": "ramp", "version": "v2", "matched": false, "bucket": {"percent": 0}}, {"rule": "all", "version": "v3", "matched": true}]}`},
		{"a withdrawn version", Overlay{Percent: map[string]float64{"ramp": 50}, Withdrawn: []string{"v2", "v3"}, Reason: "taken back"}, "X-ID: a",
			`{"service": "shop", "version": "v1", "reason": "no rule matched: the stable version", "identity": "a", "identity_source": "header X-ID",
			"rules": [{"rule": "ramp", "version": "v2", "matched": false, "withdrawn": true,
				"bucket": {"percent": 50, "salt": "shop/v2", "position": "7718483163349492714", "threshold": "9223372036854775808"}},
			{"rule": "all", "version": "v3", "matched": false, "withdrawn": true}]}`},
		{"a withdrawn version of a rule that does not match", Overlay{Withdrawn: []string{"v2"}, Reason: "taken back"}, "X-Kiosk: yes",
			`{"service": "shop", "version": "v3", "rule": "all", "reason": "rule \"all\" matched",
			"rules": [{"rule": "ramp", "version": "v2", "matched": false, "failed": "header X-Kiosk != yes"}, {"rule": "all", "version": "v3", "matched": true}]}`},
	} {
		t.Run(c.about, func(t *testing.T) {
			changed := e.With(c.overlay)
			caller := &Caller{Request: request("/", c.header)}
			x := Explain(changed, caller)
			got, err := json.Marshal(x)
			require.NoError(t, err)
			assert.JSONEq(t, c.want, string(got))
			d := Decide(changed, caller)
			assert.Equal(t, []string{x.Version, x.Rule, x.Reason}, []string{d.Version, d.Rule, Reason(changed, d)})
		})
	}
}

func TestVary(t *testing.T) {
	const secret = `"jwt": {"secret": "0123456789abcdef0123456789abcdef"`
	rule := func(when, percent string) string {
		return `"rules": [{"name": "r", "version": "v2", "when": [` + when + `]` + percent + `}]`
	}
	half := rule("", `, "percent": 50`)
	ramp := Overlay{Percent: map[string]float64{"r": 100}}
	for _, c := range []struct {
		fields  string
		overlay Overlay
		want    []string
	}{
		{rule("", ""), Overlay{}, []string{}},
		{rule(`"not header x-b = 1", "cookie c exists", "header X-A = 1", "query q = 1", "path = /", "host = h", "method = GET", "header Host = h"`, ""), Overlay{},
			[]string{"Cookie", "X-A", "X-B"}},
		{rule(`"baggage k = 1"`, ""), Overlay{}, []string{"Baggage"}},
		{rule(`"ip in 10.0.0.0/8", "header A = 1"`, ""), Overlay{}, []string{"*"}},
		{rule(`"claim sub = a"`, "") + ", " + secret + `}`, Overlay{}, []string{"Authorization"}},
		{rule(`"claim sub = a"`, "") + ", " + secret + `, "header": "x-token"}`, Overlay{}, []string{"X-Token"}},
		{rule(`"claim sub = a"`, "") + ", " + secret + `, "cookie": "t"}`, Overlay{}, []string{"Cookie"}},
		{rule(`"claim sub = a"`, "") + ", " + secret + `, "query": "t"}`, Overlay{}, []string{}},
		{half, Overlay{}, []string{"*"}},
		{rule(`"identity = a"`, ""), Overlay{}, []string{"*"}},
		{rule(`"identity = a"`, "") + `, "identity": ["header X-ID", "cookie uid"]`, Overlay{}, []string{"Cookie", "X-Id"}},
		{half + `, "identity": ["header X-ID"]`, Overlay{}, []string{"X-Id"}},
		{half + `, "identity": ["header X-ID"], "anonymous": "cookie"`, Overlay{}, []string{"Cookie", "X-Id"}},
		{half + `, "identity": ["header X-ID"], "anonymous": "random"`, Overlay{}, []string{"*"}},
		{rule("", `, "percent": 0`) + `, "identity": ["header X-ID"]`, Overlay{}, []string{}},

		{rule("", `, "percent": 0`) + `, "identity": ["header X-ID"]`, ramp, []string{"X-Id"}},
		{rule("", "") + `, "identity": ["header X-ID"], "anonymous": "cookie"`, ramp, []string{"Cookie", "X-Id"}},
		{half + `, "identity": ["header X-ID"]`, Overlay{Percent: map[string]float64{"r": 0}}, []string{"X-Id"}},
		{half + `, "identity": ["header X-ID"]`, Overlay{Force: "v1"}, []string{"X-Id"}},
		{half + `, "identity": ["header X-ID"], "enabled": false`, Overlay{}, []string{"X-Id"}},
		{half + `, "identity": ["header X-ID"]`, Overlay{Withdrawn: []string{"v2"}}, []string{"X-Id"}},
	} {
		assert.Equal(t, c.want, Vary(engineFor(t, c.fields).With(c.overlay)), "%s %+v", c.fields, c.overlay)
	}
}
