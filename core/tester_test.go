package core

import (
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const testerPolicy = `"tester": {"secret": "` + oneSecret + `", "lifetime": "2h"}, "cookie": {"domain": "example.com"},
	"rules": [{"name": "never", "version": "v2", "when": ["header X-Never exists"]}]`

// link returns the address of a tester's link that is good for an hour.
func link(secret, service, version string) string {
	return "/?a=1&gray=" + TesterToken(secret, service, version, time.Now().Add(time.Hour))
}

func TestTesterLink(t *testing.T) {
	e := engineFor(t, testerPolicy)
	r := request(link(oneSecret, "shop", "v2"))
	caller := &Caller{Request: r}
	d := Decide(e, caller)
	require.Equal(t, "v2", d.Version)
	require.Equal(t, TesterRule, d.Rule)
	require.Equal(t, "a tester's link chose the version", Reason(e, d))
	x := Explain(e, &Caller{Request: r})
	require.Equal(t, []string{"v2", TesterRule, Reason(e, d)}, []string{x.Version, x.Rule, x.Reason})
	require.True(t, caller.SetsCookie())

	passed, response := serve(e, request(link(oneSecret, "shop", "v2")))
	require.Equal(t, "v2", passed.Get("X-Gray-Version"))
	require.Contains(t, response.Get("Cache-Control"), "private")
	require.Len(t, response["Set-Cookie"], 1)
	set, err := http.ParseSetCookie(response.Get("Set-Cookie"))
	require.NoError(t, err)
	assert.Equal(t, "gray_tester_shop", set.Name)
	assert.Equal(t, "example.com", set.Domain)
	assert.Equal(t, 7200, set.MaxAge)
	assert.True(t, set.HttpOnly)

	// The cookie stays in force, is not set again, and is no link.
	passed, response = serve(e, request("/", "Cookie: a=1; gray_tester_shop="+set.Value))
	assert.Equal(t, "v2", passed.Get("X-Gray-Version"))
	assert.Empty(t, response["Set-Cookie"])
	assert.Empty(t, response["Cache-Control"])
	passed, response = serve(e, request("/?gray="+set.Value))
	assert.Equal(t, "v1", passed.Get("X-Gray-Version"))
	assert.Empty(t, response["Set-Cookie"])

	// A preflight is of the version, and takes no cookie.
	r = request(link(oneSecret, "shop", "v2"), "Origin: https://a.example", "Access-Control-Request-Method: PUT")
	r.Method = http.MethodOptions
	passed, response = serve(e, r)
	assert.Equal(t, "v2", passed.Get("X-Gray-Version"))
	assert.Empty(t, response["Set-Cookie"])
	assert.Empty(t, response["Cache-Control"])

	// Another link changes the version, and an empty one ends it.
	passed, response = serve(e, request(link(oneSecret, "shop", "v1"), "Cookie: gray_tester_shop="+set.Value))
	assert.Equal(t, "v1", passed.Get("X-Gray-Version"))
	assert.Len(t, response["Set-Cookie"], 1)
	passed, response = serve(e, request("/?gray=", "Cookie: gray_tester_shop="+set.Value))
	assert.Equal(t, "v1", passed.Get("X-Gray-Version"))
	assert.Contains(t, response.Get("Set-Cookie"), "gray_tester_shop=; Path=/; Domain=example.com; Max-Age=0")
	assert.Contains(t, response.Get("Cache-Control"), "private")
	_, response = serve(e, request("/?gray="))
	assert.Empty(t, response["Set-Cookie"], "there is nothing to end")
	assert.Equal(t, []string{"Cookie", "X-Never"}, Vary(e))
	assert.Equal(t, []string{"v1", "v2"}, e.TesterVersions())
	assert.True(t, Reachable(e)["v2"])
}

func TestForgedTesters(t *testing.T) {
	e := engineFor(t, testerPolicy)
	good := TesterToken(oneSecret, "shop", "v2", time.Now().Add(time.Hour))
	version, rest, _ := strings.Cut(good, ".")
	over := TesterToken(oneSecret, "shop", "v2", time.Now().Add(-time.Second))
	cookie := testerToken(oneSecret, forCookie+"shop", "v2", time.Now().Add(-time.Second))
	for _, token := range []string{
		"v2", "v2.", "v1." + rest, version, good + "x", good[1:], over, "..", ".", "v2.9999999999.x",
		TesterToken(twoSecret, "shop", "v2", time.Now().Add(time.Hour)),
		TesterToken(oneSecret, "other", "v2", time.Now().Add(time.Hour)),
		TesterToken(oneSecret, "shop", "v3", time.Now().Add(time.Hour)),
		testerToken(oneSecret, forCookie+"shop", "v2", time.Now().Add(time.Hour)),
	} {
		passed, response := serve(e, request("/?gray="+token))
		assert.Equal(t, "v1", passed.Get("X-Gray-Version"), token)
		assert.Empty(t, response["Set-Cookie"], token)
	}
	for _, token := range []string{"v2", good, cookie, ""} {
		passed, _ := serve(e, request("/", "Cookie: gray_tester_shop="+token))
		assert.Equal(t, "v1", passed.Get("X-Gray-Version"), token)
	}
	passed, response := serve(engineFor(t, ""), request("/?gray="+good))
	assert.Equal(t, "v1", passed.Get("X-Gray-Version"), "nothing is configured")
	assert.Empty(t, response["Set-Cookie"])
}

func TestTestersUnderAnOverlay(t *testing.T) {
	e := engineFor(t, testerPolicy)
	token := testerToken(oneSecret, forCookie+"shop", "v2", time.Now().Add(time.Hour))
	for name, o := range map[string]Overlay{
		"forced": {Force: "v1", Reason: "switched"}, "withdrawn": {Withdrawn: []string{"v2"}},
	} {
		f := e.With(o)
		passed, response := serve(f, request(link(oneSecret, "shop", "v2"), "Cookie: gray_tester_shop="+token))
		assert.Equal(t, "v1", passed.Get("X-Gray-Version"), name)
		assert.Empty(t, response["Set-Cookie"], name)
		assert.False(t, Reachable(f)["v2"], name)
		assert.Equal(t, "v1", Explain(f, &Caller{Request: request(link(oneSecret, "shop", "v2"))}).Version, name)
	}
	passed, _ := serve(e.With(Overlay{Force: "v2"}), request(link(oneSecret, "shop", "v1")))
	assert.Equal(t, "v2", passed.Get("X-Gray-Version"))
	passed, _ = serve(e.With(Overlay{Withdrawn: []string{"v1"}}), request("/", "Cookie: gray_tester_shop="+token))
	assert.Equal(t, "v2", passed.Get("X-Gray-Version"), "stable cannot be withdrawn")
}

func TestTesterCookieNames(t *testing.T) {
	assert.Equal(t, "gray_tester_shop-1.x", testerCookie("shop-1.x"))
	assert.Equal(t, "gray_tester_a_b___", testerCookie("a b/ü"))
}

// The shell lines of docs/policy.md make a link that works.
func TestDocumentedTesterLink(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not installed")
	}
	page, err := os.ReadFile("../docs/policy.md")
	require.NoError(t, err)
	lines := regexp.MustCompile("(?s)```sh\nSECRET=[^\n]*\n(version=.*?)```").FindSubmatch(page)
	require.NotNil(t, lines)
	shell := exec.Command("sh", "-c", string(lines[1]))
	shell.Env = append(os.Environ(), "SECRET="+oneSecret)
	output, err := shell.Output()
	require.NoError(t, err)
	passed, response := serve(engineFor(t, testerPolicy), request(strings.TrimSpace(string(output))))
	assert.Equal(t, "v2", passed.Get("X-Gray-Version"), string(output))
	assert.Len(t, response["Set-Cookie"], 1)
}
