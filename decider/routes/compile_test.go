package routes

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
)

func planOf(t *testing.T, weights bool, rules string) *Plan {
	t.Helper()
	e, err := core.Load([]byte(`{"service": "shop", "stable": "v1", "identity": ["cookie uid"],
		"versions": {"v1": {}, "v2": {}, "v3": {}}, "lists": {"vip": ["a"]}, "rules": [` + rules + `]}`))
	require.NoError(t, err)
	plan, err := Compile(e, Options{Weights: weights})
	require.NoError(t, err)
	return plan
}

// routesOf is a plan's routes, a line each.
func routesOf(p *Plan) []string {
	var all []string
	for _, r := range p.Routes {
		var shares []string
		for _, s := range r.Shares {
			shares = append(shares, fmt.Sprint(s.Version, " ", s.Weight))
		}
		all = append(all, fmt.Sprintf("%s: %s -> %s", r.Name, written(r.Match), strings.Join(shares, ", ")))
	}
	return all
}

// Whom a percentage does not take is for the rules after it, and rules with one salt ask about one
// position.
func TestProducts(t *testing.T) {
	for rules, want := range map[string][]string{
		`{"name": "a", "version": "v2", "percent": 10}, {"name": "b", "version": "v3", "percent": 50}`: {
			"a, b:  -> v2 10, v3 45, v1 45"},
		`{"name": "a", "version": "v2", "percent": 10}, {"name": "b", "version": "v2", "percent": 50}`: {
			"a, b:  -> v2 50, v1 50"}, // one position
		`{"name": "a", "version": "v2", "percent": 50}, {"name": "b", "version": "v2", "percent": 10}`: {
			"a, b:  -> v2 50, v1 50"},
		`{"name": "a", "version": "v2", "percent": 10}, {"name": "b", "version": "v2", "percent": 50, "salt": "x"}`: {
			"a, b:  -> v2 55, v1 45"},
		`{"name": "a", "version": "v2", "percent": 10, "when": ["header A = 1"]}, {"name": "b", "version": "v3",
			"when": ["header B = 1"]}`: {
			"a, b: header a = 1; header b = 1 -> v2 10, v3 90",
			"a: header a = 1 -> v2 10, v1 90",
			"b: header b = 1 -> v3 100",
			":  -> v1 100"},
		// A header has one value, so both together are nothing.
		`{"name": "a", "version": "v2", "percent": 10, "when": ["header A = 1"]}, {"name": "b", "version": "v3",
			"when": ["header A = 2"]}`: {
			"a: header a = 1 -> v2 10, v1 90", "b: header a = 2 -> v3 100", ":  -> v1 100"},
		`{"name": "a", "split": {"v2": 20, "v3": 30}}, {"name": "b", "version": "v3", "percent": 50}`: {
			"a, b:  -> v2 20, v3 55, v1 25"},
		`{"name": "a", "version": "v2", "percent": 0.5}`:    {"a:  -> v2 5, v1 995"},
		`{"name": "a", "version": "v2", "percent": 100}`:    {"a:  -> v2 100"},
		`{"name": "a", "version": "v2", "percent": 0}`:      {":  -> v1 100"},
		`{"name": "a", "version": "v1", "percent": 50}`:     {"a:  -> v1 100"},
		`{"name": "a", "version": "v2", "percent": 1e-7}`:   {"a:  -> v2 0, v1 1000000"},
		`{"name": "a", "version": "v2", "percent": 33.333}`: {"a:  -> v2 33333, v1 66667"},
	} {
		p := planOf(t, true, rules)
		assert.Equal(t, want, routesOf(p), rules)
		assert.False(t, p.AsksServer)
	}
}

// A rule that needs the server takes all after it there, and percentages with it.
func TestWays(t *testing.T) {
	ways := func(p *Plan) string {
		var all []string
		for _, r := range p.Rules {
			all = append(all, string(r.Way))
		}
		return strings.Join(all, " ")
	}
	const head, list, ramp, header = `{"version": "v2", "when": ["header A = 1"]}`,
		`{"version": "v2", "when": ["identity in @vip"]}`, `{"version": "v2", "percent": 5}`,
		`{"version": "v3", "when": ["header B = 1"]}`
	for _, c := range []struct {
		weights bool
		rules   []string
		want    string
	}{
		{false, []string{head, header}, "route route"},
		{false, []string{head, ramp, header}, "route ext_authz ext_authz"},
		{true, []string{head, ramp, header}, "route weights route"},
		{true, []string{head, header, ramp}, "route route weights"},
		{true, []string{head, list, header, ramp}, "route ext_authz ext_authz ext_authz"},
		{true, []string{ramp, list}, "ext_authz ext_authz"},
		{true, []string{head, ramp, list}, "route ext_authz ext_authz"},
		{true, []string{`{"version": "v2"}`, head}, "route nothing"},
	} {
		rules := strings.Join(c.rules, ", ")
		p := planOf(t, c.weights, rules)
		assert.Equal(t, c.want, ways(p), rules)
		for _, r := range p.Rules {
			assert.Equal(t, r.Way == ByServer || r.Way == ByNothing, r.Why != "", "%+v", r)
			assert.Equal(t, r.Way == ByWeights, len(r.Lost) > 0, "%+v", r)
		}
	}
}

// Percentages that split too much go to the server, and rules without stay routes.
func TestTooManyRoutes(t *testing.T) {
	var rules []string
	for i := range 12 {
		rules = append(rules, fmt.Sprintf(`{"version": "v2", "percent": 5, "when": ["header A%d = 1"]}`, i))
	}
	p := planOf(t, true, strings.Join(rules, ", "))
	assert.True(t, p.AsksServer)
	text, err := json.Marshal(p.Rules)
	require.NoError(t, err)
	assert.Contains(t, string(text), "more than 128 routes")

	rules = nil
	for i := range 300 {
		rules = append(rules, fmt.Sprintf(`{"version": "v2", "when": ["header A = %d"]}`, i))
	}
	p = planOf(t, true, strings.Join(rules, ", "))
	assert.False(t, p.AsksServer)
	assert.Len(t, p.Routes, 301)
}

// The rule of a rollout has a route with both versions, where its percentage will be.
func TestRampAtNothing(t *testing.T) {
	e, err := core.Load([]byte(`{"service": "shop", "stable": "v1", "versions": {"v1": {}, "v2": {}},
		"rules": [{"name": "ramp", "version": "v2"}], "rollout": {"rule": "ramp", "steps": ["100%"], "guard": []}}`))
	require.NoError(t, err)
	plan, err := Compile(e, Options{Weights: true})
	require.NoError(t, err)
	assert.Equal(t, []string{"ramp:  -> v2 0, v1 100"}, routesOf(plan))
}

func TestSharesOf(t *testing.T) {
	assert.Equal(t, []Share{{"v2", 125}, {"v1", 875}}, SharesOf(12.5, "v2", "v1"))
	assert.Equal(t, []Share{{"v2", 0}, {"v1", 100}}, SharesOf(0, "v2", "v1"))
	assert.Equal(t, []Share{{"v2", 100}, {"v1", 0}}, SharesOf(100, "v2", "v1"))
}
