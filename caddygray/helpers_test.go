package caddygray_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
	"github.com/stretchr/testify/require"

	_ "github.com/grayrelease/gray/caddygray"
)

// object is a piece of JSON.
type object = map[string]any

// start runs Caddy with a configuration in JSON until the test ends. A process has one Caddy, so no
// test here runs in parallel.
func start(t *testing.T, apps object) {
	t.Helper()
	config, err := json.Marshal(object{
		"admin":   object{"disabled": true, "config": object{"persist": false}},
		"logging": object{"logs": object{"default": object{"level": "FATAL"}}},
		"apps":    apps,
	})
	require.NoError(t, err)
	load(t, config)
}

// startCaddyfile runs Caddy with a Caddyfile, to which it adds what tests need.
func startCaddyfile(t testing.TB, caddyfile string) {
	t.Helper()
	load(t,
		adapt(t, "{\n\tadmin off\n\tpersist_config off\n\tgrace_period 1ns\n\tskip_install_trust\n\tauto_https off\n"+
			"\tlog {\n\t\tlevel FATAL\n\t}\n}\n"+caddyfile))
}

// startLogging is like startCaddyfile, with a log from level INFO on. It returns a function that
// returns the lines with a text in them.
func startLogging(t *testing.T, caddyfile string) (logged func(text string) []string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "log")
	load(t,
		adapt(t, "{\n\tadmin off\n\tpersist_config off\n\tgrace_period 1ns\n\tauto_https off\n\tlog {\n"+
			"\t\toutput file "+file+"\n\t\tformat json\n\t}\n}\n"+caddyfile))
	return func(text string) []string {
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		var lines []string
		for line := range strings.Lines(string(data)) {
			if strings.Contains(line, text) {
				lines = append(lines, line)
			}
		}
		return lines
	}
}

func load(t testing.TB, config []byte) {
	t.Helper()
	t.Cleanup(func() { require.NoError(t, caddy.Stop()) })
	require.NoError(t, caddy.Load(config, true))
}

func adapt(t testing.TB, caddyfile string) []byte {
	t.Helper()
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), map[string]any{"filename": "Caddyfile"})
	require.NoError(t, err)
	return config
}

// replaceFile writes a file as whoever changes a followed one should: nobody reads half of it.
func replaceFile(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path+"~", []byte(text), 0o600))
	require.NoError(t, os.Rename(path+"~", path))
}

// freeAddress is a loopback address nobody listens on.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return l.Addr().String()
}

// backend is an upstream that handles requests, and its address.
func backend(t *testing.T, handle http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handle)
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// says is an upstream that answers with its name and with what the request's gray header says.
func says(t *testing.T, name string) string {
	return backend(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(name + " told " + r.Header.Get("X-Gray-Version")))
	})
}

// repeats is an upstream that answers with its name and with all that the request says of versions.
func repeats(t *testing.T, name string) string {
	return backend(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%s %q %q", name, r.Header["X-Gray-Version"], r.Header["Baggage"])
	})
}

// callAdmin sends a request to the admin endpoint, which is away for a moment after a reload.
func callAdmin(t *testing.T, method, url, body string) (status int, text string) {
	t.Helper()
	var res *http.Response
	require.Eventually(t, func() bool {
		req, err := http.NewRequest(method, url, strings.NewReader(body))
		require.NoError(t, err)
		req.Close = true
		res, err = http.DefaultClient.Do(req)
		return err == nil
	}, 10*time.Second, 10*time.Millisecond)
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode, string(data)
}
