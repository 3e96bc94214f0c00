package yaegi_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/e2e/yaegi"
	"github.com/grayrelease/gray/e2e/yaegi/overlaid"
)

// The shared cases reach no overlay but `enabled: false`; these are all its parts.
func TestOverlaysAgree(t *testing.T) {
	i := yaegi.Import(t, root, "github.com/grayrelease/gray/core")
	source, err := os.ReadFile("overlaid/overlaid.go")
	require.NoError(t, err)
	_, err = i.Eval(string(source))
	require.NoError(t, err)
	value, err := i.Eval("overlaid.Report")
	require.NoError(t, err)
	interpreted := value.Interface().(func(string, string) string)
	for _, enabled := range []string{"true", "false"} {
		document := `{"service": "shop", "enabled": ` + enabled + `, "stable": "v1",
		"versions": {"v1": {}, "v2": {}, "v3": {}},
			"identity": ["header X-ID"], "rules": [
			{"name": "ramp", "version": "v2", "when": ["header X-Kiosk != yes"], "percent": 10},
			{"name": "all", "version": "v3"}]}`
		for _, overlays := range []string{
			`[]`,
			`[{}]`,
			`[{"Force": "v2", "Reason": "switch"}]`,
			`[{"Force": "v9", "Reason": "switch"}]`,
			`[{"Percent": {"ramp": 60, "all": 30, "none": 3}, "Reason": "step 2"}]`,
			`[{"Percent": {"ramp": 500}, "Withdrawn": ["v3", "v1"], "Reason": "back"}]`,
			`[{"Percent": {"ramp": 0, "all": 100}, "Withdrawn": ["v2"], "Reason": "back"}, {"Force": "v1", "Reason": "off"}]`,
			`[{"Withdrawn": ["v2"], "Reason": "back"}, {"Percent": {"ramp": 100}, "Reason": "step 3"}]`,
		} {
			require.Equal(t, overlaid.Report(document, overlays), interpreted(document, overlays), overlays)
		}
	}
}

// Traefik obeys rollouts, so what reads their state is interpreted.
func TestRolloutStatesAgree(t *testing.T) {
	i := yaegi.Import(t, root, "github.com/grayrelease/gray/core")
	source, err := os.ReadFile("overlaid/overlaid.go")
	require.NoError(t, err)
	_, err = i.Eval(string(source))
	require.NoError(t, err)
	value, err := i.Eval("overlaid.Rollout")
	require.NoError(t, err)
	interpreted := value.Interface().(func(string, string) string)
	const document = `{"service": "shop", "stable": "v1", "versions": {"v1": {}, "v2": {}}, "rules": [
		{"name": "testers", "version": "v2", "when": ["header X-App = beta"]}, {"name": "ramp", "version": "v2"}],
		"rollout": {"rule": "ramp", "steps": ["1% for 10m", "5% min 200 until approved", "100%"], "keep": ["testers"],
		"guard": ["errors", "latency p99.9 < 800ms pause", "errors < 2% watch"], "freeze": ["Fri 16:00 - Mon 08:00"]}}`
	e, err := core.Load([]byte(document))
	require.NoError(t, err)
	const times = `"since": "2025-05-01T10:00:00Z", "began": "2025-05-01T09:00:00.5Z",
		"step_since": "2025-05-01T10:00:00Z"`
	for _, state := range []string{
		`{"epoch": 7, "attempt": 2, "fingerprint": "FINGERPRINT", "phase": "running", "step": 2, "percent": 5, ` + times + `,
			"verdict": {"guard": "errors", "then": "rollback", "verdict": "bad", "evidence": 9.5, "threshold": 9.2,
			"canary": {"callers": 100, "bad": 5}, "control": {"callers": 1900, "bad": 2}}, "accepted": ["errors"],
			"history": [{"epoch": 6, "at": "2025-05-01T09:00:00Z", "attempt": 2, "phase": "running", "step": 1, "percent": 1}]}`,
		`{"epoch": 8, "attempt": 2, "fingerprint": "FINGERPRINT", "phase": "rolled-back", "step": 2, "percent": 0,
			"withdrawn": ["v2"], "reason": "2.4 % of canary callers failed", "by": "guard errors", ` + times + `}`,
		`{"epoch": 8, "attempt": 2, "fingerprint": "another", "phase": "completed", "step": 3,
			"percent": 100, ` + times + `}`,
		`{"epoch": 0, "attempt": 0, "fingerprint": "", "phase": "runing", "step": -1, "percent": 500,
			"since": "noon", "more": 1}`,
		`{"epoch": 8, "percent": "5"`,
	} {
		state = strings.ReplaceAll(state, "FINGERPRINT", e.Rollout().Fingerprint)
		require.Equal(t, overlaid.Rollout(document, state), interpreted(document, state), state)
	}
}
