package caddygray_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
)

// A tester's link decides for every module of Caddy, and its response is private.
func TestTesterLink(t *testing.T) {
	const secret = "a secret of more than 32 bytes, for tests"
	url := site(t, `
		gray shop {
			`+twoVersions+`
			tester "`+secret+`" 1d
			rule canaries {
				when header X-Never exists
				split v2 33 v1 0
			}
		}
		@v2 gray v2
		header @v2 Matched v2
		header Cache-Control "public, max-age=60"
		respond "{http.gray.version} {http.gray.rule} {http.gray.reason}"
	`)
	got := get(t, url+"/?gray="+core.TesterToken(secret, "shop", "v2", time.Now().Add(time.Hour)), "")
	require.Equal(t, "v2 tester a tester's link chose the version", got.body)
	require.Equal(t, "v2", got.header.Get("Matched"))
	require.Equal(t, "private, max-age=60", got.header.Get("Cache-Control"))
	cookie, err := http.ParseSetCookie(got.header.Get("Set-Cookie"))
	require.NoError(t, err)
	require.Equal(t, 86400, cookie.MaxAge)

	require.Contains(t, get(t, url+"/?gray=v2", "").body, "v1 ")
	for query, want := range map[string]string{"": "v2", "/?gray=": "v1"} {
		r, err := http.NewRequest(http.MethodGet, url+query, nil)
		require.NoError(t, err)
		r.AddCookie(&http.Cookie{Name: cookie.Name, Value: cookie.Value})
		res, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, want == "v1", res.Header.Get("Set-Cookie") != "", query)
		require.Equal(t, want == "v2", res.Header.Get("Matched") != "", query)
	}
}
