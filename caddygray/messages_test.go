package caddygray_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What is wrong with a configuration in JSON is said in its own words.
func TestMessagesOfJSON(t *testing.T) {
	folder := t.TempDir()
	t.Chdir(folder)
	const policy = `"service": "s", "stable": "v1", "versions": {"v1": {}}`
	for _, c := range []struct{ name, handler, want string }{
		{"unknown field", `{"handler": "gray", ` + policy + `, "ruls": []}`, `ruls: unknown field (did you mean "rules"?)`},
		{"unknown field of this host", `{"handler": "gray", ` + policy + `, "debug_heade": "X"}`,
			`debug_heade: unknown field (did you mean "debug_header"?)`},
		{"text for a list", `{"handler": "gray", "service": "s", "stable": "v1", "versions": {"v1": {"upstreams": "a:1"}}}`,
			`versions.v1.upstreams: must be an array, is the string "a:1"`},
		{"text for a number", `{"handler": "gray", ` + policy + `, "rules": [{"version": "v1", "percent": "5"}]}`,
			`rules[0].percent: must be a number, is the string "5"`},
		{"truth for a duration", `{"handler": "gray", ` + policy + `, "drain_timeout": true}`,
			`drain_timeout: cannot be a bool`},
		{"no duration", `{"handler": "gray", ` + policy + `, "health_checks": {"v1": {"uri": "/", "interval": "often"}}}`,
			`health_checks.v1.interval: time: invalid duration "often"`},
		{"health check", `{"handler": "gray", ` + policy + `, "health_checks": {"v1": {"ur": "/"}}}`,
			`health_checks.v1.ur: unknown field (did you mean "uri"?)`},
		{"source", `{"handler": "gray", "source": {"url": "file:///p", "option": {}}}`,
			`source.option: unknown field (did you mean "options"?)`},
		{"debug header", `{"handler": "gray", ` + policy + `, "debug_header": "on"}`,
			`debug_header: "on" is not the name of a header: without a name it is X-Gray-Decision`},
		{"vary", `{"handler": "gray", ` + policy + `, "vary": {"headers": ["off"]}}`,
			`vary: "off" is not the name of a header`},
		{"upstream source", `{"handler": "reverse_proxy", "dynamic_upstreams": {"source": "gray", "service": 1}}`,
			`service: must be a string, is 1`},
		{"selection",
			`{"handler": "reverse_proxy", "load_balancing": {"selection_policy": {"policy": "gray", "servic": ""}}}`,
			`servic: unknown field (did you mean "service"?)`},
		{"policy file", `{"handler": "gray", "policy": "nofile.json"}`,
			"reading the policy: there is no file nofile.json in the folder " + folder +
				" (relative paths begin at the working directory)"},
		{"policy file elsewhere", `{"handler": "gray", "policy": "/nowhere/p.json"}`,
			"reading the policy: there is no folder /nowhere for the file p.json"},
		{"variable",
			`{"handler": "gray", "service": "s", "stable": "v1", "versions": {"v1": {"upstreams": ["{env.NOPE}:80"]}}}`,
			"placeholder {env.NOPE} has no value: it is not set"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := caddy.Validate(&caddy.Config{AppsRaw: caddy.ModuleMap{"http": json.RawMessage(
				`{"servers": {"s": {"listen": [":0"], "routes": [{"handle": [` + c.handler + `]}]}}}`)}})
			require.ErrorContains(t, err, c.want)
			assert.NotContains(t, err.Error(), "Go ")
		})
	}
	t.Setenv("NOPE", "")
	require.NoError(t, caddy.Validate(&caddy.Config{AppsRaw: caddy.ModuleMap{"http": json.RawMessage(
		`{"servers": {"s": {"listen": [":0"], "routes": [{"handle": [{"handler": "gray", ` + policy +
			`, "lists": {"l": ["{env.NOPE}"]}}], "match": [{"gray": {"versions": ["v1"]}}]}]}}}`)}}), "a variable may be empty")
}

// Two policies of one service share what is kept by the service's name.
func TestTwoPoliciesOfOneService(t *testing.T) {
	const text = `two policies of the configuration are about the service \"twice\"`
	site := func(percent int) string {
		return fmt.Sprintf("http://%s {\ngray twice {\nstable v1\nversion v1\nversion v2\nrule v2 {\npercent %d\n}\n}\n}\n",
			freeAddress(t), percent)
	}
	require.Len(t, startLogging(t, site(5)+site(10))(text), 1)
	require.NoError(t, caddy.Stop())
	require.Empty(t, startLogging(t, site(5)+site(5))(text), "it is one policy, in two sites")
}

// A version that falls back is mentioned in the log, and not for each request.
func TestFallbacksAreLogged(t *testing.T) {
	address := freeAddress(t)
	service := fmt.Sprint("fallen-", time.Now().UnixNano()) // one that nothing was logged about just now
	logged := startLogging(t, fmt.Sprintf("http://%s {\ngray %s {\nstable v1\nversion v1 %s\nversion v2 %s\n"+
		"rule v2 {\nwhen header X-V = v2\n}\n}\nreverse_proxy {\ndynamic gray\n}\n}\n",
		address, service, says(t, "one"), freeAddress(t)))
	for range 3 {
		require.Equal(t, "one told v1", get(t, "http://"+address, "v2").body)
	}
	lines := logged("version cannot be reached, stable serves instead")
	require.Len(t, lines, 1)
	require.Contains(t, lines[0], `"service":"`+service+`","version":"v2","requests":1`)
}

// All that the log says of a source names the service.
func TestSourceNamesItsServiceFromTheFirstLine(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "folder")
	require.NoError(t, os.Mkdir(folder, 0o700))
	logged := startLogging(t, fmt.Sprintf("http://%s {\ngray named {\nsource file://%s/p?interval=10ms\ncache %s\n}\n}\n",
		freeAddress(t), folder, t.TempDir()))
	require.Eventually(t, func() bool { return len(logged("policy source has no such document")) == 1 },
		10*time.Second, 5*time.Millisecond)
	require.NoError(t, os.WriteFile(folder+"/p", []byte(`{"service": "named"`), 0o600))
	require.NoError(t, os.Chtimes(folder+"/p", time.Unix(1, 0), time.Unix(1, 0)))
	require.Eventually(t, func() bool { return len(logged("policy refused; there is none before it")) == 1 },
		10*time.Second, 5*time.Millisecond)
	for _, line := range logged(`"source":`) {
		require.Contains(t, line, `"service":"named"`)
	}
}

// Whether tokens are verified is said of policies that have any.
func TestTokensVerified(t *testing.T) {
	for _, c := range []struct{ jwt, want string }{
		{"", ""}, {"jwt {\nsecret 0123456789abcdef0123456789abcdef0123456789abcdef\n}", "true"},
		{"jwt {\nverify false\n}", "false"},
	} {
		startCaddyfile(t, "http://"+freeAddress(t)+" {\ngray tokens {\nstable v1\nversion v1\n"+c.jwt+"\n}\n}\n")
		require.EqualValues(t, 1, metric(t, "caddy_gray_policy_info", "service=tokens", "tokens_verified="+c.want), c.jwt)
		require.Zero(t, metric(t, "caddy_gray_policy_info", "service=tokens", "tokens_verified=other"))
	}
}
