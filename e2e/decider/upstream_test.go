package decider

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// seen is what an upstream got.
type seen struct {
	Version string // of the upstream
	Method  string
	URI     string
	Host    string
	Header  http.Header
	Body    string
}

// upstream starts an instance of a version, which answers with what it got. It returns its address.
func upstream(t testing.TB, version string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Served-By", version)
		_ = json.NewEncoder(w).Encode(seen{version, r.Method, r.RequestURI, r.Host, r.Header, string(body)})
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}
