package core

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// listsForTests are what @names refer to.
var listsForTests = map[string]*list{
	"vip":    {values: []string{"u-1", "u-2"}, set: map[string]bool{"u-1": true, "u-2": true}},
	"office": {values: []string{"10.0.0.0/8", "::1"}, set: map[string]bool{"10.0.0.0/8": true, "::1": true}},
}

func set(values ...string) map[string]bool {
	m := map[string]bool{}
	for _, v := range values {
		m[v] = true
	}
	return m
}

func TestParseCondition(t *testing.T) {
	for _, c := range []struct {
		line    string
		kind    attributeKind
		key     string
		negated bool
		op      string
		operand string
		set     map[string]bool
	}{
		{line: `header X-App = beta`, kind: fromHeader, key: "X-App", op: "=", set: set("beta")},
		{line: `header x-app = beta`, kind: fromHeader, key: "X-App", op: "=", set: set("beta")},
		{line: `  header	X-App   =	 beta  `, kind: fromHeader, key: "X-App", op: "=", set: set("beta")},
		{line: `not header X-App = beta`, kind: fromHeader, key: "X-App", negated: true, op: "=", set: set("beta")},
		{line: `header X-App != beta`, kind: fromHeader, key: "X-App", negated: true, op: "=", set: set("beta")},
		{line: `not header X-App != beta`, kind: fromHeader, key: "X-App", op: "=", set: set("beta")},
		{line: `header X-App = beta two  three`, kind: fromHeader, key: "X-App", op: "=", set: set("beta two  three")},
		{line: `header X-App = a, b`, kind: fromHeader, key: "X-App", op: "=", set: set("a, b")},
		{line: `header X-App = ""`, kind: fromHeader, key: "X-App", op: "=", set: set("")},
		{line: `header X-App = " a "`, kind: fromHeader, key: "X-App", op: "=", set: set(" a ")},
		{line: `header X-App = "a \"b\" \\ \n"`, kind: fromHeader, key: "X-App", op: "=", set: set(`a "b" \ \n`)},
		{line: `header X-App = a"b"`, kind: fromHeader, key: "X-App", op: "=", set: set(`a"b"`)},
		{line: `header "X-App" = beta`, kind: fromHeader, key: "X-App", op: "=", set: set("beta")},
		{line: `header Host = a.example`, kind: fromAuthority, key: "Host", op: "=", set: set("a.example")},
		{line: `header not = not`, kind: fromHeader, key: "Not", op: "=", set: set("not")},
		{line: `query "a b" exists`, kind: fromQuery, key: "a b", op: "exists"},
		{line: `query in in in`, kind: fromQuery, key: "in", op: "in", set: set("in")},
		{line: `header X-App in a`, kind: fromHeader, key: "X-App", op: "in", set: set("a")},
		{line: `header X-App in a,b ,  c`, kind: fromHeader, key: "X-App", op: "in", set: set("a", "b", "c")},
		{line: `header X-App in "a, b", c, "", "@d"`, kind: fromHeader, key: "X-App", op: "in", set: set("a, b", "c", "", "@d")},
		{line: `header X-App in @vip`, kind: fromHeader, key: "X-App", op: "in", set: set("u-1", "u-2")},
		{line: `header X-App = @vip`, kind: fromHeader, key: "X-App", op: "=", set: set("@vip")},
		{line: `path prefix /a b`, kind: fromPath, op: "prefix", operand: "/a b"},
		{line: `path suffix ".html"`, kind: fromPath, op: "suffix", operand: ".html"},
		{line: `host contains x`, kind: fromHost, op: "contains", operand: "x"},
		{line: `method != GET`, kind: fromMethod, negated: true, op: "=", set: set("GET")},
		{line: `identity exists`, kind: fromIdentity, op: "exists"},
		{line: `not ip exists`, kind: fromIP, negated: true, op: "exists"},
		{line: `baggage gray = v2`, kind: fromBaggage, key: "gray", op: "=", set: set("v2")},
	} {
		t.Run(c.line, func(t *testing.T) {
			got, problem := parseCondition(c.line, listsForTests)
			require.Nil(t, problem)
			assert.Equal(t, c.kind, got.attribute.kind)
			assert.Equal(t, c.key, got.attribute.key)
			assert.Equal(t, c.negated, got.negated)
			assert.Equal(t, c.op, got.op)
			assert.Equal(t, c.operand, got.operand)
			assert.Equal(t, c.set, got.set)
			assert.Equal(t, c.line, got.text)
		})
	}
}

