package main

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/e2e/caddy"
	"github.com/grayrelease/gray/e2e/yaegi"
)

func TestMain(m *testing.M) {
	code := m.Run()
	caddy.RemoveBinary()
	os.Exit(code)
}

// A document may name its schema, for editors: in a file and in the configuration of each host.
func TestDocumentsMayNameTheirSchema(t *testing.T) {
	const fields = `"$schema": "policy.schema.json", "service": "shop", "stable": "v1",
		"versions": {"v1": {"upstreams": ["10.0.0.1:8080"]}}`
	path := filepath.Join(t.TempDir(), "policy.json")
	require.NoError(t, os.WriteFile(path, []byte("{"+fields+"}"), 0o600))
	require.NoError(t, validate(t, compiled(t), "{"+fields+"}"))

	t.Run("a file", func(t *testing.T) {
		policy, err := live.ReadPolicy(path)
		require.NoError(t, err)
		require.Equal(t, "policy.schema.json", policy.Schema)
	})
	t.Run("Traefik", func(t *testing.T) {
		plugin := yaegi.Load(t, "../..")
		for _, config := range []map[string]any{
			{"policy": path},
			{"$schema": "x", "policy": path},
			{"$schema": "x", "service": "shop", "stable": "v1", "versions": map[string]any{"v1": nil}},
		} {
			_, err := plugin.New(t.Context(), http.NotFoundHandler(), config, "gray@file")
			require.NoError(t, err, config)
		}
	})
	t.Run("Caddy", func(t *testing.T) {
		for _, policy := range []string{fields, `"policy": "` + path + `"`, `"$schema": "x", "policy": "` + path + `"`} {
			file := filepath.Join(t.TempDir(), "caddy.json")
			require.NoError(t, os.WriteFile(file, []byte(`{"apps": {"http": {"servers": {"site": {"listen": ["127.0.0.1:0"],
				"routes": [{"handle": [{"handler": "gray", `+policy+`}]}]}}}}}`), 0o600))
			home := t.TempDir()
			command := exec.Command(caddy.Binary(t), "validate", "--config", file)
			command.Env = append(os.Environ(), "HOME="+home, "XDG_DATA_HOME="+home, "XDG_CONFIG_HOME="+home)
			output, err := command.CombinedOutput()
			require.NoError(t, err, "%s", output)
		}
	})
}
