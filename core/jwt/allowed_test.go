package jwt

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core/allow"
)

func TestFollowedConfigurationsReadAndAskWhatIsAllowed(t *testing.T) {
	some := &allow.List{Files: []string{"/etc/gray/keys"}, Hosts: []string{"*.example.com"}}
	for _, c := range []struct {
		config  Config
		allowed *allow.List
		want    string
	}{
		{Config{Secret: "file:///etc/shadow"}, &allow.List{}, "secret: the file is not allowed here"},
		{Config{Key: "file:///etc/gray/keys/../../shadow"}, some, "key: the file is not allowed here"},
		{Config{JWKS: "file:///etc/shadow"}, some, "jwks: the file is not allowed here"},
		{Config{JWKS: "https://169.254.169.254/keys"}, &allow.List{}, "jwks: 169.254.169.254 may not be asked"},
		{Config{OIDC: "https://[fe80::1]"}, &allow.List{}, "oidc: fe80::1 may not be asked"},
		{Config{OIDC: "https://id.example.org"}, some, "oidc: id.example.org may not be asked"},
		{Config{OIDC: "https://id.example.com"}, some, ""},
		{Config{JWKS: "https://id.example.org/keys"}, &allow.List{}, ""},
	} {
		v, err := NewWithin(&c.config, c.allowed)
		if c.want != "" {
			require.ErrorContains(t, err, c.want)
			continue
		}
		require.NoError(t, err)
		v.Close()
	}
}

// A server that may be asked must not lead to one that may not, nor have its answers shown.
func TestServersLeadOnlyToWhoIsAllowed(t *testing.T) {
	inner := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, `{"credentials": "s3cret"}`)
	}))
	defer inner.Close()
	var outerURL string
	outer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/redirect":
			http.Redirect(w, r, inner.URL+"/s3cret", http.StatusFound)
		case "/location":
			w.Header().Set("Location", "http://s3cret%zz/")
			w.WriteHeader(http.StatusFound)
		case "/answer":
			_, _ = fmt.Fprint(w, `s3cret`)
		default:
			_, _ = fmt.Fprintf(w, `{"issuer": %q, "jwks_uri": %q}`, outerURL, inner.URL)
		}
	}))
	defer outer.Close()
	banner, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = banner.Close() }()
	go func() {
		for {
			conn, err := banner.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("SSH-2.0-s3cret\r\n"))
			_ = conn.Close()
		}
	}()
	outerURL = strings.Replace(outer.URL, "127.0.0.1", "localhost", 1)
	as := asking{true, &allow.List{Hosts: []string{"localhost"}}}
	_, _, err = fetchKeys(t.Context(), outerURL+"/redirect", as)
	require.ErrorContains(t, err, "127.0.0.1 may not be asked")
	assert.NotContains(t, err.Error(), inner.URL+"/s3cret", "where an answer leads is part of it")
	_, port, err := net.SplitHostPort(banner.Addr().String())
	require.NoError(t, err)
	_, _, err = fetchKeys(t.Context(), "http://localhost:"+port, as)
	require.ErrorContains(t, err, "localhost:"+port+": ")
	assert.NotContains(t, err.Error(), "s3cret")
	_, _, err = fetchKeys(t.Context(), outerURL+"/location", as)
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "s3cret")
	_, _, err = discovering(outerURL, as)(t.Context())
	require.ErrorContains(t, err, "jwks_uri: 127.0.0.1 may not be asked")
	_, _, err = fetchKeys(t.Context(), outerURL+"/answer", as)
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "s3cret")
	_, _, err = fetchKeys(t.Context(), outerURL, asking{true, &allow.List{Hosts: []string{"10.0.0.0/8"}}})
	require.ErrorContains(t, err, "localhost may not be asked")
}
