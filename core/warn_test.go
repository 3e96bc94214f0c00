package core

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func warningsOf(t *testing.T, fields string) string {
	t.Helper()
	return engineFor(t, fields).Warnings().Error()
}

func TestWarningsOfRules(t *testing.T) {
	const everyone = `{"name": "everybody", "version": "v2"}`
	for name, c := range map[string]struct{ fields, want string }{
		"everyone without a word": {`"rules": [` + everyone + `]`, `rules[0]: rule "everybody" has neither`},
		"everyone in words":       {`"rules": [{"version": "v2", "percent": 100}]`, ""},
		"everyone to stable":      {`"rules": [{"version": "v1"}]`, `rules[0]: rule "rule-1" has neither`},
		"the rule of a rollout": {`"rules": [{"name": "ramp", "version": "v2"}],
			"rollout": {"rule": "ramp", "steps": ["5%"], "guard": []}`, ""},
		"a rollout after everyone": {`"rules": [{"version": "v1", "percent": 100}, {"name": "ramp", "version": "v2"}],
			"rollout": {"rule": "ramp", "steps": ["5%"], "guard": []}`, `rules[1]: rule "ramp" is never reached, since rules[0] ("rule-1")`},
		"a rule after a rollout": {`"rules": [{"name": "ramp", "version": "v2", "percent": 100}, {"version": "v1", "percent": 5}],
			"rollout": {"rule": "ramp", "steps": ["5%"], "guard": []}`, ""},
		"after everyone":       {`"rules": [{"version": "v2", "percent": 100}, {"version": "v1", "percent": 5}]`, "rules[1]: rule \"rule-2\" is never reached"},
		"after most":           {`"rules": [{"version": "v2", "percent": 99}, {"version": "v1", "percent": 5}]`, ""},
		"switched off":         {`"rules": [{"version": "v2", "percent": 100}, {"version": "v1", "percent": 0}]`, ""},
		"a smaller percentage": {`"rules": [{"version": "v2", "percent": 9}, {"version": "v2", "percent": 5}]`, "rules[1]: "},
		"a larger percentage":  {`"rules": [{"version": "v2", "percent": 5}, {"version": "v2", "percent": 9}]`, ""},
		"another salt":         {`"rules": [{"version": "v2", "percent": 9}, {"version": "v2", "percent": 5, "salt": "x"}]`, ""},
	} {
		got := warningsOf(t, c.fields)
		if c.want == "" {
			assert.Empty(t, got, name)
			continue
		}
		assert.True(t, strings.HasPrefix(got, c.want), "%s: %s", name, got)
		assert.NotContains(t, got, "\n", name)
	}
}

// What follows an equal or a wider condition is never reached; what may be is not called so.
func TestWarningsOfShadowedConditions(t *testing.T) {
	for _, c := range []struct {
		early, late string
		isShadowed  bool
	}{
		{`header X = a`, `header x = a`, true},
		{`header X = a`, `header X = b`, false},
		{`header X = a`, `header Y = a`, false},
		{`header X in a, b`, `header X = a`, true},
		{`header X = a`, `header X in a, b`, false},
		{`header X exists`, `header X prefix a`, true},
		{`header X prefix a`, `header X prefix ab`, true},
		{`header X prefix ab`, `header X prefix a`, false},
		{`header X prefix a`, `header X in abc, axe`, true},
		{`header X contains a`, `header X suffix bab`, true},
		{`header X semver >=2`, `header X = 2.1`, true},
		{`not header X = a`, `not header X in a, b`, true},
		{`not header X in a, b`, `not header X = a`, false},
		{`not header X = a`, `header X = b`, false}, // a caller may send both
		{`path != /a`, `path = /b`, true},
		{`ip in 10.0.0.0/8`, `ip in 10.1.0.0/16, 10.2.3.4`, true},
		{`ip in 10.0.0.0/16`, `ip in 10.1.0.0/16`, false},
		{`query q matches a+`, `query q matches a+`, true},
	} {
		early, err := json.Marshal(c.early)
		require.NoError(t, err)
		late, err := json.Marshal(c.late)
		require.NoError(t, err)
		got := warningsOf(t, fmt.Sprintf(`"rules": [{"version": "v2", "when": [%s]}, {"version": "v1", "when": [%s, "cookie c = 1"]}]`, early, late))
		assert.Equal(t, c.isShadowed, strings.Contains(got, "rules[1]: rule \"rule-2\" is never reached"), "%s, %s: %s", c.early, c.late, got)
	}
}

