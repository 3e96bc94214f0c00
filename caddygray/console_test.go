package caddygray_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/caddygray"
	"github.com/grayrelease/gray/rollout/api"
)

// consoleConfig is a gateway with a rollout, and a console under a prefix.
func consoleConfig(t *testing.T, gateway, console, lines string) string {
	return fmt.Sprintf(`http://%s {
	gray kiosk {
		stable v1
		version v1 %s
		version v2 %s
		identity header X-User
		rule testers v2 {
			when header X-App-Version = beta
		}
		rule ramp v2
		rollout ramp {
			step 50%% for 1h
			step 100%%
			guard errors
		}
		cache %s
	}
	reverse_proxy {
		dynamic gray
	}
}
http://%s {
	handle_path /ops/* {
		gray_console %s
	}
}`, gateway, says(t, "v1"), says(t, "v2"), t.TempDir(), console, lines)
}

// request sends a request to a console, and returns the status and the answer.
func request(t *testing.T, method, url, body string, header ...string) (status int, text string) {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	require.NoError(t, err)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode, string(data)
}

func TestConsole(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(secret, []byte("0123456789abcdef\n"), 0o600))
	gateway, console := freeAddress(t), freeAddress(t)
	startCaddyfile(t, consoleConfig(t, gateway, console, "{\n\t\t\ttoken operate "+secret+
		" ann\n\t\t\toperator {http.request.header.X-Person}\n\t\t}"))
	base := "http://" + console + "/ops/"
	status, text := request(t, "GET", base, "")
	require.Equal(t, 200, status)
	assert.Contains(t, text, "assets/app.js")
	state := func() (s api.State) {
		status, text := request(t, "GET", base+"gray/v1/kiosk", "")
		require.Equal(t, 200, status, text)
		require.NoError(t, json.Unmarshal([]byte(text), &s))
		return s
	}
	require.Eventually(t, func() bool { return state().Rollout.Phase == "running" }, 10*time.Second, 10*time.Millisecond)
	for i := range 40 {
		request(t, "GET", "http://"+gateway, "", "X-User", fmt.Sprint("u", i))
	}
	s := state()
	decisions := 0.0
	for _, d := range s.Traffic.Decisions {
		decisions += d.Count
		assert.Equal(t, d.Version == "v2" && d.Rule == "ramp" || d.Version == "v1" && d.Rule == "", d.Count > 0, d)
	}
	assert.GreaterOrEqual(t, decisions, 40.0)
	for _, r := range s.Traffic.Responses {
		assert.Positive(t, r.Count)
		assert.Equal(t, r.Count, r.Latency[len(r.Latency)-1].Count)
	}
	assert.True(t, *s.Versions["v2"][0].Up)
	assert.Equal(t, []float64{100, 50}, []float64{s.Rules[0].Percent, s.Rules[1].Percent})

	verb := base + "gray/v1/kiosk/pause"
	status, _ = request(t, "POST", verb, "{}")
	assert.Equal(t, 403, status, "who reaches it may look only")
	status, _ = request(t, "POST", verb, "{}", "X-Person", "eve", "Origin", "http://evil.example")
	assert.Equal(t, 403, status, "a page of another origin moves nothing")
	status, text = request(t, "POST", verb, `{"reason": "lunch"}`, "X-Person", "eve")
	require.Equal(t, 200, status, text)
	assert.Equal(t, "eve", state().Rollout.By)
	status, text = request(t, "POST", base+"gray/v1/kiosk/rollback", `{"reason": "bad"}`, "Authorization",
		"Bearer 0123456789abcdef")
	require.Equal(t, 200, status, text)
	assert.Equal(t, "ann", state().Rollout.By)
	for i := range 20 {
		_, text := request(t, "GET", "http://"+gateway, "", "X-User", fmt.Sprint("u", i))
		assert.Contains(t, text, "v1")
	}
	status, text = request(t, "POST", base+"gray/v1/kiosk/switch", `{"to": "v2"}`, "X-Person", "eve")
	require.Equal(t, 200, status, text)
	_, text = request(t, "GET", "http://"+gateway, "", "X-User", "u")
	assert.Contains(t, text, "v2")
}

