package caddygray_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/stretchr/testify/require"
)

const quiet = "{\n\tadmin off\n\tpersist_config off\n\tgrace_period 1ns\n\tauto_https off\n}\n"

// A policy by which `dynamic gray` could serve nobody is refused when it is loaded.
func TestStableWithoutUpstreams(t *testing.T) {
	t.Cleanup(func() { require.NoError(t, caddy.Stop()) })
	for _, c := range []struct{ name, policy, proxy, want string }{
		{"refused", "version v1", "reverse_proxy {\ndynamic gray\n}",
			"policy of \"nowhere\":\nversions.v1: the stable version " +
				"needs upstreams or discover: `dynamic gray` has no others to serve it by"},
		{"by name", "version v1", "reverse_proxy {\ndynamic gray nowhere\n}", "versions.v1: the stable version needs"},
		{"of another service", "version v1", "reverse_proxy {\ndynamic gray elsewhere\n}", ""},
		{"with a registry", "version v1 {\ndiscover srv://127.0.0.1:1/_http._tcp.v1\n}\ncache " + t.TempDir(),
			"reverse_proxy {\ndynamic gray\n}", ""},
		{"with upstreams of the proxy", "version v1", "reverse_proxy 127.0.0.1:1 {\ndynamic gray\n}", ""},
		{"for matchers only", "version v1", "@v1 gray v1\nrespond @v1 one", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := adapt(t, quiet+fmt.Sprintf("http://%s {\ngray nowhere {\nstable v1\n%s\n}\n%s\n}\n",
				freeAddress(t), c.policy, c.proxy))
			err := caddy.Load(config, true)
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.want)
		})
	}
}

// A followed document that does not locate its versions is served by the addresses of the gateway's
// own configuration, and is refused if that has none for stable.
func TestFollowedDocumentWithoutUpstreams(t *testing.T) {
	file := filepath.Join(t.TempDir(), "policy.json")
	write := func(document string) {
		t.Helper()
		replaceFile(t, file, document)
	}
	const versions = `"versions": {"v1": {}, "v2": {}},
		"rules": [{"name": "wanted", "version": "v2", "when": ["header X-V = v2"]}]}`
	write(`{"service": "local", "stable": "v1", ` + versions)
	cache := t.TempDir()
	caddyfile := func(address, more string) string {
		return fmt.Sprintf("http://%s {\ngray local {\nstable v1\nversion v1 %s\nversion v2 %s\n"+
			"source file://%s?interval=10ms\ncache %s\n}\n%s\n}\n", address, says(t, "one"), "", file, cache, more)
	}
	address := freeAddress(t)
	logged := startLogging(t, caddyfile(address, "reverse_proxy {\ndynamic gray\n}"))
	require.Eventually(t, func() bool { return len(logged("policy in force")) == 1 }, 10*time.Second, 5*time.Millisecond)
	require.Equal(t, "one told v1", get(t, "http://"+address, "").body)
	require.Equal(t, "one told v1", get(t, "http://"+address, "v2").body, "v2 runs nowhere: stable serves")

	write(`{"service": "local", "stable": "v2", ` + versions)
	const refused = "versions.v2: the stable version needs upstreams or discover, in the document or in the gateway's " +
		"own configuration: `dynamic gray` has no others to serve it by"
	require.Eventually(t, func() bool { return len(logged(refused)) == 1 }, 10*time.Second, 5*time.Millisecond)
	require.Equal(t, "one told v1", get(t, "http://"+address, "").body, "the last good one stays")
	require.NoError(t, caddy.Stop())

	// Where matchers alone go by the version, the same document is good, and kept.
	address = freeAddress(t)
	matched := caddyfile(address, "respond {http.gray.version}")
	startCaddyfile(t, matched)
	require.Eventually(t, func() bool { return get(t, "http://"+address, "").body == "v2" },
		10*time.Second, 5*time.Millisecond)
	require.NoError(t, caddy.Stop())

	// And with a proxy again it is not, whether it is kept or new.
	address = freeAddress(t)
	logged = startLogging(t, caddyfile(address, "reverse_proxy {\ndynamic gray\n}"))
	require.Equal(t, "one told v1", get(t, "http://"+address, "").body)
	require.Len(t, logged(refused), 1)
}

// Without a document and without addresses, the log says so, at the start and for each request.
func TestNoDocumentAndNoUpstreams(t *testing.T) {
	address := freeAddress(t)
	logged := startLogging(t, fmt.Sprintf("http://%s {\ngray unlocated {\nstable v1\nversion v1\n"+
		"source file:///nowhere/p.json\ncache %s\n}\nreverse_proxy {\ndynamic gray\n}\n}\n", address, t.TempDir()))
	require.Len(t, logged("the stable version beside the source has no upstreams: until there is a document"), 1)
	require.Equal(t, http.StatusServiceUnavailable, get(t, "http://"+address, "").status)
	require.Len(t, logged("no policy document has come from the source yet, and the policy beside it has none either"), 1)
}

// Of several policies, the request alone says which one `dynamic gray` serves. The log says of one
// that it has no upstreams.
func TestOneOfSeveralPoliciesHasNoUpstreams(t *testing.T) {
	address := freeAddress(t)
	logged := startLogging(t, fmt.Sprintf("http://%s {\ngray /longer/* without {\nstable v1\nversion v1\n}\n"+
		"gray /short/* with {\nstable v1\nversion v1 %s\n}\nreverse_proxy {\ndynamic gray\n}\n}\n", address, says(t, "one")))
	require.Equal(t, "one told v1", get(t, "http://"+address+"/short/x", "").body)
	require.Equal(t, http.StatusServiceUnavailable, get(t, "http://"+address+"/longer/x", "").status)
	require.Len(t, logged("the stable version has no upstreams: give it some in `gray`"), 1)
}
