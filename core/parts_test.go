package core

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/internal/casetest"
)

func TestConditionParts(t *testing.T) {
	for line, want := range map[string]ConditionParts{
		`header x-app-version = beta`: {Attribute: "header", Key: "X-App-Version", Operator: "=", Operands: []string{"beta"}},
		`header Host != a:80`:         {Not: true, Attribute: "header", Key: "Host", Operator: "=", Operands: []string{"a:80"}},
		`not header A != b`:           {Attribute: "header", Key: "A", Operator: "=", Operands: []string{"b"}},
		`not cookie uid exists`:       {Not: true, Attribute: "cookie", Key: "uid", Operator: "exists"},
		`path in "/a,b", /c`:          {Attribute: "path", Operator: "in", Operands: []string{"/a,b", "/c"}},
		`identity in @vip`:            {Attribute: "identity", Operator: "in", List: "vip"},
		`header A = ""`:               {Attribute: "header", Key: "A", Operator: "=", Operands: []string{""}},
		`{http.auth.user.id} = ann`:   {Attribute: "{http.auth.user.id}", Operator: "=", Operands: []string{"ann"}},
		`header A semver >=2.3.0 <3`:  {Attribute: "header", Key: "A", Operator: "semver", Operands: []string{">=2.3.0 <3"}},
	} {
		got, err := ParseCondition(line)
		require.NoError(t, err, line)
		assert.Equal(t, want, got, line)
	}
	for line, message := range map[string]string{
		`header A`:           "column 9: an operator is required",
		`header A = `:        "the operand of = is required",
		`header A in a,,b`:   "empty element",
		`path = checkout`:    "paths begin with a slash",
		`header A exists x`:  "nothing may follow exists",
		`header A matches (`: "not a valid regular expression",
		``:                   "an attribute is required",
	} {
		_, err := ParseCondition(line)
		assert.ErrorContains(t, err, message, line)
	}
}

// What String writes is read as the same parts, for every condition of the shared cases.
func TestConditionPartsRoundTrip(t *testing.T) {
	files, err := casetest.Load("../testdata/cases")
	require.NoError(t, err)
	lines := []string{`header A = " x"`, `header A = '"a"'`, `header A in "@a", b`, `header A = "{path}"`,
		`method = "get"`, `header A = "a and b"`, `header A contains "a\\b\"c"`, `cookie "a b" = c`}
	for _, f := range files {
		for _, g := range f.Groups {
			var p Policy
			require.NoError(t, json.Unmarshal(g.Policy, &p))
			for _, r := range p.Rules {
				lines = append(lines, r.When...)
			}
		}
	}
	for _, line := range lines {
		want, err := partsOf(line)
		require.Nil(t, err, line)
		got, err := partsOf(want.String())
		require.Nil(t, err, want.String())
		assert.Equal(t, want, got, line)
	}
}
