package caddy

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/e2e/servers"
)

var (
	curlLine  = regexp.MustCompile(`(?m)^\$ curl (.*)localhost:8080(\S*)\n(.*)$`)
	curlInDoc = regexp.MustCompile(`(?m)^curl (.*)localhost:8080(\S*) +# (v\d serves)`)
	option    = regexp.MustCompile(`(-H|--cookie) ('[^']*'|\S+)`)
)

// curl does what a curl line in the documentation does.
func curl(t *testing.T, options, url string) string {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	require.NoError(t, err)
	for _, o := range option.FindAllStringSubmatch(options, -1) {
		text := strings.Trim(o[2], "'")
		if o[1] == "--cookie" {
			text = "Cookie: " + text
		}
		name, value, _ := strings.Cut(text, ": ")
		req.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return strings.TrimSpace(string(body))
}

func port(address string) string { return strings.TrimPrefix(address, "127.0.0.1:") }

// runExample runs an example's Caddyfile on other ports, and returns where it listens instead of
// 8080.
func runExample(t *testing.T, path string, env []string, replace ...string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	site := servers.FreeAddress(t)
	caddyfile := strings.NewReplacer(append(replace, "8080", port(site))...).Replace(string(text))
	file := filepath.Join(t.TempDir(), "Caddyfile")
	require.NoError(t, os.WriteFile(file, []byte(caddyfile), 0o600))
	env = append([]string{"HOME=" + t.TempDir(), "CADDY_ADMIN=" + servers.FreeAddress(t)}, env...)
	startProcess(t, nil, env, Binary(t), "run", "--config", file, "--adapter", "caddyfile").await(t, site)
	return "http://localhost:" + port(site)
}

// TestQuickstart runs the example and the README's lines.
func TestQuickstart(t *testing.T) {
	url := runExample(t, "../../examples/quickstart/Caddyfile", nil, "9001", port(servers.FreeAddress(t)),
		"9002", port(servers.FreeAddress(t)))
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	lines := curlLine.FindAllStringSubmatch(string(readme), -1)
	require.NotEmpty(t, lines)
	for _, line := range lines {
		require.Equal(t, line[3], curl(t, line[1], url+line[2]), line[0])
	}
}

// TestExamples runs the Caddy examples and the lines of their README.
func TestExamples(t *testing.T) {
	v1, v2 := servers.FreeAddress(t), servers.FreeAddress(t)
	for address, answer := range map[string]string{v1: "v1 serves", v2: "v2 serves"} {
		startProcess(t, nil, []string{"HOME=" + t.TempDir(), "CADDY_ADMIN=" + servers.FreeAddress(t)}, Binary(t), "respond",
			"--listen", address, answer).await(t, address)
	}
	readme, err := os.ReadFile("../../examples/caddy/README.md")
	require.NoError(t, err)
	lines := curlInDoc.FindAllStringSubmatch(string(readme), -1)
	require.Len(t, lines, 4)

	t.Run("Caddyfile", func(t *testing.T) {
		url := runExample(t, "../../examples/caddy/Caddyfile", []string{"V1=" + v1, "V2=" + v2})
		for _, line := range lines {
			require.Equal(t, line[3], curl(t, line[1], url+line[2]), line[0])
		}
	})
	t.Run("policy file", func(t *testing.T) {
		policy, err := os.ReadFile("../../examples/caddy/policy.json")
		require.NoError(t, err)
		path := filepath.Join(t.TempDir(), "policy.json")
		require.NoError(t,
			os.WriteFile(path,
				[]byte(strings.NewReplacer("127.0.0.1:9001", v1, "127.0.0.1:9002", v2).Replace(string(policy))), 0o600))
		url := runExample(t, "../../examples/caddy/policy.Caddyfile", []string{"POLICY=" + path})
		require.Equal(t, "v2 serves", curl(t, "-H 'X-App-Version: beta' ", url))
		require.Equal(t, "v1 serves", curl(t, "--cookie uid=u-1 ", url))
	})
	t.Run("kill switch", func(t *testing.T) {
		url := runExample(t, "../../examples/caddy/Caddyfile", []string{"V1=" + v1, "V2=" + v2, "GRAY=false"})
		require.Equal(t, "v1 serves", curl(t, "-H 'X-App-Version: beta' ", url))
	})
	t.Run("fallback", func(t *testing.T) {
		url := runExample(t, "../../examples/caddy/Caddyfile", []string{"V1=" + v1, "V2=" + servers.FreeAddress(t)})
		require.Equal(t, "v1 serves", curl(t, "-H 'X-App-Version: beta' ", url))
	})
}

// TestRolloutExample runs the example until its bad version is back, and the lines of the docs.
func TestRolloutExample(t *testing.T) {
	admin := servers.FreeAddress(t)
	folder := t.TempDir()
	console := servers.FreeAddress(t)
	url := runExample(t, "../../examples/rollout/Caddyfile", []string{"PWD=" + folder, "CADDY_ADMIN=" + admin},
		"8081", port(console), "9001", port(servers.FreeAddress(t)), "9002", port(servers.FreeAddress(t)),
		"% 60 >= 30", "% 4 >= 2")
	failed := 0
	for i := 0; !strings.Contains(curl(t, "", "http://"+admin+"/gray/shop"), `"phase":"rolled-back"`); i++ {
		if curl(t, fmt.Sprintf("--cookie uid=u-%d ", i), url) == "v2 fails" {
			failed++
		}
		require.Less(t, i, 5000)
	}
	require.Less(t, failed, 100)
	for i := range 100 {
		require.Equal(t, "v1 serves", curl(t, fmt.Sprintf("--cookie uid=u-%d ", i), url))
	}
	res, err := http.Post("http://"+admin+"/gray/shop/retry", "", nil)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Contains(t, string(body), `"attempt":2`)
	require.Contains(t, curl(t, "", "http://"+console+"/gray/v1/shop"), `"attempt":2`)
	require.Contains(t, curl(t, "", "http://"+console), "<title>gray</title>")
}
