package caddygray_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestHealthChecks(t *testing.T) {
	var status atomic.Int64
	status.Store(http.StatusNoContent)
	v2 := backend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RequestURI() == "/healthz?deep=1" {
			w.WriteHeader(int(status.Load()))
			return
		}
		_, _ = w.Write([]byte("two"))
	})
	url := gateway(t, "version v1 "+says(t, "one")+"\nversion v2 "+v2+" {\nhealth_uri /healthz?deep=1\nhealth_interval 10ms\nhealth_timeout 5s\nhealth_status 204\n}", "")
	becomes := func(body string) {
		t.Helper()
		require.Eventually(t, func() bool { return get(t, url, "v2").body == body }, 10*time.Second, 5*time.Millisecond)
	}
	becomes("two")
	status.Store(http.StatusOK) // well, but not what is expected
	becomes("one told v1")
	status.Store(http.StatusNoContent)
	becomes("two")
}

func TestHealthCheckTimeout(t *testing.T) {
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	v2 := backend(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	})
	url := gateway(t, "version v1 "+says(t, "one")+"\nversion v2 "+v2+" {\nhealth_uri /\nhealth_timeout 20ms\n}", "")
	require.Eventually(t, func() bool {
		client := http.Client{Timeout: 100 * time.Millisecond}
		req, _ := http.NewRequest(http.MethodGet, url, nil)
		req.Header.Set("X-V", "v2")
		res, err := client.Do(req)
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusOK
	}, 10*time.Second, 10*time.Millisecond)
}