func TestWarningsOfContradictions(t *testing.T) {
	for _, c := range []struct {
		first, second string
		is            bool
	}{
		{`method = GET`, `method = POST`, true},
		{`method in GET, HEAD`, `method != GET`, false},
		{`path prefix /a`, `path = /b`, true},
		{`header X = a`, `header X = b`, false},
		{`header X = a`, `header X != a`, true},
		{`header X exists`, `not header X exists`, true},
		{`not header X exists`, `header X != a`, false},
	} {
		got := warningsOf(t, fmt.Sprintf(`"rules": [{"version": "v2", "when": [%q, %q]}]`, c.first, c.second))
		assert.Equal(t, c.is, strings.Contains(got, "takes nobody"), "%s, %s: %s", c.first, c.second, got)
	}
}

func TestWarningsOfOperands(t *testing.T) {
	for line, want := range map[string]string{
		`header X = 'a'`:              `column 12: the quotes of 'a' are part of the text: write a`,
		"header X = `a`":              "are part of the text: write a",
		`header X = “a”`:              "are part of the text: write a",
		`header X in 'a', b`:          "column 13: ",
		`header X = "'a'"`:            "",
		`header X in a b c`:           "write in a, b, c",
		`header X in New York, Rio`:   "",
		`header X in "a b c"`:         "",
		`header X = a b`:              "",
		`header X = @vip`:             "write in @vip",
		`header X = @other`:           "",
		`header X = a or b`:           `column 14: "or" joins no conditions`,
		`header X = salt and pepper`:  `column 17: "and" joins no conditions`,
		`header X prefix a or b`:      "",
		`method = get`:                "write GET",
		`method = GET`:                "",
		`method = purge`:              "",
		`path = /a%20b`:               "decoded already",
		`query q = a%20b`:             "decoded already",
		`header X = a%20b`:            "",
		`path = /a?b=1`:               "ask for parameters by query NAME",
		`path = /api/*`:               "write path prefix /api/",
		`path matches ^api`:           "write ^/api",
		`path matches ^/api`:          "",
		`cookie prefs = {"beta":1}`:   "",
		`host matches ^Shop\.`:        "in small letters",
		`header Host matches Api|b`:   "in small letters",
		`host matches (?i)^Shop\.`:    "",
		`host matches ^[A-Za-z]\S\pL`: "",
	} {
		text, err := json.Marshal(line)
		require.NoError(t, err)
		got := warningsOf(t, `"lists": {"vip": ["/a"]}, "rules": [{"version": "v2", "when": [`+string(text)+`]}]`)
		if want == "" {
			assert.Empty(t, got, line)
			continue
		}
		assert.Contains(t, got, want, line)
		assert.True(t, strings.HasPrefix(got, "rules[0].when[0]: "), got)
	}
}

// The number of rules does not make checking them expensive.
func TestWarningsOfManyRules(t *testing.T) {
	var rules []string
	for i := 0; i < 10000; i++ {
		rules = append(rules, fmt.Sprintf(`{"version": "v2", "when": ["header X = %d"]}`, i))
	}
	rules = append(rules, `{"version": "v1", "percent": 100}`, `{"version": "v2", "percent": 1}`)
	got := warningsOf(t, `"rules": [`+strings.Join(rules, ",")+`]`)
	assert.Contains(t, got, `rules[10001]: rule "rule-10002" is never reached, since rules[10000]`)
}
