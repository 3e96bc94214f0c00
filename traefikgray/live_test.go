package traefikgray

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core/live"
)

// A document that says nothing of where a version runs is served by the addresses beside the
// source. Mode header needs none, and mode proxy none for stable.
func TestFollowedDocumentWithoutUpstreams(t *testing.T) {
	canary := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "canary")
	}))
	defer canary.Close()
	router := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "router told "+r.Header.Get("X-Gray-Version"))
	})
	file := filepath.Join(t.TempDir(), "policy.json")
	document := `{"service": "shop", "stable": "v1", "versions": {"v1": {}, "v2": {}},
		"rules": [{"version": "v2", "when": ["header X-V = v2"]}]}`
	require.NoError(t, os.WriteFile(file, []byte(document), 0o600))
	for mode, want := range map[string]string{"proxy": "canary", "header": "router told v2"} {
		t.Run(mode, func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			handler, err := New(ctx, router, shop(func(c *Config) {
				c.Mode = mode
				c.Source = &source{Source: live.Source{URL: "file://" + file + "?interval=10ms"}}
				c.Versions["v2"] = map[string]interface{}{"upstreams": canary.URL}
			}), "shop-gray@file")
			require.NoError(t, err)
			ask := func(version string) string {
				w := httptest.NewRecorder()
				r := httptest.NewRequest(http.MethodGet, "/", nil)
				r.Header.Set("X-V", version)
				handler.ServeHTTP(w, r)
				return w.Body.String()
			}
			require.Eventually(t, func() bool { return ask("v2") == want }, 10*time.Second, 5*time.Millisecond)
			assert.Equal(t, "router told v1", ask("v1"))
		})
	}
}
