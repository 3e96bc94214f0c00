package caddygray_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// served is like site, with an option of the server.
func served(t *testing.T, option, directives string) string {
	t.Helper()
	address := freeAddress(t)
	load(t, adapt(t, "{\n\tadmin off\n\tpersist_config off\n\tgrace_period 1ns\n\tauto_https off\n"+
		"\tservers {\n\t\t"+option+"\n\t}\n\tlog {\n\t\tlevel FATAL\n\t}\n}\n"+
		"http://"+address+" {\n"+directives+"\n}\n"))
	return "http://" + address
}

// send sends a request with headers, given as "Name: value", and returns the response with its
// body.
func send(t *testing.T, method, url string, headers ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(method, url, nil)
	require.NoError(t, err)
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		r.Header[name] = append(r.Header[name], value) // as it is spelled
	}
	res, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res, string(body)
}

// anonymous is a policy that gives cookies, with more options for them.
func anonymous(options string) string {
	return "gray shop {\n\tstable v1\n\tversion v1\n\tversion v2\n\tidentity cookie uid, cookie gray_id\n" +
		"\tanonymous cookie\n\tcookie {\n" + options + "\n\t}\n\trule ramp v2 {\n\t\tpercent 99.9999\n\t}\n}\n"
}

// The cookie is Secure by what trusted proxies say of how the client came, and by nobody else.
func TestCookieBehindABalancer(t *testing.T) {
	for _, c := range []struct {
		proxies, options string
		headers          []string
		want             string
	}{
		{"127.0.0.1/32", "", nil, "; HttpOnly; SameSite=Lax"},
		{"127.0.0.1/32", "", []string{"X-Forwarded-Proto: https"}, "; HttpOnly; Secure; SameSite=Lax"},
		{"127.0.0.1/32", "", []string{"X-Forwarded-Proto: HTTPS, http"}, "; HttpOnly; Secure; SameSite=Lax"},
		{"127.0.0.1/32", "", []string{"X-Forwarded-Proto: wss"}, "; HttpOnly; Secure; SameSite=Lax"},
		{"127.0.0.1/32", "", []string{"X-Forwarded-Proto: http, https"}, "; HttpOnly; SameSite=Lax"},
		{"127.0.0.1/32", "", []string{"Forwarded: proto=https"}, "; HttpOnly; SameSite=Lax"}, // Caddy does not read it
		{"192.0.2.1/32", "", []string{"X-Forwarded-Proto: https"}, "; HttpOnly; SameSite=Lax"},
		{"192.0.2.1/32", "secure always\nsame_site none\n", nil, "; HttpOnly; Secure; SameSite=None"},
		{"192.0.2.1/32", "domain example.com\npath /a\nsame_site strict\n", nil, "; HttpOnly; SameSite=Strict"},
	} {
		url := served(t, "trusted_proxies static "+c.proxies, anonymous(c.options)+"respond ok")
		res, _ := send(t, http.MethodGet, url, c.headers...)
		assert.True(t, strings.HasSuffix(res.Header.Get("Set-Cookie"), c.want), "%q %v: %s", c.options, c.headers,
			res.Header.Get("Set-Cookie"))
		if strings.Contains(c.options, "domain") {
			assert.Contains(t, res.Header.Get("Set-Cookie"), "; Path=/a; Domain=example.com; ")
		}
	}
}

// No shared cache keeps a response that gives somebody a cookie, whoever writes it.
func TestNewCallersAreNotCached(t *testing.T) {
	upstream := backend(t, func(w http.ResponseWriter, _ *http.Request) {
		for name, value := range map[string]string{
			"Cache-Control": "public, s-maxage=600, max-age=60", "CDN-Cache-Control": "max-age=600",
			"Surrogate-Control": "max-age=600", "X-Accel-Expires": "600",
		} {
			w.Header().Set(name, value)
		}
		_, _ = io.WriteString(w, strings.Repeat("long enough to be compressed ", 100))
	})
	for name, directives := range map[string]string{
		"proxy":           "reverse_proxy " + upstream,
		"compressed":      "encode\nreverse_proxy " + upstream,
		"static":          `header Cache-Control "public, max-age=60"` + "\nrespond ok",
		"header set late": `header >Cache-Control "public, max-age=60"` + "\nrespond ok",
		"header set last": `header {` + "\n" + `Cache-Control "public, max-age=60"` + "\ndefer\n}\nrespond ok",
		"empty":           "respond 204",
		"error":           "error 404",
		"error page":      "error 404\nhandle_errors {\nrespond sorry\n}",
	} {
		t.Run(name, func(t *testing.T) {
			url := site(t, anonymous("")+directives)
			for _, headers := range [][]string{nil, {"Accept-Encoding: gzip"}} {
				res, _ := send(t, http.MethodGet, url, headers...)
				require.Len(t, res.Header["Set-Cookie"], 1)
				require.Len(t, res.Header["Cache-Control"], 1)
				assert.Regexp(t, "^private", res.Header.Get("Cache-Control"))
				assert.NotContains(t, res.Header.Get("Cache-Control"), "public")
				for _, other := range []string{"Cdn-Cache-Control", "Surrogate-Control", "X-Accel-Expires"} {
					if name != "error" && name != "error page" {
						assert.Empty(t, res.Header[other], other)
					}
				}
			}
			res, _ := send(t, http.MethodGet, url, "Cookie: uid=1")
			assert.NotContains(t, res.Header.Get("Cache-Control"), "private", "others are as the service wants them")
		})
	}
}

