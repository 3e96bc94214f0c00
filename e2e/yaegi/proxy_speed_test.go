package yaegi_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core/proxy"
	"github.com/grayrelease/gray/e2e/yaegi"
)

// The cost of forwarding: by net/http's reverse proxy alone, by ours compiled, and by ours in the
// interpreter.
func TestCompareProxies(t *testing.T) {
	if !*compare {
		t.Skip("figures only: -compare prints them")
	}
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "answer")
	}))
	t.Cleanup(upstream.Close)
	target, err := url.Parse(upstream.URL)
	require.NoError(t, err)
	plain := httputil.NewSingleHostReverseProxy(target)
	pool := proxy.NewPool(proxy.Options{KeepForwarded: true})
	t.Cleanup(pool.Close)
	require.NoError(t, pool.Set([]string{upstream.URL}))
	compiled := proxy.Handler(pool, nil, nil)
	policy := map[string]any{
		"mode": "proxy", "service": "s", "stable": "v1",
		"versions": map[string]any{"v1": nil, "v2": map[string]any{"upstreams": upstream.URL}},
		"rules":    []any{map[string]any{"version": "v2", "when": []any{"header X-App-Version = beta"}}},
	}
	plugin := yaegi.Load(t, root)
	interpreted := plugin.Handler(t, teapot, policy)
	policy["mode"] = "header"
	decided := plugin.Handler(t, plain, policy)
	request := httptest.NewRequest("GET", "/orders/17?page=2", nil)
	request.Header.Set("X-App-Version", "beta")
	t.Logf("\n%s", yaegi.Compare(15, 1000,
		yaegi.Variant{Name: "net/http's reverse proxy", Op: yaegi.Serve(plain, request)},
		yaegi.Variant{Name: "ours, compiled", Op: yaegi.Serve(compiled, request)},
		yaegi.Variant{Name: "net/http's after header mode", Op: yaegi.Serve(decided, request)},
		yaegi.Variant{Name: "ours, interpreted", Op: yaegi.Serve(interpreted, request)},
	))
}
