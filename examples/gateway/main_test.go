package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core/live"
)

// The gateway follows the policy, and stable serves while v2 is down.
func TestGateway(t *testing.T) {
	backend := func(version string) *httptest.Server {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Served-By", version)
			w.Header().Set("Asked-For", r.Header.Get("X-Gray-Version"))
		}))
		t.Cleanup(s.Close)
		return s
	}
	v1, v2 := backend("v1"), backend("v2")
	path := filepath.Join(t.TempDir(), "policy.json")
	write := func(percent string) {
		require.NoError(t, os.WriteFile(path+".new", []byte(`{"service": "shop", "stable": "v1",
			"versions": {"v1": {"upstreams": ["`+v1.URL+`"]}, "v2": {"upstreams": ["`+v2.URL+` weight=2"]}},
			"rules": [{"version": "v2", "percent": `+percent+`}]}`), 0o600))
		require.NoError(t, os.Rename(path+".new", path))
	}
	write("0")
	g := newGateway()
	handle, err := live.Open(live.Options{Source: &live.Source{URL: "file://" + path + "?interval=10ms"}, Apply: g.apply})
	require.NoError(t, err)
	t.Cleanup(handle.Close)
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	serves := func(want string) func() bool {
		return func() bool {
			response, err := http.Get(server.URL)
			require.NoError(t, err)
			defer response.Body.Close()
			require.Equal(t, response.Header.Get("Served-By"), response.Header.Get("Asked-For"))
			return response.Header.Get("Served-By") == want
		}
	}
	require.Eventually(t, serves("v1"), time.Minute, 10*time.Millisecond)
	write("100")
	require.Eventually(t, serves("v2"), time.Minute, 10*time.Millisecond)
	v2.Close()
	require.Eventually(t, serves("v1"), time.Minute, 10*time.Millisecond)
}
