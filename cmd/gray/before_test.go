package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/internal/explain"
)

func TestCheck(t *testing.T) {
	good := writeFile(t, "good.json", simulated)
	bad := writeFile(t, "bad.json", `{"service": "shop", "stable": "v9",
		"versions": {"v1": {}, "v2": {"discover": "redis://h"}},
		"rules": [{"version": "v2", "when": ["cookie uid prefx a"], "percent": 101}], "colour": 1}`)
	doubtful := writeFile(t, "doubtful.json", `{"service": "shop", "stable": "v1", "versions": {"v1": {}, "v2": {}},
		"rules": [{"name": "all", "version": "v2"}]}`)
	s := &shell{t: t}
	assert.Contains(t, s.ok("check", good), "good.json: valid, no warnings\n")
	assert.Contains(t, s.ok("check", doubtful), `warning: rules[0]: rule "all" has neither`)
	got := s.run("check", good, bad)
	assert.Equal(t, exitNot, got.code)
	assert.Empty(t, got.err)
	for _, want := range []string{
		"good.json: valid", `bad.json: rules[0].when[0]: column 12: unknown operator "prefx" (did you mean "prefix"?)`,
		"bad.json: colour: unknown field", "bad.json: stable: ", "bad.json: rules[0].percent: ", "4 problems",
	} {
		assert.Contains(t, got.out, want)
	}
	got = s.run("check", "-o", "json", bad)
	assert.Equal(t, exitNot, got.code)
	var results []checked
	require.NoError(t, json.Unmarshal([]byte(got.out), &results))
	assert.Len(t, results[0].Problems, 4)

	discovers := writeFile(t, "discovers.json",
		`{"service": "shop", "stable": "v1", "versions": {"v1": {"discover": "redis://h"}}}`)
	got = s.run("check", discovers)
	assert.Equal(t, exitNot, got.code)
	assert.Contains(t, got.out, "versions.v1.discover: ")

	s.in = `{"service": "shop", "stable": "v1", "versions": {"v1": {}, "v2": {}},
		"rules": [{"version": "v2", "when": ["{http.auth.user.id} = ann"]}]}`
	assert.Contains(t, s.ok("check", "-"), "warning: `{http.auth.user.id}` is read, which Caddy alone has")
	s.in = `{"service": "shop", "stable": "v1", "versions": {"v1": {"upstreams": ["{env.HOST}:1"]}}}`
	s.ok("check", "-")
	got = s.run("check", "--followed", "-")
	assert.Contains(t, got.out, "placeholders")
	assert.Equal(t, exitAway, s.run("check", good+".not").code)
	assert.Equal(t, exitUsage, s.run("check").code)
}

// All documents that the hosts are tested with are judged as the engine judges them.
func TestCheckAgreesWithTheEngine(t *testing.T) {
	paths, err := filepath.Glob("../../testdata/documents/*")
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	for _, path := range paths {
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		_, err = core.Load(data)
		got := (&shell{t: t}).run("check", path)
		if err != nil {
			assert.Equal(t, exitNot, got.code, path)
		}
	}
}

func TestExplain(t *testing.T) {
	policy := writeFile(t, "policy.json", simulated)
	s := &shell{t: t}
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"--header", "X-App-Version: beta", "--cookie", "uid=u-1"},
			[]string{"version  v2\n", `rule "testers" matched`, `"u-1" by cookie uid`, "testers: yes"}},
		{[]string{"--cookie", "uid=u-1027", "--ip", "192.0.2.7", "--path", "/shop?x=1", "--host", "a", "--method", "POST"},
			[]string{"testers: no, `header X-App-Version = beta` does not hold",
				"ramp: yes, the caller is at 3.780 %, and it takes those under 20 %"}},
		{nil, []string{`"127.0.0.1" by ip`, "no rule matched", "`path prefix /shop` does not hold"}},
	} {
		text := s.ok(append([]string{"explain", policy}, c.args...)...)
		for _, want := range c.want {
			assert.Contains(t, text, want)
		}
	}
	var x core.Explanation
	text := s.ok("explain", "-o", "json", policy, "--header", "X-App-Version: beta")
	require.NoError(t, json.Unmarshal([]byte(text), &x))
	assert.Equal(t, "testers", x.Rule)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{policy, "--header", "X"}, "want 'Name: value'"},
		{[]string{policy, "--cookie", "X"}, "want name=value"},
		{[]string{policy, "--ip", "here"}, "is not an address"},
		{[]string{policy, "--path", "here"}, "slash"},
		{[]string{}, "arg"},
		{[]string{"--admin", "http://127.0.0.1:1"}, "service"},
		{[]string{policy, "--admin", "http://127.0.0.1:1", "--service", "shop"}, "arg"},
		{[]string{"--admin", "127.0.0.1:1", "--service", "shop"}, "is not a URL"},
	} {
		got := s.run(append([]string{"explain"}, c.args...)...)
		assert.Equal(t, exitUsage, got.code, c.args)
		assert.Contains(t, got.err, c.want, c.args)
	}
}

// A running gateway is asked with the same request, and its answer is shown. The test of the binary
// asks a real Caddy.
func TestExplainOfAGateway(t *testing.T) {
	e, err := core.Load([]byte(simulated))
	require.NoError(t, err)
	admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.EscapedPath() != "/gray/a%2Fb/explain" {
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"error": "no policy is about the service"}`)
			return
		}
		var q explain.Request
		body, _ := io.ReadAll(r.Body)
		if !assert.NoError(t, core.Decode(body, &q)) {
			return
		}
		caller, err := q.Caller()
		assert.NoError(t, err)
		_ = json.NewEncoder(w).Encode(core.Explain(e, caller))
	}))
	defer admin.Close()
	s := &shell{t: t}
	text := s.ok("explain", "--admin", admin.URL, "--service", "a/b", "--header", "X-App-Version: beta")
	assert.Contains(t, text, "testers: yes")
	got := s.run("explain", "--admin", admin.URL, "--service", "shop")
	assert.Equal(t, exitAway, got.code)
	assert.Contains(t, got.err, "404 Not Found: no policy is about the service")
	assert.Equal(t, exitAway, s.run("explain", "--admin", "http://127.0.0.1:1", "--service", "shop").code)
}
