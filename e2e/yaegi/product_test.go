package yaegi_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/e2e/yaegi"
)

// root is the product's module.
const root = "../.."

// version answers with what the plugin told the upstream.
var version = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Version", r.Header.Get("X-Gray-Version"))
	w.Header().Set("Baggage", r.Header.Get("Baggage"))
})

func get(handler http.Handler, change func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", "/", nil)
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w
}

func TestHeaderMode(t *testing.T) {
	plugin := yaegi.Load(t, root)
	handler := plugin.Handler(t, version, plugin.Manifest.TestData)
	w := get(handler, func(r *http.Request) {
		r.Header.Set("X-App-Version", "beta")
		r.Header.Set("X-Gray-Version", "mine")
	})
	assert.Equal(t, "v2", w.Header().Get("Version"))
	assert.Equal(t, "gray=v2", w.Header().Get("Baggage"))
	w = get(handler, func(r *http.Request) { r.Header.Set("X-Gray-Version", "v2") })
	assert.Equal(t, "v1", w.Header().Get("Version"))
	assert.Empty(t, plugin.Stderr.String())
}

func TestProxyMode(t *testing.T) {
	upstream := httptest.NewServer(version)
	defer upstream.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	plugin := yaegi.Load(t, root)
	handler, err := plugin.New(ctx, teapot, map[string]any{
		"mode": "proxy", "service": "s", "stable": "v1",
		"versions": map[string]any{"v1": nil, "v2": map[string]any{"upstreams": []any{upstream.URL}},
			"v3": map[string]any{"upstreams": "http://127.0.0.1:1"}},
		"rules": []any{
			map[string]any{"version": "v2", "when": []any{"header Go = v2"}},
			map[string]any{"version": "v3", "when": []any{"header Go = v3"}},
		},
	}, "gray@file")
	require.NoError(t, err)
	w := get(handler, func(r *http.Request) { r.Header.Set("Go", "v2") })
	assert.Equal(t, http.StatusOK, w.Code)
	assert.Equal(t, "v2", w.Header().Get("Version"))
	assert.Equal(t, http.StatusTeapot, get(handler, nil).Code)
	assert.Equal(t, http.StatusTeapot, get(handler, func(r *http.Request) { r.Header.Set("Go", "v3") }).Code)
	assert.Contains(t, plugin.Stderr.String(),
		"gray: middleware gray@file: version v3 cannot be reached, stable serves instead (1 requests so far): dial tcp "+
			"127.0.0.1:1: connect: connection refused")
}

func TestEveryProblemIsInTheError(t *testing.T) {
	plugin := yaegi.Load(t, root)
	_, err := plugin.New(t.Context(), version, map[string]any{
		"mode": "prox", "stable": "v9", "ipStrategy": map[string]any{"depth": "-1"},
		"versions": map[string]any{"v1": nil}, "rules": []any{map[string]any{"version": "v1",
			"when": []any{"header X prefx a"}}},
	}, "gray@file")
	require.EqualError(t, err, `gray: middleware gray@file: `+
		`mode: unknown word "prox" (one of header, proxy) (did you mean "proxy"?); `+
		`ipStrategy.depth: must be 0 or more, is -1; `+
		`service: required: the service's name is part of every bucket's salt; `+
		`stable: version "v9" is not in versions (only v1): in YAML, a version without fields is "v9: {}"; `+
		`rules[0].when[0]: column 10: unknown operator "prefx" (did you mean "prefix"?)`)
}
