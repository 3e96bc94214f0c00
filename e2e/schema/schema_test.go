package main

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/internal/casetest"
)

var update = flag.Bool("update", false, "write the golden file")

const testdata = "../../testdata"

func TestFileIsCurrent(t *testing.T) {
	want, err := generate()
	require.NoError(t, err)
	have, err := os.ReadFile(file)
	require.NoError(t, err)
	require.True(t, string(want) == string(have), "run `go generate ./core`")
}

// compiled is the schema as a validator reads it, which checks it by its metaschema.
func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	schema, err := jsonschema.NewCompiler().Compile(file)
	require.NoError(t, err)
	return schema
}

func validate(t *testing.T, schema *jsonschema.Schema, document string) error {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(document))
	if err != nil {
		return err
	}
	return schema.Validate(value)
}

// No policy that gray takes is refused.
func TestValidPolicies(t *testing.T) {
	schema := compiled(t)
	files, err := casetest.Load(testdata + "/cases")
	require.NoError(t, err)
	policies := 0
	for _, f := range files {
		for i, g := range f.Groups {
			policies++
			assert.NoError(t, validate(t, schema, string(g.Policy)), "%s, group %d", f.Name, i)
		}
	}
	assert.Greater(t, policies, 50)
	for _, pattern := range []string{"../../examples/*/policy.json", "../../examples/*/*/policy.json"} {
		paths, err := filepath.Glob(pattern)
		require.NoError(t, err)
		require.NotEmpty(t, paths)
		for _, path := range paths {
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			assert.NoError(t, validate(t, schema, string(text)), path)
		}
	}
}

// Each bad document is refused, except those in the golden file: what is wrong with them takes more
// than a schema to see.
func TestBadDocuments(t *testing.T) {
	schema := compiled(t)
	paths, err := filepath.Glob(testdata + "/documents/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	unseen, all := "", 0
	for _, path := range paths {
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		var documents []struct {
			About    string
			Document json.RawMessage
		}
		require.NoError(t, json.Unmarshal(data, &documents))
		for _, d := range documents {
			text := string(d.Document)
			_ = json.Unmarshal(d.Document, &text)
			all++
			if validate(t, schema, text) == nil {
				unseen += strings.TrimSuffix(filepath.Base(path), ".json") + ": " + d.About + "\n"
			}
		}
	}
	const golden = "testdata/unseen.txt"
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(unseen), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	assert.Equal(t, string(want), unseen, "run the test with -update, and look at what has changed")
	assert.Greater(t, all, 300)
}

// Each word of a list is one that gray takes, and no other is.
func TestWords(t *testing.T) {
	base := func() map[string]any {
		return map[string]any{
			"service": "shop", "stable": "v1", "versions": map[string]any{"v1": map[string]any{}, "v2": map[string]any{}},
			"trust": []any{"10.0.0.1"},
			"rules": []any{map[string]any{"name": "ramp", "version": "v2"}},
		}
	}
	schema := compiled(t)
	for field, taken := range map[string][]string{
		"anonymous": {"stable", "random", "cookie"}, "vouch": {"peers", "gateway"},
		"cookie.same_site": {"lax", "strict"}, "cookie.secure": {"auto", "always"}, "cookie.draw": {"any", "navigation"},
		"rollout.undecided": {"hold", "advance", "rollback"},
	} {
		for _, word := range append(taken, "other") {
			policy := base()
			object, name, nested := strings.Cut(field, ".")
			switch {
			case !nested:
				policy[object] = word
			case object == "rollout":
				policy[object] = map[string]any{"rule": "ramp", "steps": []any{"5%"}, "guard": []any{}, name: word}
			default:
				policy[object] = map[string]any{name: word}
			}
			text, err := json.Marshal(policy)
			require.NoError(t, err)
			_, wrong := core.Load(text)
			assert.Equal(t, word != "other", wrong == nil, "%s: %v", text, wrong)
			assert.Equal(t, wrong == nil, validate(t, schema, string(text)) == nil, "%s", text)
		}
	}
}
