package yaegi_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/e2e/yaegi"
)

// A panic in New freezes Traefik's configuration. New turns it into an error that says that it is a
// bug; tests look for those words.
const bug = "this is a bug"

// malformed are configurations that people and templates come up with.
func malformed() map[string]map[string]any {
	good := func(changes map[string]any) map[string]any {
		config := map[string]any{
			"service": "s", "stable": "v1", "versions": map[string]any{"v1": nil,
				"v2": map[string]any{"upstreams": []any{"http://127.0.0.1:1"}}},
			"rules": []any{map[string]any{"version": "v2", "when": []any{"header A = b"}}},
		}
		for field, value := range changes {
			config[field] = value
		}
		return config
	}
	rule := func(when ...any) map[string]any {
		return good(map[string]any{"rules": []any{map[string]any{"version": "v2", "when": when}}})
	}
	deep := map[string]any{}
	for range 1000 {
		deep = map[string]any{"v": deep}
	}
	return map[string]map[string]any{
		"nothing":                   nil,
		"mode":                      good(map[string]any{"mode": "both"}),
		"no versions":               good(map[string]any{"versions": nil}),
		"versions as a list":        good(map[string]any{"versions": []any{"v1"}}),
		"version as a number":       good(map[string]any{"versions": map[string]any{"v1": 1}}),
		"version with other fields": good(map[string]any{"versions": map[string]any{"v1": map[string]any{"upstream": "a"}}}),
		"version nested deeply":     good(map[string]any{"versions": map[string]any{"v1": deep}}),
		"upstreams as an object": good(map[string]any{"versions": map[string]any{
			"v1": map[string]any{"upstreams": map[string]any{}}}}),
		"upstreams with null": good(map[string]any{"versions": map[string]any{
			"v1": map[string]any{"upstreams": []any{nil}}}}),
		"upstream that is no URL": good(map[string]any{"mode": "proxy",
			"versions": map[string]any{"v1": nil, "v2": map[string]any{"upstreams": []any{"http://[::1", "::", "http://%zz"}}}}),
		"canary without upstreams": good(map[string]any{"mode": "proxy", "versions": map[string]any{"v1": nil, "v2": nil}}),
		"version's name": good(map[string]any{"versions": map[string]any{"v1": nil, "": nil, "a b": nil,
			strings.Repeat("x", 100): nil}}),
		"stable":                 good(map[string]any{"stable": "v9"}),
		"stable as a list":       good(map[string]any{"stable": []any{"v1", "v2"}}),
		"rule without a version": good(map[string]any{"rules": []any{map[string]any{}}}),
		"rule that is null":      good(map[string]any{"rules": []any{nil}}),
		"rules as a string":      good(map[string]any{"rules": "all"}),
		"percent too large":      good(map[string]any{"rules": []any{map[string]any{"version": "v2", "percent": 101}}}),
		"percent negative":       good(map[string]any{"rules": []any{map[string]any{"version": "v2", "percent": "-1"}}}),
		"percent is no number":   good(map[string]any{"rules": []any{map[string]any{"version": "v2", "percent": "NaN"}}}),
		"percent infinite":       good(map[string]any{"rules": []any{map[string]any{"version": "v2", "percent": "Inf"}}}),
		"same name twice": good(map[string]any{"rules": []any{map[string]any{"name": "a", "version": "v2"},
			map[string]any{"name": "a", "version": "v2"}}}),
		"empty line":                rule(""),
		"only not":                  rule("not"),
		"unknown source":            rule("heder A = b"),
		"unknown operator":          rule("header A is b"),
		"header without a name":     rule("header"),
		"open quote":                rule(`header A = "b`),
		"regular expression":        rule("header A matches ("),
		"nested regular expression": rule("header A matches " + strings.Repeat("(", 5000) + strings.Repeat(")", 5000)),
		"repeated expression":       rule("header A matches ((a{100}){100}){100}"),
		"unknown list":              rule("header A in @nobody"),
		"empty element":             rule("header A in a,,b"),
		"address":                   rule("ip in 10.0.0.0/99"),
		"number":                    rule("header A < ten"),
		"semver":                    rule("header A semver >=1.x || 2"),
		"claim without jwt":         rule("claim sub = a"),
		"bytes that are no text":    rule("header \xff = \xfe\x00"),
		"list of no addresses": good(map[string]any{"lists": map[string]any{"l": []any{"x"}},
			"rules": []any{map[string]any{"version": "v2", "when": []any{"ip in @l"}}}}),
		"identity":             good(map[string]any{"identity": []any{"cookie", "path", "identity", ""}}),
		"anonymous":            good(map[string]any{"anonymous": "maybe"}),
		"cookie":               good(map[string]any{"cookie": map[string]any{"name": "a b", "lifetime": "a month"}}),
		"lifetime as a number": good(map[string]any{"cookie": map[string]any{"lifetime": 5}}),
		"header":               good(map[string]any{"header": "a b"}),
		"trust":                good(map[string]any{"trust": []any{"everybody"}}),
		"jwt without a key":    good(map[string]any{"jwt": map[string]any{}}),
		"jwt with a broken key": good(map[string]any{"jwt": map[string]any{"key": "-----BEGIN PUBLIC KEY-----\nAAAA\n" +
			"-----END PUBLIC KEY-----"}}),
		"jwt with a broken key set": good(map[string]any{"jwt": map[string]any{
			"jwks": `{"keys":[{"kty":"RSA","n":"","e":""},{"kty":"EC","crv":"P-256","x":"AA","y":"AA"},{"kty":"oct"}]}`}}),
		"jwt with a file not there": good(map[string]any{"jwt": map[string]any{"key": "file:///does/not/exist"}}),
		"strategy": good(map[string]any{"ipStrategy": map[string]any{"depth": -1,
			"excludedIPs": []any{"x"}, "ipv6Subnet": 999}}),
		"policy that is not there":   {"policy": "/does/not/exist"},
		"policy that is a directory": {"policy": "/"},
		"policy and fields":          good(map[string]any{"policy": "/does/not/exist"}),
	}
}

