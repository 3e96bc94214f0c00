package routes

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
)

// written is a match as one line.
func written(m *Match) string {
	var parts []string
	for part, text := range m.atoms() {
		kind := []string{"=", "prefix", "~", "exists", "under"}[text.Kind]
		parts = append(parts, fmt.Sprintf("%s %s %s", part, kind, text.Value))
	}
	slices.Sort(parts)
	return strings.Join(parts, "; ")
}

// What a condition is as a match, and back; or why it is none.
func TestMatchOf(t *testing.T) {
	for line, want := range map[string]string{
		`header X-Tag = beta`:                        "header x-tag = beta",
		`header X-Tag = ""`:                          "header x-tag = ",
		`header X-Tag in a.b, c|d`:                   `header x-tag ~ a\.b|c\|d`,
		`header X-Tag prefix be`:                     "header x-tag prefix be",
		`header X-Tag suffix "a*"`:                   `header x-tag ~ .*a\*`,
		`header X-Tag contains b`:                    "header x-tag ~ .*b.*",
		`header X-Tag matches ^b|c$`:                 "header x-tag ~ .*(?:^b|c$).*",
		`header X-Tag matches ^(?:b+|c)$`:            "header x-tag ~ b+|c",
		`header X-Tag exists`:                        "header x-tag exists ",
		`header X-Tag != beta`:                       "without x-tag = beta",
		`not header X-Tag exists`:                    "without x-tag exists ",
		`method = GET`:                               "method = GET",
		`method != GET`:                              "without :method = GET",
		`path = /cart`:                               "path = /cart",
		`path prefix /cart`:                          "path prefix /cart",
		`path in /a, /b`:                             "path ~ /a|/b",
		`path suffix .png`:                           `path ~ .*\.png`,
		`path matches ^(?:/a(?:/.*)?)$`:              "path under /a",
		`not path prefix /cart`:                      "without :path prefix /cart",
		`not path = /cart`:                           `without :path ~ (?:/cart)(?:\?.*)?`,
		`not path suffix .png`:                       `without :path ~ (?:[^?]*\.png)(?:\?.*)?`,
		`host = a.example`:                           `authority ~ (?i)(?:a\.example\.?)(?::[^:]*)?`,
		`host suffix .example`:                       `authority ~ (?i)[^:]*(?:\.example\.?)(?::[^:]*)?`,
		`host != a.example`:                          `without :authority ~ (?i)(?:a\.example\.?)(?::[^:]*)?`,
		`header Host = a.example:80`:                 `authority ~ (?i)(?:a\.example\.?:80)`,
		`cookie uid = a`:                             `header cookie ~ (?:.*;)?[ \t]*uid[ \t]*=(?:a|"a")[ \t]*(?:;.*)?`,
		`not cookie uid exists`:                      `without cookie ~ (?:.*;)?[ \t]*uid[ \t]*=.*`,
		`cookie uid in a, b`:                         `header cookie ~ (?:.*;)?[ \t]*uid[ \t]*=(?:a|"a"|b|"b")[ \t]*(?:;.*)?`,
		`not header X-Tag = ""`:                      "!takes an absent header for an empty one",
		`not header X-Tag matches a*`:                "!takes an absent header for an empty one",
		`header X-Gray-Version = v2`:                 "!only a trusted peer's value counts",
		`header Baggage contains x`:                  "!only a trusted peer's value counts",
		`header Uri = x`:                             "!Istio reserves this name",
		`header X-Tag < 5`:                           "!does not compare numbers",
		`header X-Tag semver >=1`:                    "!does not compare versions",
		`header X-Tag in @vip`:                       "!a named list",
		`query a = 1`:                                "!as it was sent, and the first of several",
		`baggage a = 1`:                              "!no members of baggage",
		`ip = 10.0.0.1`:                              "!the client's address",
		`identity = ann`:                             "!no identities",
		`{http.auth.user.id} = ann`:                  "!Caddy alone has",
		`claim sub = ann`:                            "!reads no tokens",
		`cookie uid prefix a`:                        "!only =, in and exists",
		`path = "/a b"`:                              "!in several forms",
		`path = "/a//b"`:                             "!normalises such paths",
		`path prefix /a/../b`:                        "!normalises such paths",
		`path contains ab`:                           "!an escape in the path",
		`path matches ^/a`:                           "!before its escapes are decoded",
		`not path matches ^(?:/a(?:/.*)?)$`:          "!before its escapes are decoded",
		`host = "bücher.example"`:                    "!has other forms",
		`host suffix .1`:                             "!an address may end in this text",
		`host prefix a`:                              "!with their port",
		`header Host suffix .example`:                "!with their port",
		`header X-Tag = ` + long(1):                  "header x-tag = " + long(1),
		`header X-Tag in a, ` + long(1):              "!longer than 1,024 bytes",
		`header X-Tag matches ^(?:` + long(1) + `)$`: "!longer than 1,024 bytes",
	} {
		c, err := core.ParseCondition(line)
		require.NoError(t, err, line)
		m, reason := matchOf(c, "x-gray-version", nil)
		if wanted, isReason := strings.CutPrefix(want, "!"); isReason {
			assert.Contains(t, reason, wanted, line)
			continue
		}
		if !assert.Empty(t, reason, line) {
			continue
		}
		assert.Equal(t, want, written(m), line)
		lines, lost, reason := Lines(m)
		assert.Empty(t, lost, line)
		assert.Empty(t, reason, line)
		assert.Equal(t, []string{c.String()}, lines)
	}
}

func long(n int) string { return strings.Repeat("x", 1024+n) }

// An operator that an empty value satisfies can be negated where the header is there.
func TestNegationOfWhatExists(t *testing.T) {
	e, err := core.Load([]byte(`{"service": "shop", "stable": "v1", "versions": {"v1": {}, "v2": {}}, "rules": [
		{"version": "v2", "when": ["header A exists", "not header A matches a*"]}]}`))
	require.NoError(t, err)
	plan, err := Compile(e, Options{})
	require.NoError(t, err)
	assert.Equal(t, ByRoute, plan.Rules[0].Way)
	assert.Equal(t, "header a exists ; without a ~ .*(?:a*).*", written(plan.Routes[0].Match))
	lines, _, reason := Lines(plan.Routes[0].Match)
	assert.Empty(t, reason)
	assert.Equal(t, []string{"header A exists", "not header A matches a*"}, lines)
}
