package console

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/internal/daemon"
	"github.com/grayrelease/gray/rollout/api"
)

func handler() *httptest.Server {
	feed := api.NewFeed(func() []api.Service { return nil })
	return httptest.NewServer(Handler(api.New(feed, daemon.Callers{})))
}

// Every file has its type and the policy, is not read again without need, and no page may frame it.
func TestFiles(t *testing.T) {
	server := handler()
	defer server.Close()
	kinds := map[string]string{".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml",
		"": "text/plain"}
	for _, name := range append(Files(), "") {
		if name == page {
			continue // it is at /
		}
		res, err := server.Client().Get(server.URL + "/" + name)
		require.NoError(t, err)
		res.Body.Close()
		require.Equal(t, 200, res.StatusCode, name)
		kind := kinds[filepath.Ext(name)]
		if name == "" {
			kind = kinds[".html"]
		}
		assert.Contains(t, res.Header.Get("Content-Type"), kind, name)
		csp := res.Header.Get("Content-Security-Policy")
		for _, part := range []string{"default-src 'none'", "script-src 'self';", "style-src 'self';",
			"frame-ancestors 'none'", "base-uri 'none'"} {
			assert.Contains(t, csp, part)
		}
		assert.NotContains(t, csp, "unsafe")
		req := httptest.NewRequest("GET", server.URL+"/"+name, nil)
		req.RequestURI = ""
		req.Header.Set("If-None-Match", res.Header.Get("ETag"))
		again, err := server.Client().Do(req)
		require.NoError(t, err)
		again.Body.Close()
		assert.Equal(t, 304, again.StatusCode, name)
	}
}

// What the policy forbids is not there, and nothing is asked of anybody else.
func TestNothingInline(t *testing.T) {
	for _, name := range Files() {
		if strings.Contains(name, "/vendor/") {
			continue
		}
		data, err := assets.ReadFile(name)
		require.NoError(t, err)
		text := strings.ReplaceAll(string(data), "http://www.w3.org/2000/svg", "") // a name, not an address
		assert.NotRegexp(t, `https?://|[^-]//[a-z]+\.|innerHTML|outerHTML|insertAdjacentHTML|eval\(|new Function`, text, name)
		if strings.HasSuffix(name, ".html") {
			assert.NotRegexp(t, `<style|style=|<script>| on[a-z]+=|(src|href)="/`, text, name)
		}
	}
}

var (
	key  = regexp.MustCompile(`(?m)^\t"?([a-zA-Z.-]+)"?: "`)
	used = regexp.MustCompile("\\bt\\(\"([^\"]+)\"|\\bt\\(`([a-z]+)\\.")
)

// Both languages say everything that is used, and nothing else.
func TestWords(t *testing.T) {
	data, err := assets.ReadFile("assets/words.js")
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(data), "const english = {")
	require.True(t, ok)
	english, rest, ok := strings.Cut(rest, "\n};")
	require.True(t, ok)
	_, rest, ok = strings.Cut(rest, "const chinese = {")
	require.True(t, ok)
	chinese, _, ok := strings.Cut(rest, "\n};")
	require.True(t, ok)
	keysOf := func(text string) (keys []string) {
		for _, m := range key.FindAllStringSubmatch(text, -1) {
			keys = append(keys, m[1])
		}
		return keys
	}
	keys := keysOf(english)
	require.Greater(t, len(keys), 100)
	assert.Equal(t, keys, keysOf(chinese))
	assert.Len(t, slices.Compact(slices.Sorted(slices.Values(keys))), len(keys), "twice the same")
	all := ""
	for _, name := range Files() {
		if !strings.HasSuffix(name, ".js") || strings.Contains(name, "/vendor/") || strings.HasSuffix(name, "words.js") {
			continue
		}
		code, err := assets.ReadFile(name)
		require.NoError(t, err)
		all += string(code)
		for _, m := range used.FindAllStringSubmatch(string(code), -1) {
			if m[2] != "" {
				assert.True(t, slices.ContainsFunc(keys, func(k string) bool { return strings.HasPrefix(k, m[2]+".") }), m[0])
				continue
			}
			assert.Contains(t, keys, m[1], name)
		}
	}
	for _, k := range keys {
		group, _, isOne := strings.Cut(k, ".")
		isUsed := strings.Contains(all, `"`+k+`"`) || isOne && strings.Contains(all, "t(`"+group+".")
		verbs := []string{"approve", "advance", "promote", "pause", "resume", "rollback", "retry"}
		assert.True(t, isUsed || slices.Contains(verbs, k) || k == "good" || k == "bad", "nothing says %q", k)
	}
}

// The library comes with its licence, from the package whose hash the script checks.
func TestVendored(t *testing.T) {
	licence, err := assets.ReadFile("assets/vendor/uplot/LICENSE")
	require.NoError(t, err)
	assert.Contains(t, string(licence), "MIT License")
	script, err := os.ReadFile("vendor.sh")
	require.NoError(t, err)
	version := regexp.MustCompile(`version=(\S+)`).FindStringSubmatch(string(script))
	require.NotNil(t, version)
	code, err := assets.ReadFile("assets/vendor/uplot/uPlot.iife.min.js")
	require.NoError(t, err)
	assert.Contains(t, string(code), "uPlot (v"+version[1]+")")
}
