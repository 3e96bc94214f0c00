package caddygray

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseUpstream(t *testing.T) {
	for text, want := range map[string]target{
		"127.0.0.1":                {"127.0.0.1:80", ""},
		"http://127.0.0.1":         {"127.0.0.1:80", "http"},
		"https://a.example/":       {"a.example:443", "https"},
		"h2c://a.example:8080":     {"a.example:8080", "h2c"},
		"unix//run/app.sock":       {"unix//run/app.sock", ""},
		"unix/run/app.sock":        {"unix/run/app.sock", ""},
		"unix+h2c//run/app.sock":   {"unix//run/app.sock", "h2c"},
		"unix:80":                  {"unix:80", ""},
		"unixbox":                  {"unixbox:80", ""},
		"unixbox:8080":             {"unixbox:8080", ""},
		"http://unix":              {"unix:80", "http"},
		"https://unixgram.example": {"unixgram.example:443", "https"},
	} {
		got, err := parseUpstream(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{"unix", "unix/", "unix//", "unix:", "unix:/run/app.sock", "unix:///run/app.sock",
		"unix+h2c", "unix+h2c//", "unix+h2c:///run/app.sock", "unixgram//run/app.sock"} {
		_, err := parseUpstream(text)
		require.ErrorContains(t, err, "a socket is written unix//path/to/socket", text)
	}
	_, err := parseUpstream("unixbox//run/app.sock")
	require.Error(t, err)
}

func TestParseUpstreams(t *testing.T) {
	_, err := parseUpstreams([]string{"127.0.0.1:80", "127.0.0.1", "127.0.0.1:80"})
	require.NoError(t, err, "several times, for a larger share")
	_, err = parseUpstreams([]string{"127.0.0.1:1", "http://127.0.0.1:2", "127.0.0.1:3", "h2c://127.0.0.1:2"})
	require.EqualError(t, err, `upstreams[3]: "h2c://127.0.0.1:2" is upstreams[1] with another scheme`)
	_, err = parseUpstreams([]string{"unix//run/app.sock", "unix+h2c//run/app.sock"})
	require.EqualError(t, err, `upstreams[1]: "unix+h2c//run/app.sock" is upstreams[0] with another scheme`)
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestHostOfHealthChecks(t *testing.T) {
	for text, want := range map[string]string{
		"unixbox:8080":       "unixbox:8080",
		"https://a.example":  "a.example:443",
		"unix//run/app.sock": "localhost",
	} {
		to, err := parseUpstream(text)
		require.NoError(t, err)
		var host string
		client := &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			host = r.Host
			return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
		})}
		check := &HealthCheck{URI: "/", Status: 2}
		require.NoError(t, check.ask(t.Context(), client, &upstream{target: to}))
		require.Equal(t, want, host)
	}
}
