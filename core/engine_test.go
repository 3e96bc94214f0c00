package core

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core/problem"
)

func TestEngine(t *testing.T) {
	e := engineFor(t, `"rules": [{"version": "v2", "percent": 0}, {"name": "b", "version": "v2", "percent": 0}, {"version": "v1"}], "header": "x-v"`)
	assert.Equal(t, "shop", e.Service())
	assert.Equal(t, "v1", e.Stable())
	assert.True(t, e.Enabled())
	assert.Equal(t, "X-V", e.Header())
	assert.Equal(t, []string{"rule-1", "b", "rule-3"}, e.RuleNames())
	assert.Equal(t, map[string]Version{"v1": {}, "v2": {}}, e.Versions())
	assert.False(t, engineFor(t, `"enabled": false`).Enabled())
}

func TestKillSwitch(t *testing.T) {
	e := engineFor(t, `"enabled": false, "rules": [{"version": "v2"}]`)
	assert.Equal(t, "v1", Decide(e, &Caller{Request: request("/")}).Version)
}

// Rules on one header are looked up together; that must not change which one decides.
func TestIndexedRulesKeepTheirOrder(t *testing.T) {
	e := engineFor(t, `"identity": ["header X-ID"], "rules": [
		{"name": "0", "version": "v2", "when": ["header X-A = a", "header X-B = b"]},
		{"name": "1", "version": "v2", "when": ["header X-A in a, b", "method = POST"]},
		{"name": "2", "version": "v2", "when": ["header X-A = b"], "percent": 50},
		{"name": "3", "version": "v1", "when": ["header X-A = c"]},
		{"name": "4", "version": "v2", "when": ["header X-A in c, b, a", "header X-B = b"]},
		{"name": "5", "version": "v2", "when": ["header X-A in a, b", "not header X-B = c"]},
		{"name": "6", "version": "v2", "when": ["header X-B = x"]},
		{"name": "7", "version": "v2", "when": ["header X-A = a"]}]`)
	for _, c := range []struct {
		headers string
		rule    string
	}{
		{"X-A: a|X-B: b", "0"},
		{"X-B: b|X-A: z|X-A: a", "0"},
		{"X-A: b|X-ID: a", "2"}, // in the lower half, as TestBucketsStayAsTheyAre has it
		{"X-A: b|X-ID: b", "5"},
		{"X-A: b|X-ID: b|X-B: b", "4"},
		{"X-A: c|X-B: b", "3"},
		{"X-A: a|X-A: c", "3"},
		{"X-A: a", "5"},
		{"X-A: a|X-B: c", "7"},
		{"X-A: a|X-B: c|X-B: x", "6"},
		{"X-B: x", "6"},
		{"X-A: z|X-B: x", "6"},
		{"X-A: z", ""},
		{"", ""},
	} {
		r := request("/")
		for _, h := range strings.Split(c.headers, "|") {
			if name, value, ok := strings.Cut(h, ": "); ok {
				r.Header.Add(name, value)
			}
		}
		assert.Equal(t, c.rule, Decide(e, &Caller{Request: r}).Rule, c.headers)
		assert.Equal(t, c.rule, Explain(e, &Caller{Request: r}).Rule, c.headers)
	}
}

func TestNewReportsEverything(t *testing.T) {
	_, err := New(&Policy{})
	var problems problem.List
	require.ErrorAs(t, err, &problems)
	assert.GreaterOrEqual(t, len(problems), 3)

	percent := 101.0
	_, err = New(&Policy{
		Service: "a\x00", Stable: "v3", Versions: map[string]Version{"v 1": {}},
		Rules: []Rule{{Name: strings.Repeat("x", 129), Version: "v9", When: []string{"claim sub = 1"}, Percent: &percent}},
	})
	require.ErrorAs(t, err, &problems)
	for _, path := range []string{"service", "stable", `versions["v 1"]`, "rules[0].name", "rules[0].version", "rules[0].when[0]", "rules[0].percent"} {
		assert.True(t, strings.Contains(err.Error(), path+": "), "%s in\n%v", path, err)
	}
}

// A list of addresses is prepared once, however many conditions share it.
func TestConditionsShareLists(t *testing.T) {
	e := engineFor(t, `"lists": {"office": ["10.0.0.0/8"]}, "rules": [
		{"version": "v2", "when": ["ip in @office", "method = GET"]}, {"version": "v2", "when": ["not ip in @office", "header X in @office"]}]`)
	first, second := e.rules[0].conditions[0], e.rules[1].conditions[0]
	assert.NotNil(t, first.nets)
	assert.Same(t, first.nets, second.nets)
	assert.Equal(t, "v2", Decide(e, &Caller{Request: request("/"), Client: "10.1.2.3"}).Version)
	assert.Equal(t, "v1", Decide(e, &Caller{Request: request("/"), Client: "11.1.2.3"}).Version)
	assert.Equal(t, "v2", Decide(e, &Caller{Request: request("/", "X: 10.0.0.0/8"), Client: "11.1.2.3"}).Version)
}
