package caddygray

import (
	"context"
	"net/http/httptest"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/stretchr/testify/assert"
)

func TestTrustedProxiesSayThatTheClientCameByTLS(t *testing.T) {
	for _, c := range []struct {
		trusted bool
		proto   string
		want    bool
	}{{true, "https", true}, {true, "http", false}, {false, "https", false}} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("X-Forwarded-Proto", c.proto)
		vars := map[string]any{caddyhttp.TrustedProxyVarKey: c.trusted}
		r = r.WithContext(context.WithValue(r.Context(), caddyhttp.VarsCtxKey, vars))
		assert.Equal(t, c.want, cameByTLS(r), c)
	}
}
