package sources

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core/source"
	"github.com/grayrelease/gray/e2e/backends"
	"github.com/grayrelease/gray/e2e/servers"
)

var (
	readmeSource = regexp.MustCompile(`-source "([^"]+)"`)
	readmeSwitch = regexp.MustCompile(`\{"epoch": \d, "to": "[^}]*\}`)
)

// Each example's policy and switches do what its README says, with the program that it names.
func TestExamples(t *testing.T) {
	program := filepath.Join(t.TempDir(), "sources")
	build := exec.Command("go", "build", "-o", program, "./examples/sources")
	build.Dir = "../.."
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	for _, each := range backends.All {
		folder := filepath.Join("../../examples/sources", each.Name)
		readme, err := os.ReadFile(filepath.Join(folder, "README.md"))
		if err != nil {
			continue
		}
		t.Run(each.Name, func(t *testing.T) {
			b := each.Start(t)
			policy, err := os.ReadFile(filepath.Join(folder, "policy.json"))
			require.NoError(t, err)
			url := readmeSource.FindSubmatch(readme)
			require.NotNil(t, url)
			_, err = source.Open(strings.Replace(string(url[1]), "$PWD", "", 1), nil)
			require.NoError(t, err)
			switches := readmeSwitch.FindAllString(string(readme), -1)
			require.Len(t, switches, 2)

			b.Put("example", string(policy))
			address := servers.Host(servers.FreePorts(t, 1)[0])
			ctx, cancel := context.WithCancel(context.Background())
			gateway := exec.CommandContext(ctx, program, "-source", b.URL("example"), "-cache", t.TempDir(), "-listen", address)
			require.NoError(t, gateway.Start())
			t.Cleanup(func() { cancel(); _ = gateway.Wait() })

			expect := func(header, version string) {
				t.Helper()
				require.Eventually(t, func() bool { return fetch("http://"+address+"/", header) == version }, patience, 5*time.Millisecond, "%s for %q", version, header)
			}
			expect("beta", "v2")
			expect("", "v1")
			b.Put(b.Switch("example"), switches[0])
			expect("beta", "v1")
			var states []map[string]any
			require.NoError(t, json.Unmarshal([]byte(fetch("http://"+address+"/gray/", "")), &states))
			require.Equal(t, "v1", states[0]["forced"])
			b.Put(b.Switch("example"), switches[1])
			expect("beta", "v2")
		})
	}
}

func fetch(url, appVersion string) string {
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		return err.Error()
	}
	if appVersion != "" {
		req.Header.Set("X-App-Version", appVersion)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text))
}
