package docs

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/live"
)

// fields are the names at the top of a block that is a JSON object, nil if it is none.
func fields(b block) map[string]json.RawMessage {
	var of map[string]json.RawMessage
	if b.language != "json" || json.Unmarshal([]byte(b.text), &of) != nil {
		return nil
	}
	return of
}

func isPolicy(b block) bool { return fields(b)["stable"] != nil }

func isSwitch(b block) bool { return fields(b)["epoch"] != nil }

func isState(b block) bool { return fields(b)["origin"] != nil }

// isPolicyPart reports whether a block is one field of a policy, or one rule.
func isPolicyPart(b block) bool {
	return b.language == "json" && (b.begins(`"`) || fields(b)["when"] != nil)
}

func runPolicy(t *testing.T, b block) { load(t, b.text) }

// load has gray take a policy, with nothing to warn of.
func load(t *testing.T, policy string) {
	t.Helper()
	e, err := core.Load([]byte(policy))
	require.NoError(t, err, policy)
	defer e.Close()
	require.Empty(t, e.Warnings(), policy)
	require.NoError(t, live.CheckDiscovery(e.Versions()).Err())
}

// runPolicyPart puts the block into a policy. A file that it names is one of the test's.
func runPolicyPart(t *testing.T, b block) {
	policy := `{"service": "shop", "stable": "v1", "versions": {"v1": {}, "v2": {}}, `
	if b.begins(`"`) {
		policy += b.text + "}"
	} else {
		policy += `"rules": [` + b.text + "]}"
	}
	secret := filepath.Join(t.TempDir(), "tester.secret")
	require.NoError(t, os.WriteFile(secret, []byte(strings.Repeat("x", 32)), 0o600))
	load(t, strings.ReplaceAll(policy, "/etc/gray/tester.secret", secret))
}

func runSwitch(t *testing.T, b block) {
	_, err := live.ParseSwitch([]byte(b.text))
	require.NoError(t, err)
}

// runState checks that a state has these fields, of these types.
func runState(t *testing.T, b block) {
	var state live.State
	decoder := json.NewDecoder(strings.NewReader(b.text))
	decoder.DisallowUnknownFields()
	require.NoError(t, decoder.Decode(&state))
}
