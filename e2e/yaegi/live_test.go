package yaegi_test

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core/source"
	"github.com/grayrelease/gray/e2e/yaegi"
)

// TestFollowedDocument has the interpreter refuse what a document may not do, and allow what it
// may.
func TestFollowedDocument(t *testing.T) {
	t.Setenv("GRAY_TEST_TAG", "s3cret")
	plugin := yaegi.Load(t, root)
	for _, c := range []struct {
		part, want string
		source     map[string]any
	}{
		{`"discover": "consul://h/shop?tag=${GRAY_TEST_TAG}"`, "${GRAY_TEST_TAG} is not allowed here", nil},
		{`"discover": "consul://169.254.169.254/shop"`, "169.254.169.254 may not be asked", nil},
		{`"discover": "consul://h/shop?tls=true&ca_file=/etc/shadow"`, "the file is not allowed here", nil},
		{`"discover": "consul://127.0.0.1:1/shop"`, "127.0.0.1 may not be asked",
			map[string]any{"allow_hosts": []any{"*.example.com"}}},
		{`"discover": "consul://127.0.0.1:1/shop?tag=${GRAY_TEST_TAG}"`, "",
			map[string]any{"allow_env": []any{"GRAY_TEST_TAG"}, "allow_hosts": []any{"127.0.0.0/8"}}},
	} {
		file := filepath.Join(t.TempDir(), "shop.json")
		require.NoError(t, os.WriteFile(file, []byte(
			`{"service": "shop", "stable": "v1", "versions": {"v1": {}, "v2": {`+c.part+`}}}`), 0o600))
		source := map[string]any{"url": "file://" + file}
		maps.Copy(source, c.source)
		ctx, cancel := context.WithCancel(t.Context())
		handler, err := plugin.New(ctx, http.NotFoundHandler(),
			map[string]any{"mode": "proxy", "statePath": "/state", "source": source}, "gray@test")
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, httptest.NewRequest("GET", "/state", nil))
			if c.want == "" {
				return strings.Contains(w.Body.String(), `"origin": "source"`)
			}
			require.NotContains(t, w.Body.String(), "s3cret")
			return strings.Contains(w.Body.String(), c.want)
		}, 10*time.Second, 10*time.Millisecond, c.part)
		cancel()
	}
}

// TestSource changes a followed file and its switch under a loaded plugin, in both modes.
func TestSource(t *testing.T) {
	canary := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("canary"))
	}))
	defer canary.Close()
	const head = `{"service": "shop", "stable": "v1", "versions": {"v1": {}, "v2": {"upstreams": ["`
	everybody := head + canary.URL + `"]}}, "rules": [{"name": "all", "version": "v2"}]}`
	plugin := yaegi.Load(t, root)
	for _, mode := range []string{"header", "proxy"} {
		t.Run(mode, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "shop.json")
			write := func(path, text string) {
				require.NoError(t, os.WriteFile(path+"~", []byte(text), 0o600))
				require.NoError(t, os.Rename(path+"~", path))
			}
			stable := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if mode == "header" && r.Header.Get("X-Gray-Version") == "v2" {
					_, _ = w.Write([]byte("canary"))
					return
				}
				_, _ = w.Write([]byte("stable"))
			})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			handler, err := plugin.New(ctx, stable, map[string]any{
				"mode": mode, "statePath": "/state", "source": map[string]any{"url": "file://" + file},
			}, "gray@test")
			require.NoError(t, err)
			get := func(path string) string {
				w := httptest.NewRecorder()
				handler.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
				return w.Body.String()
			}
			serves := func(what string) {
				t.Helper()
				require.Eventually(t, func() bool { return get("/") == what }, 10*time.Second, 5*time.Millisecond)
			}
			require.Equal(t, "stable", get("/"))
			write(file, everybody)
			serves("canary")
			write(file+".switch", `{"epoch": 1, "to": "v1", "reason": "errors"}`)
			serves("stable")
			var state struct {
				Forced string
				Switch struct{ Reason string }
				File   source.SwitchFile `json:"switch_file"`
			}
			require.NoError(t, json.Unmarshal([]byte(get("/state")), &state))
			require.Equal(t, source.SwitchFile{Path: file + ".switch", Folder: "writable"}, state.File)
			require.Equal(t, "v1", state.Forced)
			require.Equal(t, "errors", state.Switch.Reason)
			write(file+".switch", `{"epoch": 2, "to": ""}`)
			serves("canary")
		})
	}
	require.Empty(t, plugin.Stderr.String())
}

func TestSourceIsChecked(t *testing.T) {
	plugin := yaegi.Load(t, root)
	for source, problem := range map[string]string{"": "source.url: required", "zookeeper://host/key": "unknown scheme"} {
		_, err := plugin.New(t.Context(), http.NotFoundHandler(),
			map[string]any{"source": map[string]any{"url": source}}, "gray@test")
		require.ErrorContains(t, err, problem)
	}
}

// TestKeysThatCannotBeReadAreLogged uses keys whose server is down, in the configuration's own
// policy and in a followed one.
func TestKeysThatCannotBeReadAreLogged(t *testing.T) {
	dir := t.TempDir()
	output, err := os.Create(filepath.Join(dir, "output"))
	require.NoError(t, err)
	defer output.Close()
	stdout := os.Stdout
	os.Stdout = output // what the plugin writes goes to that of the process
	defer func() { os.Stdout = stdout }()
	policy := map[string]any{
		"service": "own", "stable": "v1", "versions": map[string]any{"v1": map[string]any{}},
		"jwt": map[string]any{"jwks": "http://127.0.0.1:1/keys", "plaintext": true},
	}
	file := filepath.Join(dir, "followed.json")
	const followed = `{"service": "followed", "stable": "v1", "versions": {"v1": {}}, "jwt": {"jwks": ` +
		`"http://127.0.0.1:1/others", "plaintext": true}}`
	require.NoError(t, os.WriteFile(file, []byte(followed), 0o600))

	plugin := yaegi.Load(t, root)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, config := range []map[string]any{policy, {"source": map[string]any{"url": "file://" + file}}} {
		_, err := plugin.New(ctx, http.NotFoundHandler(), config, "gray@test")
		require.NoError(t, err)
	}
	for _, service := range []string{"own", "followed"} {
		line := `level=WARN msg="keys for tokens cannot be read; those known so far stay" ` +
			`plugin=gray middleware=gray@test service=` + service + " "
		require.Eventually(t, func() bool {
			text, err := os.ReadFile(output.Name())
			return err == nil && strings.Contains(string(text), line)
		}, 10*time.Second, 5*time.Millisecond, service)
	}
	require.Empty(t, plugin.Stderr.String())
}
