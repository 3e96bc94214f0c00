package caddygray_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/internal/casetest"
)

var (
	quotedText = regexp.MustCompile(`"(?:\\.|[^"])*"`)
	blanks     = regexp.MustCompile(`[ \t]+`)
)

// TestConditionsMeanTheSame writes the conditions of all decision cases into a Caddyfile. They must
// come out as the same text, except for blanks outside of quotes.
func TestConditionsMeanTheSame(t *testing.T) {
	files, err := casetest.Load("../testdata/cases")
	require.NoError(t, err)
	lines := 0
	for _, f := range files {
		for _, g := range f.Groups {
			policy, err := core.ParsePolicy(g.Policy)
			require.NoError(t, err)
			for _, r := range policy.Rules {
				for _, line := range r.When {
					lines++
					require.Equal(t, loose(line), loose(throughCaddyfile(t, line)), f.Name)
				}
			}
		}
	}
	t.Log(lines, "conditions")
}

// throughCaddyfile returns a condition after its way through a Caddyfile. It is put into backticks
// if the Caddyfile would read it differently.
func throughCaddyfile(t *testing.T, line string) string {
	t.Helper()
	written := line
	if special := quotedText.ReplaceAllString(line, ""); strings.ContainsAny(special, "{}#") ||
		strings.Contains(line, "{$") || strings.Contains(special, `"`) {
		written = "`" + line + "`"
	}
	// A placeholder without a value keeps the adapter from checking the policy, which is not the
	// subject here.
	input := fmt.Sprintf(":80 {\n\tgray {env.S} {\n\t\trule v2 {\n\t\t\twhen %s\n\t\t}\n\t}\n}\n", written)
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(input), nil)
	require.NoError(t, err, line)
	var found struct {
		Apps struct {
			HTTP struct {
				Servers map[string]struct {
					Routes []struct{ Handle []core.Policy }
				}
			}
		}
	}
	require.NoError(t, json.Unmarshal(config, &found))
	return found.Apps.HTTP.Servers["srv0"].Routes[0].Handle[0].Rules[0].When[0]
}

// loose is a condition without the blanks that do not count.
func loose(line string) string {
	var out strings.Builder
	rest := line
	for {
		at := quotedText.FindStringIndex(rest)
		if at == nil {
			break
		}
		out.WriteString(blanks.ReplaceAllString(rest[:at[0]], ""))
		out.WriteString(rest[at[0]:at[1]])
		rest = rest[at[1]:]
	}
	out.WriteString(blanks.ReplaceAllString(rest, ""))
	return out.String()
}
