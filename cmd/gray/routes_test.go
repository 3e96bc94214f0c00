package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The commands of the page print what it says, in the example's folder.
func TestDocumentedIstio(t *testing.T) {
	page, err := os.ReadFile("../../docs/istio.md")
	require.NoError(t, err)
	sessions := regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	require.NotEmpty(t, sessions)
	folder := t.TempDir()
	require.NoError(t, os.CopyFS(folder, os.DirFS("../../examples/istio")))
	t.Chdir(folder)
	s := &shell{t: t}
	for _, session := range sessions {
		command, output, _ := strings.Cut(strings.TrimPrefix(session[1], "$ gray "), "\n")
		got := s.run(words(command)...)
		assert.Equal(t, exitDone, got.code, got.err)
		assert.Equal(t, output, got.out+got.err, command)
	}
}

func TestIstio(t *testing.T) {
	s := &shell{t: t, in: `{"service": "shop", "stable": "v1", "versions": {"v1": {}, "v2": {}},
		"rules": [{"version": "v2", "when": ["ip = 10.0.0.1"]}]}`}
	got := s.run("istio", "export", "-")
	assert.Equal(t, exitDone, got.code)
	assert.Contains(t, got.out, "# meshConfig:\n#   extensionProviders:")
	assert.Contains(t, got.out, "kind: AuthorizationPolicy")
	assert.Contains(t, got.err, "rule rule-1 -> v2: ext_authz: `ip = 10.0.0.1`: ")
	assert.Contains(t, s.ok("istio", "export", "-o", "json", "-"), `"way": "ext_authz"`)
	assert.Contains(t, s.ok("istio"), "gray istio import")

	route := "route: [{destination: {host: shop, subset: v1}}]"
	s.in = "kind: VirtualService\napiVersion: networking.istio.io/v1\nmetadata: {name: shop}\n" +
		"spec: {http: [{match: [{port: 80}], " + route + "}, {timeout: 1s, " + route + "}]}"
	got = s.run("istio", "import", "-")
	assert.Equal(t, exitNot, got.code)
	assert.Contains(t, got.err, "left out: http[0].match[0]: port is no attribute of conditions")
	assert.Contains(t, got.err, "not said: http[1].timeout")
	assert.Contains(t, got.out, `"stable": "v1"`)
	assert.Contains(t, s.run("istio", "import", "-o", "json", "-").out, `"left_out": true`)
	for _, args := range [][]string{{"import", "--name", "other", "-"}, {"export", "-"}} {
		assert.Equal(t, exitNot, s.run(append([]string{"istio"}, args...)...).code)
	}
	assert.Equal(t, exitAway, s.run("istio", "import", "missing.yaml").code)
}

func TestGatewayAPI(t *testing.T) {
	s := &shell{t: t, in: `{"service": "shop", "stable": "v1", "versions": {"v1": {}, "v2": {}},
		"rules": [{"version": "v2", "when": ["header X-Tag = beta"]}, {"version": "v2", "percent": 5}]}`}
	got := s.run("gateway-api", "export", "--weights", "--backend", "v1=shop,v2=next", "--gateway", "infra/public", "-")
	require.Equal(t, exitDone, got.code, got.err)
	assert.Contains(t, got.out, "name: next\n      port: 80\n      weight: 5")
	assert.Contains(t, got.err, "rule rule-2 -> v2: weights")
	s.in = got.out
	assert.Contains(t, s.ok("gateway-api", "import", "-"), `"percent": 5`)
	got = s.run("gateway-api", "export", "--backend", "v3=shop", "-")
	assert.Equal(t, exitNot, got.code)
}