func TestParseConditionProblems(t *testing.T) {
	for _, c := range []struct {
		line    string
		column  int
		message string
	}{
		{``, 1, `an attribute is required`},
		{`   `, 4, `an attribute is required`},
		{`not`, 4, `an attribute is required`},
		{`hedaer X = 1`, 1, `unknown attribute "hedaer" (did you mean "header"?)`},
		{`not cokie a = 1`, 5, `unknown attribute "cokie" (did you mean "cookie"?)`},
		{`"header" X = 1`, 1, `unknown attribute "header"`},
		{`header`, 7, `the name of the header is required`},
		{`header "" = 1`, 8, `the name of the header is required`},
		{`header X:Y = 1`, 8, `"X:Y" is not a valid header name`},
		{`header Ü = 1`, 8, `"Ü" is not a valid header name`},
		{`cookie "a;b" = 1`, 8, `"a;b" is not a valid cookie name`},
		{`cookie "a=b" = 1`, 8, `"a=b" is not a valid cookie name`},
		{`cookie " a" = 1`, 8, `" a" is not a valid cookie name`},
		{`header X-App`, 13, `an operator is required`},
		{`header Ünï`, 8, `is not a valid header name`},
		{`query Ünï prefx be`, 11, `unknown operator "prefx" (did you mean "prefix"?)`},
		{`cookie = = =`, 8, `"=" is not a valid cookie name`},
		{`path contains "" ""`, 18, `text after the closing quote`},
		{`header X "=" a`, 10, `unknown operator "="`},
		{`header X IN a`, 10, `unknown operator "IN" (did you mean "in"?)`},
		{`header X == a`, 10, `unknown operator "=="`},
		{`path =`, 7, `the operand of = is required`},
		{`path in   `, 11, `the operand of in is required`},
		{`path = "a`, 8, `does not end`},
		{`path = "a" b`, 12, `text after the closing quote`},
		{`path in "a" b, c`, 13, `text after the closing quote`},
		{`path in /a,,b`, 12, `empty element`},
		{`path in /a,`, 12, `empty element`},
		{`path in /a, @vip`, 13, `"@vip" among other elements`},
		{`path in @vp`, 9, `unknown list "@vp" (did you mean "vip"?)`},
		{`path exists yes`, 13, `nothing may follow exists`},
		{`path matches a(`, 14, `not a valid regular expression`},
		{`path matches (?=a)`, 14, `not a valid regular expression`},
		{`query n < ten`, 11, `"ten" is not a valid decimal number`},
		{`query n >= 1e3`, 12, `"1e3" is not a valid decimal number`},
		{`header V semver >=1 <2.x`, 21, `"<2.x" is not a valid version`},
		{`header V semver ^^1`, 17, `unknown comparison "^^"`},
		{`header V semver ""`, 17, `a version to compare with is required`},
		{`ip = 10.0.0.300`, 6, `is not a valid address or prefix`},
		{`ip in 10.0.0.0/8, 10.0.0.0/33`, 19, `"10.0.0.0/33" is not a valid address or prefix`},
		{`ip in @vip`, 7, `list "@vip" holds "u-1"`},
		{`ip x = 1`, 4, `unknown operator "x"`},
		{`header X = a and header X = b`, 14, `"and" joins no conditions: write each condition on a line of its own`},
		{`header X = a AND not path = /b`, 14, `"AND" joins no conditions`},
		{`header X in a, b or cookie c exists`, 18, `"or" joins no conditions: write a rule for each condition`},
		{`header X = a || b`, 14, `"||" joins no conditions: write a rule for each condition, or header X in a, b`},
		{`header X = a && header Y = b`, 14, `"&&" joins no conditions`},
		{`header X = {path}`, 12, `"{path}" would be compared as it is written`},
		{`header X = ${NAME}`, 12, `"{NAME}" would be compared`},
		{`header X matches {http.request.host}`, 18, `would be compared`},
		{`header X=a`, 8, `write spaces around the operator: header X = a`},
		{`header X!=a`, 8, `write spaces around the operator: header X != a`},
		{`path=/a`, 1, `write spaces around the operator: path = /a`},
		{`header X =a`, 10, `unknown operator "=a": write a space after =`},
		{`path = checkout`, 8, `paths begin with a slash: write /checkout`},
		{`path = "checkout"`, 8, `paths begin with a slash`},
		{`path prefix api/`, 13, `paths begin with a slash: write /api/`},
		{`path = https://example.com/a`, 8, `paths begin with a slash: write /a`},
		{`path in /a, b`, 13, `paths begin with a slash: write /b`},
		{`path in @vip`, 9, `list "@vip": "u-1" is not the beginning of a path`},
		{`host = example.com:8480`, 8, `has a port, and host has none: write example.com, or ask for both by header Host`},
		{`host suffix .example.com:80`, 13, `has a port`},
		{`host in a.example, https://b.example/x`, 20, `neither a scheme nor a path: write b.example`},
		{`host = *.example.com`, 8, `write suffix .example.com`},
		{`host = [::1]`, 8, `write ::1`},
		{`method in GET POST`, 11, `"GET POST" is not a valid method: write in GET, POST`},
		{`ip in 10.0.0.1 10.0.0.2`, 7, `write in 10.0.0.1, 10.0.0.2`},
		{`cookie uid = a;b`, 14, `has a semicolon`},
	} {
		t.Run(c.line, func(t *testing.T) {
			_, problem := parseCondition(c.line, listsForTests)
			require.NotNil(t, problem)
			p := problem.problem("when", c.line)
			assert.Contains(t, p.Message, c.message)
			assert.Equal(t, c.column, p.Column)
		})
	}
}

