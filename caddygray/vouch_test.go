package caddygray_test

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Caddy warns of identities that a client may choose by a header of its own.
func TestWarningOfIdentityHeaders(t *testing.T) {
	for options, want := range map[string]string{
		"identity header X-User-ID, ip":                                   `"identity":["header X-User-ID"]`,
		"identity cookie uid, header X-User-ID, baggage user":             `"identity":["header X-User-ID","baggage user"]`,
		"identity header X-User-ID\nvouch gateway":                        "",
		"identity header X-User-ID, baggage user\nvouch peers\ntrust ::1": "",
		"identity cookie uid, query id, ip, baggage gray, header Baggage": "",
		"identity header X-Gray-Version":                                  "",
	} {
		logged := startLogging(t, "http://"+freeAddress(t)+" {\ngray warned {\nstable v1\nversion v1\n"+options+"\n}\n}\n")
		lines := logged("a client may send these headers itself")
		if want == "" {
			assert.Empty(t, lines, options)
		} else if assert.Len(t, lines, 1, options) {
			assert.Contains(t, lines[0], want)
		}
	}
}

// With vouch peers, such a header counts from peers in trust alone.
func TestIdentityHeadersOfPeers(t *testing.T) {
	for trust, want := range map[string]string{"127.0.0.1": "two told v2", "192.0.2.1": "one told v1"} {
		url := site(t, "gray shop {\nstable v1\nversion v1 "+says(t, "one")+"\nversion v2 "+says(t, "two")+
			"\nidentity header X-User-ID, baggage user, cookie uid\nvouch peers\ntrust "+trust+
			"\nrule testers v2 {\nwhen identity in u-tester\n}\n}\nreverse_proxy {\ndynamic gray\n}")
		for _, claimed := range []string{"X-User-ID: u-tester", "Baggage: user=u-tester"} {
			assert.Equal(t, want, asUser(t, url, "somebody", claimed), "%s by a peer while %s is trusted", claimed, trust)
		}
		assert.Equal(t, "two told v2", asUser(t, url, "u-tester", "X-Other: 1"), "the next identity counts")
	}
}

// The site that the documentation shows for forward_auth: gray sees who the user is, and not who
// the client says.
func TestDocumentedForwardAuth(t *testing.T) {
	text, err := os.ReadFile("../docs/caddy.md")
	require.NoError(t, err)
	_, block, found := strings.Cut(string(text), "\n```caddyfile\nroute {\n\tforward_auth")
	require.True(t, found)
	block, _, _ = strings.Cut("route {\n\tforward_auth"+block, "\n```")
	auth := backend(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.Header.Get("Cookie"), "tester") {
			w.Header().Set("X-User-ID", "u-tester")
		}
	})
	block = strings.NewReplacer("auth:9000", auth, "10.0.0.1:8080", says(t, "one"), "10.0.1.1:8080", says(t, "two")).
		Replace(block)
	claimed := "X-User-ID: u-tester"

	url := site(t, block)
	assert.Equal(t, "two told v2", asUser(t, url, "tester"))
	assert.Equal(t, "one told v1", asUser(t, url, "somebody", claimed), "the client's own")

	// Without the route, Caddy's order of directives runs gray first.
	lines := strings.Split(block, "\n")
	url = site(t, strings.Join(lines[1:len(lines)-1], "\n"))
	assert.Equal(t, "two told v2", asUser(t, url, "somebody", claimed))
}