func TestMalformedConfigurationIsAnError(t *testing.T) {
	plugin := yaegi.Load(t, root)
	for name, config := range malformed() {
		t.Run(name, func(t *testing.T) {
			_, err := plugin.New(t.Context(), version, config, "gray@test")
			require.Error(t, err)
			assert.NotContains(t, err.Error(), bug)
			if strings.HasPrefix(err.Error(), "gray: ") { // else it is Traefik's own, of what does not fit the types
				assert.NotContains(t, err.Error(), "\n")
			}
		})
	}
	assert.NotContains(t, plugin.Stderr.String(), "panic")
}

func TestMalformedPolicyFileIsAnError(t *testing.T) {
	plugin := yaegi.Load(t, root)
	path := filepath.Join(t.TempDir(), "policy.json")
	for _, text := range []string{"", "null", "[]", "{", "{}", `{"service":1}`, `{"service":"a","service":"b"}`,
		`{"unknown":{}}`, "\x00\xff", strings.Repeat("[", 100_000), `{"rules":` + strings.Repeat("[", 9000), "{}{}"} {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		_, err := plugin.New(t.Context(), version, map[string]any{"policy": path}, "gray@test")
		require.Error(t, err, text)
		assert.NotContains(t, err.Error(), bug, text)
	}
}

// FuzzNew passes any configuration to the plugin. New may refuse it but must not panic, and what it
// accepts must serve.
func FuzzNew(f *testing.F) {
	for _, config := range malformed() {
		text, err := json.Marshal(config)
		if err == nil && len(text) < 4096 {
			f.Add(text)
		}
	}
	manifest, err := yaegi.ReadManifest(root)
	require.NoError(f, err)
	text, err := json.Marshal(manifest.TestData)
	require.NoError(f, err)
	f.Add(text)
	plugin := yaegi.Load(f, root)
	f.Fuzz(func(t *testing.T, text []byte) {
		var config map[string]any
		if json.Unmarshal(text, &config) != nil {
			return
		}
		delete(config, "policy") // no files of this machine
		delete(config, "jwt")
		handler, err := plugin.New(t.Context(), version, config, "gray@test")
		if err != nil {
			if strings.Contains(err.Error(), bug) {
				t.Fatal(err)
			}
			return
		}
		w := get(handler, func(r *http.Request) { r.Header.Set("A", "b"); r.Header.Set("Cookie", "uid=u-1") })
		if w.Code != http.StatusOK {
			t.Fatalf("answered %d", w.Code)
		}
	})
}
