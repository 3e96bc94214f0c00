package caddy

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestQuickstart runs the example on other ports, and asks what the README asks.
func TestQuickstart(t *testing.T) {
	text, err := os.ReadFile("../../examples/quickstart/Caddyfile")
	require.NoError(t, err)
	port := func() string { return freeAddress(t)[len("127.0.0.1:"):] }
	site, v1, v2 := port(), port(), port()
	caddyfile := strings.NewReplacer("8080", site, "9001", v1, "9002", v2).Replace(string(text))
	path := filepath.Join(t.TempDir(), "Caddyfile")
	require.NoError(t, os.WriteFile(path, []byte("{\n\tadmin off\n}\n"+caddyfile), 0o600))
	p := startProcess(t, nil, []string{"HOME=" + t.TempDir()}, Binary(t), "run", "--config", path)
	p.await(t, "127.0.0.1:"+site)

	ask := func(header, value string) string {
		req, err := http.NewRequest(http.MethodGet, "http://localhost:"+site, nil)
		require.NoError(t, err)
		if header != "" {
			req.Header.Set(header, value)
		}
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		return string(body)
	}
	require.Equal(t, "v1 serves\n", ask("", ""))
	require.Equal(t, "v2 serves\n", ask("X-App-Version", "beta"))
	require.Equal(t, "v1 serves\n", ask("Cookie", "uid=u-1"))
	require.Equal(t, "v2 serves\n", ask("Cookie", "uid=u-14"), "one of the five percent")
}
