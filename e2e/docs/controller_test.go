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
	tool, err := exec.LookPath("amtool")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("this machine has no amtool")
		}
		t.Skip("this machine has no amtool")
	}
	file := filepath.Join(t.TempDir(), "alertmanager.yml")
	require.NoError(t, os.WriteFile(file, []byte(b.text), 0o600))
	output, err := exec.Command(tool, "check-config", file).CombinedOutput()
	require.NoError(t, err, "%s", output)
}
