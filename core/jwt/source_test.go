package jwt

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// publicSet is the text of a key set with one usable key: that of RFC 8037 appendix A.2.
func publicSet(kid string) string {
	const x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
	return fmt.Sprintf(`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":%q,"x":%q}]}`, kid, x)
}

func TestFetchRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"garbage": {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }, "not a JSON Web Key Set"},
		"no keys": {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"keys":[]}`) }, "no keys"},
		"null":    {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `null`) }, "no keys"},
		"too many keys": {func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"keys":[`+strings.Repeat("{},", 64)+`{}]}`)
		}, "more than 64 keys"},
		"a secret": {func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"keys":[{"kty":"oct","k":"AAAA"}]}`)
		}, "secrets are not taken from a URL"},
		"too long": {func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, strings.Repeat(" ", maxDocument+1))
		}, "longer than 262144 bytes"},
		"status": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadGateway)
		}, "status 502"},
		"redirect in loop": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusFound) },
			"more than 3 redirects"},
		"abort": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(c.answer)
			defer server.Close()
			_, _, err := fetchKeys(t.Context(), server.URL, asking{plaintext: true})
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestRedirectsKeepToHTTPS(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, publicSet("a"))
	}))
	defer server.Close()
	next, err := http.NewRequest(http.MethodGet, server.URL, nil)
	require.NoError(t, err)
	require.ErrorContains(t, client(asking{}).CheckRedirect(next, nil), "away from https")
	require.NoError(t, client(asking{plaintext: true}).CheckRedirect(next, nil))
}

func TestDiscoverRefuses(t *testing.T) {
	for document, want := range map[string]string{
		`{`: "is not the JSON of one",
		`{"issuer":"https://other.example","jwks_uri":"https://a.example"}`: "is of another issuer",
		`{"issuer":"URL","jwks_uri":"ftp://a.example"}`:                     "jwks_uri: not a URL that begins with https://",
		`{"issuer":"URL"}`: "jwks_uri: not a URL",
	} {
		var server *httptest.Server
		server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, strings.ReplaceAll(document, "URL", server.URL))
		}))
		_, err := discover(t.Context(), server.URL, asking{plaintext: true})
		require.ErrorContains(t, err, want)
		server.Close()
	}
}

func TestFreshness(t *testing.T) {
	for control, want := range map[string]time.Duration{
		"": usualFresh, "no-store": usualFresh, "max-age=1": minFresh, "public, max-age=300": 5 * time.Minute,
		"Max-Age=999999": maxFresh, "max-age=x": usualFresh, "max-age=-5": minFresh,
		"max-age=99999999999999999999": usualFresh,
	} {
		require.Equal(t, want, freshness(http.Header{"Cache-Control": {control}}), control)
	}
}

func TestVerifiersShareAFetcher(t *testing.T) {
	var fetches atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fetches.Add(1)
		fmt.Fprint(w, publicSet("a"))
	}))
	cfg := &Config{JWKS: server.URL, Plaintext: true}
	ctx, cancel := context.WithCancel(t.Context())
	var all []*Verifier
	for range 20 {
		v, err := New(cfg)
		require.NoError(t, err)
		v.Start(ctx)
		v.Start(ctx)
		all = append(all, v)
	}
	for _, v := range all {
		<-v.Ready()
	}
	require.EqualValues(t, 1, fetches.Load())

	// A reload: all verifiers are closed, the server is down, and the next verifier still has the
	// keys.
	cancel()
	server.Close()
	for _, v := range all {
		v.Close()
	}
	goleak.VerifyNone(t)
	v, err := New(cfg)
	require.NoError(t, err)
	v.Start(t.Context())
	defer v.Close()
	require.NotNil(t, keysOf(v))
}

func TestFailuresAreReported(t *testing.T) {
	var healthy atomic.Bool
	var tries atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		tries.Add(1)
		if !healthy.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, publicSet("a"))
	}))
	defer server.Close()
	v, err := New(&Config{JWKS: server.URL, Plaintext: true})
	require.NoError(t, err)
	reports := make(chan error, 9)
	v.OnRefresh(func(err error) { reports <- err })
	v.Start(t.Context())
	defer v.Close()
	require.ErrorContains(t, <-reports, "status 503")
	require.Eventually(t, func() bool { return tries.Load() > 1 }, 30*time.Second, time.Millisecond)
	healthy.Store(true)
	require.NoError(t, <-reports, "the tries between are no news")
	require.NotNil(t, keysOf(v))
}

func TestFilesAreReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	_, err := New(&Config{JWKS: "file://" + path})
	require.ErrorContains(t, err, "jwks: open")
	require.NoError(t, os.WriteFile(path, []byte(publicSet("a")), 0o600))
	v, err := New(&Config{JWKS: "file://" + path})
	require.NoError(t, err)
	require.Equal(t, "a", keysOf(v).keys[0].id)

	require.NoError(t, os.WriteFile(path, []byte(`{`), 0o600))
	_, _, err = refresh(t.Context(), v.source)
	require.Error(t, err)
	require.Equal(t, "a", keysOf(v).keys[0].id, "the last good keys stay")

	require.NoError(t, os.WriteFile(path, []byte("\ufeff"+publicSet("b")), 0o600))
	changed, due, err := refresh(t.Context(), v.source)
	require.NoError(t, err)
	require.True(t, changed)
	require.Equal(t, lookEvery, due)
	require.Equal(t, "b", keysOf(v).keys[0].id)
}

func TestSecretFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(path, []byte(secret+"\r\n"), 0o600))
	v, err := New(&Config{Secret: "file://" + path})
	require.NoError(t, err)
	require.Equal(t, Verified, ClaimsOf(v, signed(`{"alg":"HS256"}`, `{}`)).Reason)
	marked := filepath.Join(t.TempDir(), "marked")
	require.NoError(t, os.WriteFile(marked, []byte("\ufeff"+secret+"\n"), 0o600))
	v, err = New(&Config{Secret: "file://" + marked})
	require.NoError(t, err)
	require.Equal(t, Verified, ClaimsOf(v, signed(`{"alg":"HS256"}`, `{}`)).Reason, "a byte order mark is not part of it")
	_, err = New(&Config{Secret: "file://" + path, Algorithms: []string{"HS512"}})
	require.ErrorContains(t, err, "secret: "+path+": HS512 needs at least 64 bytes")
	require.NotContains(t, err.Error(), secret)
}

func TestSourcesAreBounded(t *testing.T) {
	for i := range 3 * maxSources {
		_, err := New(&Config{JWKS: fmt.Sprintf("https://id.example/%d", i)})
		require.NoError(t, err)
	}
	require.LessOrEqual(t, len(sources), maxSources)
}

func TestAPanicWhileLoadingIsAnError(t *testing.T) {
	s := sourceFor(t.Name(), func(context.Context) (*keySet, time.Duration, error) { panic("oh") })
	_, _, err := refresh(t.Context(), s)
	require.ErrorContains(t, err, "oh")
}

func TestKeysKeepTheirIdentity(t *testing.T) {
	a, err := webKeys([]byte(publicSet("a")), false)
	require.NoError(t, err)
	same, err := webKeys([]byte(publicSet("a")), false)
	require.NoError(t, err)
	require.False(t, adopt(a, same))
	require.Same(t, a.keys[0], same.keys[0])
	other, err := webKeys([]byte(publicSet("b")), false)
	require.NoError(t, err)
	require.True(t, adopt(a, other))
}
