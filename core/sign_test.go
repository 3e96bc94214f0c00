package core

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core/allow"
)

const (
	oneSecret = "one secret of more than 32 bytes, for tests"
	twoSecret = "two secret of more than 32 bytes, for tests"
)

// From: printf 'gray_id\0u-1' | openssl dgst -sha256 -hmac SECRET -binary | basenc --base64url.
func TestSignature(t *testing.T) {
	assert.Equal(t, "BSuKWRnzjdd_e7BqmtAqc9e9L4lvAlFW4v9EMymN1Gc", signature(oneSecret, "gray_id", "u-1"))
	assert.NotEqual(t, signature(oneSecret, "other", "u-1"), signature(oneSecret, "gray_id", "u-1"))
	assert.NotEqual(t, signature(twoSecret, "gray_id", "u-1"), signature(oneSecret, "gray_id", "u-1"))
}

func signed(id string) string { return id + "." + signature(oneSecret, "gray_id", id) }

func TestSignedCookies(t *testing.T) {
	policy := `"anonymous": "cookie", "identity": ["cookie uid"], "cookie": {"secret": "` + oneSecret + `"},
		"rules": [{"version": "v2", "percent": 50}]`
	e := engineFor(t, policy)
	passed, response := serve(e, request("/"))
	require.Len(t, response["Set-Cookie"], 1)
	set, err := http.ParseSetCookie(response.Get("Set-Cookie"))
	require.NoError(t, err)
	assert.Regexp(t, `^[0-9a-f]{32}\.[A-Za-z0-9_-]{43}$`, set.Value)
	assert.Equal(t, "gray_id="+set.Value, passed.Get("Cookie"))

	first := passed.Get("X-Gray-Version")
	for range 8 {
		passed, response = serve(e, request("/", "Cookie: gray_id="+set.Value))
		assert.Empty(t, response["Set-Cookie"])
		assert.Equal(t, first, passed.Get("X-Gray-Version"))
	}
	_, response = serve(e, request("/", "Cookie: gray_id=forged; a=1; gray_id="+set.Value))
	assert.Empty(t, response["Set-Cookie"], "one that is signed counts, wherever it stands")

	id, mac, _ := strings.Cut(set.Value, ".")
	for _, forged := range []string{id, id + ".", "." + mac, id + "x." + mac, id + "." + mac + "x", mac, "", "...", id + "." + id} {
		_, response = serve(e, request("/", "Cookie: gray_id="+forged))
		assert.Len(t, response["Set-Cookie"], 1, "%q counts as none", forged)
	}
}

// In the chain of identities the signed cookie counts by the identity in it, and a forged one is
// passed over.
func TestSignedCookieInTheChain(t *testing.T) {
	e := engineFor(t, `"identity": ["cookie gray_id", "ip"], "cookie": {"secret": "`+oneSecret+`"}`)
	for cookie, want := range map[string]string{
		"gray_id=u-1": "203.0.113.7", "gray_id=" + signed("u-1"): "u-1", "gray_id=x; gray_id=" + signed("u-1"): "u-1",
	} {
		r := request("/", "Cookie: "+cookie)
		r.RemoteAddr = "203.0.113.7:1"
		assert.Equal(t, want, Identity(e, &Caller{Request: r}), cookie)
	}
}

func TestSecretsOfTheCookie(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(path, []byte(twoSecret+"\r\n"+oneSecret+"\n"), 0o600))
	head := `{"service": "shop", "stable": "v1", "versions": {"v1": {}}, "cookie": {"secret": "`
	e, err := Load([]byte(head + "file://" + path + `"}}`))
	require.NoError(t, err)
	assert.Equal(t, "u-1", signedID(e, signed("u-1")), "the old secret counts still")
	assert.Equal(t, []string{twoSecret, oneSecret}, e.cookieKeys)

	_, err = LoadWithin(Host{}, []byte(head+"file://"+path+`"}}`), &allow.List{})
	require.ErrorContains(t, err, "cookie.secret: the file is not allowed here")
	for secret, want := range map[string]string{
		"short": "cookie.secret: needs at least 32 bytes", "file:///nowhere": "cookie.secret: open /nowhere", `\n`: "is empty",
	} {
		_, err = Load([]byte(head + secret + `"}}`))
		require.ErrorContains(t, err, want)
	}
}

// What a page loads at once gets no identity each.
func TestIdentitiesAreDrawnForPages(t *testing.T) {
	policy := `"anonymous": "cookie", "identity": ["cookie uid"], "cookie": {"draw": "navigation"},
		"rules": [{"version": "v2", "percent": 50}]`
	e := engineFor(t, policy)
	for mode, want := range map[string]int{"": 1, "navigate": 1, "cors": 0, "no-cors": 0, "websocket": 0} {
		headers := []string{"Sec-Fetch-Mode: " + mode}
		if mode == "" {
			headers = nil
		}
		passed, response := serve(e, request("/", headers...))
		assert.Len(t, response["Set-Cookie"], want, mode)
		if want == 0 {
			assert.Equal(t, "v1", passed.Get("X-Gray-Version"), mode)
		}
		_, response = serve(e, request("/", append(headers, "Cookie: gray_id=u-1")...))
		assert.Empty(t, response["Set-Cookie"], mode)
	}
	_, err := Load([]byte(`{"service": "shop", "stable": "v1", "versions": {"v1": {}}, "cookie": {"draw": "pages"}}`))
	require.ErrorContains(t, err, `cookie.draw: unknown word "pages" (one of any, navigation)`)
}
