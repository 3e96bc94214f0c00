package caddy

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/e2e/paste"
	"github.com/grayrelease/gray/e2e/servers"
)

// The commands of the guide give the answers that it promises, and leave nothing but the program.
func TestGuide(t *testing.T) {
	paste.Needs(t, "bash")
	paste.Needs(t, "curl")
	guide, err := os.ReadFile("../../docs/guide.md")
	require.NoError(t, err)
	checkout := paste.Checkout(t, "../..", "examples/guide", "caddygray", "rollout", "core", "internal")
	var ports []string
	for _, written := range []string{"8080", "9001", "9002"} {
		ports = append(ports, written, port(servers.FreeAddress(t)))
	}
	for _, name := range []string{"Caddyfile", "policy.json"} {
		path := filepath.Join(checkout, "examples/guide", name)
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, []byte(strings.NewReplacer(ports...).Replace(string(text))), 0o600))
	}
	admin, home := servers.FreeAddress(t), t.TempDir()
	answers := paste.Run(t, &paste.Document{
		Text:    string(guide),
		Folder:  checkout,
		Env:     []string{"XDG_DATA_HOME=" + home, "XDG_CONFIG_HOME=" + home, "CADDY_ADMIN=" + admin},
		Replace: append(ports, "localhost:2019", admin),
	})
	require.Len(t, answers, 19)
	for _, a := range answers {
		promised, _, _ := strings.Cut(a.Promised, ": ")
		require.Equal(t, promised, a.Got, "%s\n%s", a.Line, a.Output)
	}
	left, err := os.ReadDir(filepath.Join(checkout, "bin"))
	require.NoError(t, err)
	require.Len(t, left, 1, "bin/caddy")
}

// The guide shows the policy that its commands begin with.
func TestGuidePolicy(t *testing.T) {
	guide, err := os.ReadFile("../../docs/guide.md")
	require.NoError(t, err)
	policy, err := os.ReadFile("../../examples/guide/policy.json")
	require.NoError(t, err)
	require.True(t, json.Valid(policy))
	require.Contains(t, string(guide), "```json\n"+string(policy)+"```\n")
}
