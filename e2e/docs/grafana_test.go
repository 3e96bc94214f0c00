package docs

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"
)

func isPrometheus(b block) bool { return b.language == "yaml" && b.begins("rule_files:") }

// runPrometheus has Prometheus' own tool check the configuration, beside the rules of the example.
func runPrometheus(t *testing.T, b block) {
	tool, dir := installed(t, "promtool"), t.TempDir()
	rules, err := os.ReadFile(filepath.Join(root, "examples/grafana/rules.yml"))
	require.NoError(t, err)
	config := strings.ReplaceAll(b.text, "/etc/prometheus/", "")
	files := map[string]string{"prometheus.yml": config, "rules.yml": string(rules), "gray.token": "secret"}
	for name, text := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	output, err := exec.Command(tool, "check", "config", filepath.Join(dir, "prometheus.yml")).CombinedOutput()
	require.NoError(t, err, "%s", output)
	assert.Contains(t, string(output), "rules found")
}

func isGrafana(b block) bool { return b.language == "yaml" && b.begins("apiVersion: 1\n") }

// runGrafana reads the file as Grafana documents it. No Grafana runs here.
func runGrafana(t *testing.T, b block) {
	var file struct {
		APIVersion int `yaml:"apiVersion"`
		Providers  []struct {
			Name    string `yaml:"name"`
			Type    string `yaml:"type"`
			Options struct {
				Path string `yaml:"path"`
			} `yaml:"options"`
		} `yaml:"providers"`
	}
	decoder := yaml.NewDecoder(strings.NewReader(b.text))
	decoder.KnownFields(true)
	require.NoError(t, decoder.Decode(&file))
	require.Len(t, file.Providers, 1)
	assert.Equal(t, "file", file.Providers[0].Type)
	assert.True(t, filepath.IsAbs(file.Providers[0].Options.Path))
}