func TestConditionHolds(t *testing.T) {
	long := strings.Repeat("a", maxValue)
	for _, c := range []struct {
		operator string // and operand
		holds    []string
		fails    []string
	}{
		{`= a`, []string{"a"}, []string{"A", "", " a", "aa", "a\x00"}},
		{`= ""`, []string{""}, []string{" "}},
		{`in a, b`, []string{"a", "b"}, []string{"", "a, b", "ab", "c"}},
		{`prefix ab`, []string{"ab", "abc"}, []string{"a", "xab", "AB", "ab\xff"}},
		{`suffix ab`, []string{"ab", "xab"}, []string{"b", "abx", "\xffab"}},
		{`contains ab`, []string{"ab", "xabx"}, []string{"a b", "", "ab\xc3"}},
		{`prefix ""`, []string{"", "x"}, []string{"\xff", long + "a"}},
		{`matches ^a+$`, []string{"a", "aaa", long}, []string{"", "ba", long + "a"}},
		{`matches b`, []string{"abc"}, []string{"aBc", "b\xff"}},
		{`matches (?i)^É$`, []string{"é", "É"}, []string{"e"}},
		{`exists`, []string{"", "x", long}, []string{"\xff", long + "a"}},
		{`< 10`, []string{"9.99", "-10", "0", "+9", "009"}, []string{"10", "10.0", "", "nine", "1e0", " 9", "9 ", ".5", "5."}},
		{`<= 10`, []string{"10", "10.000", "9"}, []string{"10.0001", "-"}},
		{`> 10`, []string{"10.01", "11", "99999999999999999999999"}, []string{"10", "9", "0x11"}},
		{`>= -1.5`, []string{"-1.5", "-1.50", "-1.4", "0"}, []string{"-1.51", "-2"}},
		{`semver >=2.3.0 <3`, []string{"2.3.0", "v2.3", "2.99.0", "3.0.0-rc.1"}, []string{"2.2.9", "3", "2.3.0-rc.1", "two", "", "2.3.0.1"}},
	} {
		t.Run(c.operator, func(t *testing.T) {
			cond, problem := parseCondition("header X "+c.operator, nil)
			require.Nil(t, problem)
			for _, v := range c.holds {
				assert.True(t, cond.holdsFor(v), "%.20q", v)
			}
			for _, v := range c.fails {
				assert.False(t, cond.holdsFor(v), "%.20q", v)
			}
		})
	}
}

// What could never be a value must not be found in a set either, however the set came about.
func TestSetsHoldOnlyWhatCanBeAValue(t *testing.T) {
	tooLong := strings.Repeat("a", maxValue+1)
	for name, value := range map[string]string{"no UTF-8": "a\xff", "too long": tooLong} {
		for _, list := range []string{"in @list", "in a, " + value, "= " + value} {
			p := Policy{
				Service: "shop", Stable: "v1", Versions: map[string]Version{"v1": {}, "v2": {}},
				Rules: []Rule{{Version: "v2", When: []string{"header X " + list}}},
				Lists: map[string][]string{"list": {"a", value}},
			}
			e, err := New(&p)
			require.NoError(t, err)
			for _, headers := range [][]string{{"X: " + value}, {"X: " + value, "X: other"}} {
				assert.Equal(t, "v1", Decide(e, &Caller{Request: request("/", headers...)}).Version, "%s %.10s", name, list)
			}
		}
	}
}

func TestIsOperator(t *testing.T) {
	for _, word := range operatorWords {
		assert.True(t, IsOperator(word), word)
	}
	for _, word := range []string{"", "prefx", "not", "header", "=="} {
		assert.False(t, IsOperator(word), word)
	}
}
