package core

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func onCaddy(t *testing.T, identity string, lines ...string) (*Engine, error) {
	t.Helper()
	half := 50.0
	return NewOn(Host{Placeholders: true}, &Policy{
		Service: "shop", Stable: "v1", Versions: map[string]Version{"v1": {}, "v2": {}, "v3": {}}, Identity: []string{identity},
		Rules: []Rule{{Version: "v2", When: lines}, {Version: "v3", Percent: &half}},
	})
}

func TestPlaceholders(t *testing.T) {
	for _, c := range []struct{ name, value, line, want string }{
		{"equal", "ann", "{http.auth.user.id} = ann", "v2"},
		{"contained", "CN=gray,O=x", "{http.request.tls.client.subject} contains gray", "v2"},
		{"not", "bob", "not {http.auth.user.id} in ann, eve", "v2"},
		{"number", "7", "{http.vars.level} > 6.5", "v2"},
		{"absent", "-", "{http.auth.user.id} exists", ""},
		{"empty", "", "{http.auth.user.id} exists", ""},
		{"not UTF-8", "\xff", "{http.auth.user.id} exists", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, err := onCaddy(t, "{http.auth.user.id}", c.line)
			require.NoError(t, err)
			asked := map[string]int{}
			caller := &Caller{Request: request("/"), Placeholder: func(r *http.Request, name string) (string, bool) {
				require.NotNil(t, r)
				asked[name]++
				return c.value, c.value != "-"
			}}
			d := Decide(e, caller)
			assert.Equal(t, c.want == "v2", d.Version == "v2", d.Version)
			Identity(e, caller)
			Explain(e, caller)
			for name, times := range asked {
				assert.Equal(t, 1, times, name)
			}
			assert.Equal(t, []string{"*"}, Vary(e))
		})
	}
	e := engineWhen(t, "header X = 1")
	Decide(e, &Caller{Request: request("/"), Placeholder: func(*http.Request, string) (string, bool) {
		t.Error("a policy that does not ask pays nothing")
		return "", false
	}})
	e, err := onCaddy(t, "{http.auth.user.id}", "{http.auth.user.id} = ann")
	require.NoError(t, err)
	assert.Equal(t, "v1", Decide(e, &Caller{Request: request("/")}).Version, "a caller that another host made")
}

// What is no placeholder of the request, or is an attribute, is refused.
func TestPlaceholdersThatAreRefused(t *testing.T) {
	for attribute, want := range map[string]string{
		"{http.request.header.X-User}":    `"{http.request.header.X-User}" is an attribute of its own: write header X-User`,
		"{http.request.cookie.uid}":       "write cookie uid",
		"{http.request.uri.query.q}":      "write query q",
		"{http.request.uri.path}":         "write path",
		"{http.request.host}":             "write host",
		"{http.request.method}":           "write method",
		"{http.vars.client_ip}":           "write ip",
		"{env.HOME}":                      `"{env.HOME}" says nothing about the request`,
		"{file./etc/passwd}":              "says nothing about the request",
		"{system.hostname}":               "says nothing about the request",
		"{time.now}":                      "says nothing about the request",
		"{http.request.body}":             "would have the gateway read the whole body",
		"{http.request.body_base64}":      "would have the gateway read the whole body",
		"{}":                              `unknown attribute "{}"`,
		"{a}b":                            `unknown attribute "{a}b"`,
		`"{http.auth.user.id}"`:           "unknown attribute",
		"{http.request.uri.path.0}":       "",
		"{http.request.tls.server_name}":  "",
		"{http.request.header_other}":     "",
		"{geo.country}":                   "",
		"{http.auth.user.email}":          "",
		"{http.gray.checkout.version}":    "",
		"{http.request.hostport}":         "",
		"{http.request.remote.host}":      "",
		"{http.request.orig_uri.path}":    "",
		"{http.request.tls.client.ip}":    "",
		"{http.request.uri.path_escaped}": "",
	} {
		for _, place := range []string{"identity", "when"} {
			identity, line := attribute, "header X exists"
			if place == "when" {
				identity, line = "ip", attribute+" exists"
			}
			_, err := onCaddy(t, identity, line)
			if want == "" {
				assert.NoError(t, err, attribute)
			} else {
				assert.ErrorContains(t, err, want, attribute)
			}
		}
	}
}

// Other hosts say why they refuse them.
func TestPlaceholdersElsewhere(t *testing.T) {
	_, err := Load([]byte(`{"service": "shop", "stable": "v1", "versions": {"v1": {}}, "identity": ["{http.auth.user.id}"],
		"rules": [{"version": "v1", "when": ["{http.request.header.X} = 1"]}]}`))
	require.ErrorContains(t, err, `identity[0]: "{http.auth.user.id}" is a placeholder of Caddy, which no other gateway can read: `+
		"use header, cookie, claim or another attribute that all have")
	require.ErrorContains(t, err, "rules[0].when[0]: \"{http.request.header.X}\" is an attribute of its own: write header X")
}
