package caddygray_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/caddygray"
)

var update = flag.Bool("update", false, "write what the adapter says into the golden files")

// TestCaddyfile adapts the Caddyfiles in testdata/caddyfile. Each is followed by a line of dashes
// and the expected warnings, and JSON or error.
func TestCaddyfile(t *testing.T) {
	t.Setenv("GRAY_PERCENT", "7.5")
	files, err := filepath.Glob("../testdata/caddyfile/*.caddyfiletest")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	const separator = "\n----------\n"
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".caddyfiletest"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			require.NoError(t, err)
			input, want, _ := strings.Cut(string(data), separator)
			got := result(t, input+"\n")
			if *update {
				require.NoError(t, os.WriteFile(file, []byte(strings.TrimSuffix(input, "\n")+separator+got), 0o644))
				return
			}
			require.Equal(t, want, got)
			require.Equal(t, input+"\n", string(caddyfile.Format([]byte(input+"\n"))), "as caddy fmt writes it")
		})
	}
}

// result is what the adapter warns of, and the JSON that a Caddyfile gives, or the error.
func result(t *testing.T, input string) string {
	t.Helper()
	var out bytes.Buffer
	defer caddygray.OnWarning(func(text string) { out.WriteString("warning: " + text + "\n") })()
	config, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(input),
		map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return out.String() + err.Error() + "\n"
	}
	require.Empty(t, warnings)
	require.NoError(t, json.Indent(&out, config, "", "\t"))
	return out.String() + "\n"
}
