//go:build !yaegi
// +build !yaegi

package core

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A new identity is one caller's own, however the response comes to be written.
func TestNewIdentitiesAreNotCached(t *testing.T) {
	e := engineFor(t, `"anonymous": "cookie", "identity": ["cookie uid"], "rules": [{"version": "v2", "percent": 50}]`)
	ways := map[string]func(w http.ResponseWriter){
		"header":  func(w http.ResponseWriter) { w.WriteHeader(http.StatusNoContent) },
		"text":    func(w http.ResponseWriter) { _, _ = io.WriteString(w, "hello") },
		"flush":   func(w http.ResponseWriter) { w.(http.Flusher).Flush() },
		"control": func(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() },
		"copy":    func(w http.ResponseWriter) { _, _ = w.(io.ReaderFrom).ReadFrom(http.NoBody) },
		"nothing": func(http.ResponseWriter) {},
		"hints": func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusEarlyHints)
			w.Header().Set("Cache-Control", "public")
		},
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(Handler(e, nil, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Cache-Control", "public, max-age=60")
				way(w)
			})))
			defer s.Close()
			response, err := http.Get(s.URL)
			require.NoError(t, err)
			defer func() { _ = response.Body.Close() }()
			require.Len(t, response.Header["Set-Cookie"], 1)
			require.Len(t, response.Header["Cache-Control"], 1)
			assert.Regexp(t, "^private", response.Header.Get("Cache-Control"))
			assert.NotContains(t, response.Header.Get("Cache-Control"), "public")

			r, err := http.NewRequest("GET", s.URL, nil)
			require.NoError(t, err)
			r.Header.Set("Cookie", "uid=1")
			response, err = http.DefaultClient.Do(r)
			require.NoError(t, err)
			defer func() { _ = response.Body.Close() }()
			assert.Regexp(t, "^public", response.Header.Get("Cache-Control"), "others are as the service wants them")
		})
	}
}

func TestPrivateResponsesCanBeHijacked(t *testing.T) {
	e := engineFor(t, `"anonymous": "cookie", "identity": ["cookie uid"], "rules": [{"version": "v2", "percent": 50}]`)
	s := httptest.NewServer(Handler(e, nil, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if assert.NoError(t, err) {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			_ = conn.Close()
		}
	})))
	defer s.Close()
	response, err := http.Get(s.URL)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	assert.Equal(t, "ok", string(text))
}
