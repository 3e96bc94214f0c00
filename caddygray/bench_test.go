package caddygray

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
)

// BenchmarkHandler measures what the handler and the upstream source add to a request, beyond what
// reverse_proxy does with dynamic upstreams.
func BenchmarkHandler(b *testing.B) {
	percent := 5.0
	h := &Handler{Policy: core.Policy{
		Service: "bench", Stable: "v1",
		Versions: map[string]core.Version{"v1": {Upstreams: []string{"127.0.0.1:1"}},
			"v2": {Upstreams: []string{"127.0.0.1:2"}}},
		Identity: []string{"cookie uid", "ip"},
		Rules: []core.Rule{
			{Name: "testers", Version: "v2", When: []string{"header X-App-Version = beta"}},
			{Name: "staff", Version: "v2", When: []string{"cookie role in staff, qa", "not header X-Device = kiosk"}},
			{Name: "office", Version: "v2", When: []string{"ip in 10.0.0.0/8, 2001:db8::/32"}},
			{Name: "new-app", Version: "v2", When: []string{"header X-App-Version semver >=2.3.0"}},
			{Name: "ramp", Version: "v2", Percent: &percent},
		},
	}}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	defer cancel()
	require.NoError(b, h.Provision(ctx))
	defer h.Cleanup()
	source := &Upstreams{}
	next := caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		if list, err := source.GetUpstreams(r); err != nil || list[0].Dial != "127.0.0.1:1" {
			b.Fatal(list, err)
		}
		w.WriteHeader(http.StatusOK)
		return nil
	})
	req := httptest.NewRequest(http.MethodGet, "/", nil)
	req.Header.Set("X-App-Version", "2.2.9")
	req.Header.Set("Cookie", "uid=u-1; theme=dark")
	vars := map[string]any{caddyhttp.ClientIPVarKey: "203.0.113.7", caddyhttp.TrustedProxyVarKey: false}
	w := httptest.NewRecorder()
	b.ReportAllocs()
	for b.Loop() {
		delete(vars, varsKey)
		delete(req.Header, "Baggage")
		ctx := context.WithValue(req.Context(), caddyhttp.VarsCtxKey, vars)
		ctx = context.WithValue(ctx, caddy.ReplacerCtxKey, caddy.NewEmptyReplacer())
		_ = h.ServeHTTP(w, req.WithContext(ctx), next)
	}
}