// A reload waits for requests: it ends streams, and figures outlive it.
func TestConsoleReloads(t *testing.T) {
	console := freeAddress(t)
	config := consoleConfig(t, freeAddress(t), console, "")
	const eternal = "{\n\tadmin off\n\tpersist_config off\n\tauto_https off\n}\n" // grace
	load(t, adapt(t, eternal+config))
	base := "http://" + console + "/ops/gray/v1/"
	figures := func() (f api.Figures) {
		_, text := request(t, "GET", base+"kiosk/figures", "")
		require.NoError(t, json.Unmarshal([]byte(strings.ReplaceAll(text, "null", "0")), &f))
		return f
	}
	require.Eventually(t, func() bool { return len(figures().At) > 0 }, 10*time.Second, 10*time.Millisecond)
	first := figures().At[0]
	res, err := http.Get(base + "events")
	require.NoError(t, err)
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	require.True(t, lines.Scan())
	require.NoError(t, caddy.Load(adapt(t, eternal+"# again\n"+config), true))
	for lines.Scan() {
		continue
	}
	http.DefaultClient.CloseIdleConnections() // which the server before has closed
	assert.Equal(t, first, figures().At[0])
}

func TestConsoleCaddyfile(t *testing.T) {
	for text, want := range map[string]string{
		"gray_console": `{}`,
		"gray_console {\ntoken view /a\nprivate\n}": `{"private":true,"tokens":[{"file":"/a","role":"view"}]}`,
		"gray_console {\ntoken operate /a ann\n}":   `{"tokens":[{"file":"/a","name":"ann","role":"operate"}]}`,
		"gray_console {\noperator {http.auth.user.id}\norigins https://a https://b\n}": `{"operator":"{http.auth.user.id}",` +
			`"origins":["https://a","https://b"]}`,
		"gray_console on":                     "wrong argument count",
		"gray_console {\ntokens x\n}":         `unknown subdirective "tokens" (did you mean "token"?)`,
		"gray_console {\ntoken view\n}":       "wrong argument count",
		"gray_console {\nprivate yes\n}":      "wrong argument count",
		"gray_console {\noperator a b\n}":     "wrong argument count",
		"gray_console {\norigins\n}":          "wrong argument count",
		"gray_console {\nprivate\nprivate\n}": "private is given twice",
	} {
		c := new(caddygray.Console)
		err := c.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text))
		if !strings.HasPrefix(want, "{") {
			assert.ErrorContains(t, err, want, text)
			continue
		}
		require.NoError(t, err, text)
		made, err := json.Marshal(c)
		require.NoError(t, err)
		assert.JSONEq(t, want, string(made), text)
	}
}

func TestConsoleProblems(t *testing.T) {
	short := filepath.Join(t.TempDir(), "short")
	require.NoError(t, os.WriteFile(short, []byte("short"), 0o600))
	for config, want := range map[string]string{
		`{"private": true}`:                                       "nobody may see the console",
		`{"tokens": [{"role": "alert", "file": "/x"}]}`:           `unknown role "alert"`,
		`{"tokens": [{"role": "view"}]}`:                          "one of file and env is required",
		`{"tokens": [{"role": "view", "file": "` + short + `"}]}`: "a token needs 16 or more",
		`{"operator": "ann"}`:                                     `"ann" is not a placeholder`,
		`{"origins": ["ops.example.com"]}`:                        "is not an origin",
		`{"unknown": 1}`:                                          "unknown",
	} {
		text := `{"admin": {"disabled": true}, "apps": {"http": {"servers": {"s": {"listen": ["` + freeAddress(t) +
			`"], "routes": [{"handle": [{"handler": "gray_console", ` + config[1:] + `]}]}}}}}`
		err := caddy.Validate(configOf(t, text))
		assert.ErrorContains(t, err, want, config)
	}
}

func configOf(t *testing.T, text string) *caddy.Config {
	t.Helper()
	c := &caddy.Config{}
	require.NoError(t, json.Unmarshal([]byte(text), c))
	return c
}
