package docs

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/rollout/serve"
)

func isController(b block) bool {
	return b.language == "yaml" && b.file != "docs/decide.md" && (b.begins("listen:") || b.begins("services:"))
}

// runController has the controller read its configuration.
func runController(t *testing.T, b block) {
	_, err := serve.ParseConfig([]byte(b.text))
	require.NoError(t, err)
}

func isAlertmanager(b block) bool { return b.language == "yaml" && b.begins("route:") }

// runAlertmanager has Alertmanager's own tool check the configuration.
func runAlertmanager(t *testing.T, b block) {
	tool := installed(t, "amtool")
	file := filepath.Join(t.TempDir(), "alertmanager.yml")
	require.NoError(t, os.WriteFile(file, []byte(b.text), 0o600))
	output, err := exec.Command(tool, "check-config", file).CombinedOutput()
	require.NoError(t, err, "%s", output)
}

// installed is the path of a program. The test is skipped where there is none, but not in CI.
func installed(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("this machine has no " + program)
		}
		t.Skip("this machine has no " + program)
	}
	return path
}