// A preflight is nobody, and the documented rule gives testers' preflights their version.
func TestPreflights(t *testing.T) {
	url := site(t, strings.Replace(anonymous(""), "\trule ramp", "\trule preflights v2 {\n\t\twhen method = OPTIONS\n"+
		"\t\twhen header Access-Control-Request-Headers contains x-app-version\n\t}\n\trule ramp", 1)+
		"respond {http.gray.version}")
	asks := []string{"Origin: https://shop.example", "Access-Control-Request-Method: PUT"}
	res, body := send(t, http.MethodOptions, url, asks...)
	assert.Empty(t, res.Header["Set-Cookie"])
	assert.Equal(t, "v1", body, "percentages pass over it")
	asks = append(asks, "Access-Control-Request-Headers: content-type, x-app-version")
	_, body = send(t, http.MethodOptions, url, asks...)
	assert.Equal(t, "v2", body)
	for _, other := range [][]string{nil, asks[:1], asks[1:2]} {
		res, _ = send(t, http.MethodOptions, url, other...)
		assert.NotEmpty(t, res.Header["Set-Cookie"], "%v is no preflight", other)
	}
	res, _ = send(t, http.MethodPost, url, asks[:2]...)
	assert.NotEmpty(t, res.Header["Set-Cookie"])
}

// With draw navigation, the requests that a page sends at once are one caller's.
func TestIdentitiesAreDrawnWhereTheyStick(t *testing.T) {
	url := site(t, anonymous("draw navigation")+"respond {http.gray.version}")
	for _, mode := range []string{"cors", "no-cors", "same-origin", "websocket"} {
		res, body := send(t, http.MethodGet, url, "Sec-Fetch-Mode: "+mode)
		assert.Empty(t, res.Header["Set-Cookie"], mode)
		assert.Equal(t, "v1", body, mode)
	}
	res, body := send(t, http.MethodGet, url, "Sec-Fetch-Mode: navigate")
	require.Len(t, res.Header["Set-Cookie"], 1)
	assert.Equal(t, "v2", body)
	cookie, _, _ := strings.Cut(res.Header.Get("Set-Cookie"), ";")
	res, body = send(t, http.MethodGet, url, "Sec-Fetch-Mode: cors", "Cookie: "+cookie)
	assert.Empty(t, res.Header["Set-Cookie"])
	assert.Equal(t, "v2", body)
	res, _ = send(t, http.MethodGet, url)
	assert.NotEmpty(t, res.Header["Set-Cookie"], "programs and older browsers do not say")
}

// Whoever computes an identity inside of the percentage gets nothing by it where they are signed.
func TestSignedIdentities(t *testing.T) {
	const secret = "a secret of more than 32 bytes, for tests"
	url := site(t, anonymous(`secret "`+secret+`"`)+"respond {http.gray.identity}")
	sign := func(id, name string) string {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(name + "\x00" + id))
		return id + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	}
	good := sign("u-1", "gray_id")
	for _, forged := range []string{
		"u-1", "u-1.", ".", "u-1." + strings.Repeat("A", 43), good + "A", "u-2" + good[3:], sign("u-1", "other"),
	} {
		res, body := send(t, http.MethodGet, url, "Cookie: gray_id="+forged)
		assert.NotEmpty(t, res.Header["Set-Cookie"], forged)
		assert.Regexp(t, "^[0-9a-f]{32}$", body, forged)
	}
	res, body := send(t, http.MethodGet, url, "Cookie: gray_id=u-1; gray_id="+good)
	assert.Empty(t, res.Header["Set-Cookie"])
	assert.Equal(t, "u-1", body)
}

// Servers that map - and _ to one name see the decision's header alone, even if Caddy is told to
// let underscores pass.
func TestSpellingsOfTheHeader(t *testing.T) {
	upstream := backend(t, func(w http.ResponseWriter, r *http.Request) {
		var seen []string
		for name, values := range r.Header {
			if strings.ReplaceAll(strings.ToUpper(name), "-", "_") == "X_SHOP_VERSION" {
				seen = append(seen, values...)
			}
		}
		_ = json.NewEncoder(w).Encode(seen)
	})
	const option = "expected_underscore_headers x_shop_version x-shop_version x_shop-version"
	for _, c := range [][2]string{{"X-Shop-Version", `["v1"]`}, {"X-Other-Version", `["v2", "v2", "v2"]`}} {
		url := served(t, option,
			"gray shop {\nstable v1\nversion v1\nversion v2\nheader "+c[0]+"\n}\nreverse_proxy "+upstream)
		_, body := send(t, http.MethodGet, url, "X_Shop_Version: v2", "x-shop_VERSION: v2", "X_shop-version: v2")
		assert.JSONEq(t, c[1], body, c[0])
	}
}
