package caddygray_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/caddygray"
	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/live"
)

// The admin API shows policies that stand in the configuration too, explains what they decide, and
// throws their kill switch.
func TestAdminOfAPolicyInPlace(t *testing.T) {
	address, admin, dead := freeAddress(t), freeAddress(t), freeAddress(t)
	config := adapt(t, fmt.Sprintf(`{
	admin %s
	persist_config off
	grace_period 1ns
	log {
		level FATAL
	}
}
http://%s {
	gray shop {
		stable v1
		version v1 %s
		version v2 %s
		identity cookie uid, ip
		rule testers v2 {
			when header X-Beta = 1
		}
		rule ramp v2 {
			percent 5
		}
		cache %s
	}
	reverse_proxy {
		dynamic gray
	}
}
`, admin, address, says(t, "one"), dead, t.TempDir()))
	load(t, config)
	post := func(path, body string) (int, string) {
		t.Helper()
		return callAdmin(t, http.MethodPost, "http://"+admin+path, body)
	}
	served := func() string {
		req, err := http.NewRequest(http.MethodGet, "http://"+address, nil)
		require.NoError(t, err)
		req.Header.Set("X-Beta", "1")
		req.Close = true
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		return res.Status
	}

	status, body := post("/gray/shop/explain", `{"path": "/cart?a=b", "headers": {"X-Beta": ["1"]}}`)
	require.Equal(t, 200, status, body)
	var x core.Explanation
	require.NoError(t, json.Unmarshal([]byte(body), &x))
	assert.Equal(t, "v2", x.Version)
	assert.Equal(t, `rule "testers" matched`, x.Reason)
	status, body = post("/gray/shop/explain", `{"cookies": {"uid": "u-1027"}, "address": "192.0.2.1"}`)
	require.Equal(t, 200, status, body)
	x = core.Explanation{}
	require.NoError(t, json.Unmarshal([]byte(body), &x))
	assert.Equal(t, "u-1027", x.Identity)
	assert.Equal(t, "header X-Beta = 1", x.Rules[0].Failed)
	assert.NotEmpty(t, x.Rules[1].Bucket.Position)
	status, body = post("/gray/shop/explain", "")
	require.Equal(t, 200, status, body)
	assert.Contains(t, body, `"identity":"127.0.0.1"`)
	for body, want := range map[string]string{
		`{"address": "here"}`:                  `address: \"here\" is not an address`,
		`{"path": "cart"}`:                     `does not begin with a slash`,
		`{"headers": {"host": ["a"]}}`:         "give `host`",
		`{"headrs": {}}`:                       `headers`,
		`{"headers": {"X-Beta": "1"}}`:         `headers`,
		`{"path": "` + string(make([]byte, 9)): "",
	} {
		status, answer := post("/gray/shop/explain", body)
		assert.Equal(t, 400, status, body)
		assert.Contains(t, answer, want)
	}
	status, body = post("/gray/shap/explain", "")
	assert.Equal(t, 404, status)
	assert.Contains(t, body, "there are: shop")

	state := func() (s struct {
		live.State
		Versions map[string][]struct {
			Address string
			Up      bool
		}
		Rules []struct {
			Name    string
			Percent float64
		}
	}) {
		t.Helper()
		_, text := callAdmin(t, http.MethodGet, "http://"+admin+"/gray/", "")
		text = strings.Trim(text, "[]\n")
		require.NoError(t, json.Unmarshal([]byte(text), &s), text)
		return s
	}
	assert.Equal(t, "shop", state().Service)
	assert.Equal(t, "configuration", state().Origin)
	assert.True(t, state().Versions["v2"][0].Up)
	assert.Equal(t, "200 OK", served(), "stable steps in")
	assert.False(t, state().Versions["v2"][0].Up)
	assert.Equal(t, dead, state().Versions["v2"][0].Address)
	assert.EqualValues(t, 5, state().Rules[1].Percent)
	assert.NotContains(t, get(t, "http://"+admin+"/metrics", "").body, "caddy_gray_source_connected")

	for body, want := range map[string]string{
		`{}`:                  "to: required",
		`{"to": "v3"}`:        `no version`,
		`{"too": "v1"}`:       `\"to\"`,
		`{"to": "v1"} {"to":`: "",
	} {
		status, answer := post("/gray/shop/switch", body)
		assert.GreaterOrEqual(t, status, 400, body)
		assert.Less(t, status, 500, body)
		assert.Contains(t, answer, want)
	}
	status, body = post("/gray/shop/switch", `{"to": "v1", "reason": "errors", "by": "ann"}`)
	require.Equal(t, 200, status, body)
	assert.Contains(t, body, `"epoch":1`)
	assert.Equal(t, "v1", state().Forced)
	status, body = post("/gray/shop/explain", `{"headers": {"X-Beta": ["1"]}}`)
	require.Equal(t, 200, status)
	assert.Contains(t, body, `the switch sends everybody to \"v1\"`)
	require.NoError(t, caddy.Stop())
	require.NoError(t, caddy.Load(config, true))
	assert.Equal(t, "v1", state().Forced, "a restart does not end it")
	status, body = post("/gray/shop/switch", `{"to": ""}`)
	require.Equal(t, 200, status, body)
	assert.Contains(t, body, `"epoch":2`)
	assert.Empty(t, state().Forced)
}

// The command line asks the admin API.
func TestCommandLine(t *testing.T) {
	s := release(t, t.TempDir(), "step 20% until approved\n step 100%\n guard errors")
	s.await(core.PhaseRunning, 1)
	run := func(args ...string) (string, error) {
		var out strings.Builder
		cmd := caddygray.CommandLine()
		cmd.SetOut(&out)
		cmd.SetErr(&out)
		cmd.SetArgs(append(args, "--address", s.admin))
		err := cmd.Execute()
		return out.String(), err
	}
	out, err := run("explain", "shop", "--header", "X-Beta: 1", "--cookie", "uid=u-1", "--placeholder",
		"http.auth.user.id=ann", "--ip", "192.0.2.7",
		"--path", "/cart")
	require.NoError(t, err)
	assert.Contains(t, out, `"rule": "testers"`)
	out, err = run("switch", "shop", "v1", "--reason", "errors")
	require.NoError(t, err)
	assert.Contains(t, out, `"epoch": 1`)
	out, err = run("status", "shop")
	require.NoError(t, err)
	assert.Contains(t, out, `"forced": "v1"`)
	_, err = run("switch", "shop", "--end")
	require.NoError(t, err)
	out, err = run("rollback", "shop", "--reason", "I say so")
	require.NoError(t, err)
	assert.Contains(t, out, "rolled back by hand: I say so")
	for _, args := range [][]string{
		{"switch", "shop"}, {"switch", "shop", "v1", "--end"}, {"switch", "shop", "v9"}, {"advance", "shop"},
		{"explain", "shop", "--header", "X-Beta"}, {"explain", "shop", "--cookie", "uid"},
		{"explain", "shop", "--placeholder", "x"}, {"explain", "nobody"},
	} {
		_, err := run(args...)
		assert.Error(t, err, args)
	}
}
