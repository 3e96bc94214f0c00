package core_test

import (
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
)

func document(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile("../" + path)
	require.NoError(t, err)
	return string(text)
}

// The shell line of docs/policy.md prints the position that the engine computes, and that the page
// gives.
func TestDocumentedBucket(t *testing.T) {
	text := document(t, "docs/policy.md")
	line := regexp.MustCompile(`(?m)^printf .* sha256sum .*$`).FindString(text)
	require.NotEmpty(t, line)
	output, err := exec.Command("sh", "-c", line).Output()
	require.NoError(t, err)
	printed := strings.TrimSpace(string(output))
	require.Contains(t, text, "The shell prints `"+printed+"`")

	e, err := core.Load([]byte(`{"service": "shop", "stable": "v1", "versions": {"v1": {}, "v2": {}},
		"identity": ["cookie uid"], "rules": [{"version": "v2", "percent": 50}]}`))
	require.NoError(t, err)
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Cookie", "uid=u-1001")
	bucket := core.Explain(e, &core.Caller{Request: r}).Rules[0].Bucket
	position, err := strconv.ParseUint(bucket.Position, 10, 64)
	require.NoError(t, err)
	require.Equal(t, fmt.Sprintf("%016x", position), printed)
}

// Who tries README's examples without a cookie, on the machine itself, is outside of the 5 %.
func TestReadmeOnTheMachineItself(t *testing.T) {
	services := regexp.MustCompile(`(?m)^\s*(?:gray|service:|"service":) "?([a-z-]+)"?(?: \{|,|$)`).
		FindAllStringSubmatch(document(t, "README.md"), -1)
	require.Len(t, services, 3, "the Caddyfile, Traefik's YAML and the JSON")
	for _, service := range services {
		e, err := core.Load([]byte(`{"service": "` + service[1] + `", "stable": "v1", "versions": {"v1": {}, "v2": {}},
			"rules": [{"name": "ramp", "version": "v2", "percent": 5}]}`))
		require.NoError(t, err)
		for _, address := range []string{"127.0.0.1", "::1"} {
			caller := &core.Caller{Request: httptest.NewRequest("GET", "/", nil), Client: address}
			require.Equal(t, "v1", core.Decide(e, caller).Version, "%s of %s", address, service[1])
		}
	}
}

// The policies of the documentation are valid, and nothing in them is warned about.
func TestDocumentedPolicies(t *testing.T) {
	for _, path := range []string{"README.md", "docs/policy.md", "docs/guide.md"} {
		blocks := regexp.MustCompile("(?s)```json\n(\\{\n.*?)```").FindAllStringSubmatch(document(t, path), -1)
		require.NotEmpty(t, blocks, path)
		for _, block := range blocks {
			e, err := core.Load([]byte(block[1]))
			require.NoError(t, err, "%s: %s", path, block[1])
			require.Empty(t, e.Warnings(), path)
		}
	}
}

// So are those of the examples.
func TestExamplePolicies(t *testing.T) {
	examples, err := filepath.Glob("../examples/*/policy.json")
	require.NoError(t, err)
	sources, err := filepath.Glob("../examples/*/*/policy.json")
	require.NoError(t, err)
	require.NotEmpty(t, sources)
	for _, path := range append(examples, sources...) {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		e, err := core.Load(text)
		require.NoError(t, err, path)
		require.Empty(t, e.Warnings(), path)
	}
}

// The table of docs/policy.md has each field of a policy, and of a rule.
func TestDocumentedFields(t *testing.T) {
	text := document(t, "docs/policy.md")
	for prefix, of := range map[string]reflect.Type{
		"": reflect.TypeOf(core.Policy{}), "rules[].": reflect.TypeOf(core.Rule{}),
	} {
		for i := range of.NumField() {
			name, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
			require.Contains(t, text, "\n| `"+prefix+name+"` |")
		}
	}
}
