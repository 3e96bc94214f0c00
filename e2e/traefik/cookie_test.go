package traefik_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/grayrelease/gray/e2e/traefik"
)

// cacheable answers as a service does that knows nothing of gray, and says what it was sent under
// names that CGI takes for the decision's.
func cacheable(t testing.TB) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=60")
		w.Header().Set("CDN-Cache-Control", "max-age=60")
		for name := range r.Header {
			if strings.ReplaceAll(strings.ToLower(name), "_", "-") == "x-gray-version" {
				w.Header().Add("Got-Name", name)
			}
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// The cookie of a new caller: how it is written, who gets one, and that no shared cache keeps it.
func TestCookie(t *testing.T) {
	v1, v2 := cacheable(t), cacheable(t)
	config := func(mode string, cookie object) object {
		return gray(object{
			"mode": mode, "service": "shop", "stable": "v1", "anonymous": "cookie", "identity": []any{"cookie uid"},
			"cookie":   cookie,
			"versions": object{"v1": object{}, "v2": object{"upstreams": []any{v2}}},
			"rules": []any{
				object{"version": "v2", "when": []any{"host = Shop.TEST."}},
				object{"version": "v2", "percent": 50},
			},
		})
	}
	router := func(host, name string) object {
		return object{"rule": "HostRegexp(`(?i)^" + host + "\\.?$`)", "middlewares": []any{name}, "service": "v1"}
	}
	const secret = "a secret of more than 32 bytes, for tests"
	options := object{"name": "who", "same_site": "none", "secure": "always", "domain": "header.test", "path": "/a"}
	g := traefik.Start(t, traefik.Options{
		Plugins: map[string]string{"gray": root},
		// Trusted as a balancer in front would be, and not.
		Entry: object{"forwardedHeaders": object{"trustedIPs": []any{"127.0.0.1/32"}}},
		Dynamic: dynamic(
			object{
				"header": router("header.test", "header"), "proxy": router("proxy.test", "proxy"),
				"shop": router("shop.test", "proxy"), "options": router("options.test", "options"),
				"pages": router("pages.test", "pages"), "signed": router("signed.test", "signed"),
			},
			object{
				"header": config("header", nil), "proxy": config("proxy", nil), "options": config("header", options),
				"pages":  config("proxy", object{"draw": "navigation"}),
				"signed": config("proxy", object{"secret": secret}),
			},
			object{"v1": server(v1), "v2": server(v2)},
		),
	})
	for _, host := range []string{"header.test", "proxy.test"} {
		t.Run(host, func(t *testing.T) {
			for range 20 { // both versions
				response := get(t, g, host, "X_Gray_Version", "v2", "X-Gray_Version", "v2")
				assert.Regexp(t, `^gray_id=[0-9a-f]{32}; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax$`,
					response.Header.Get("Set-Cookie"))
				for _, name := range []string{"Cache-Control", "Cdn-Cache-Control"} {
					assert.Equal(t, "private", response.Header.Get(name), "beside what the service says, %s", name)
				}
				assert.Equal(t, "0", response.Header.Get("X-Accel-Expires"))
				assert.Equal(t, []string{"X-Gray-Version"}, response.Header["Got-Name"])
			}
			for proto, isSecure := range map[string]bool{"https": true, "HTTPS, http": true, "wss": true, "http": false} {
				cookie := get(t, g, host, "X-Forwarded-Proto", proto).Header.Get("Set-Cookie")
				assert.Equal(t, isSecure, strings.Contains(cookie, "; Secure"), proto)
			}
			response := get(t, g, host, "Cookie", "uid=u-1")
			assert.Equal(t, []string{"public, max-age=60"}, response.Header["Cache-Control"])
			assert.Equal(t, []string{"max-age=60"}, response.Header["Cdn-Cache-Control"])
			assert.Empty(t, response.Header["Set-Cookie"])
		})
	}
	assert.Regexp(t, `^who=[0-9a-f]{32}; Path=/a; Domain=header.test; Max-Age=2592000; HttpOnly; Secure; SameSite=None$`,
		get(t, g, "options.test").Header.Get("Set-Cookie"))
	for _, host := range []string{"shop.test", "SHOP.Test", "shop.test."} {
		assert.Empty(t, get(t, g, host).Header["Set-Cookie"], "the rule on the host decides: %s", host)
	}

	for mode, isGiven := range map[string]bool{"navigate": true, "cors": false, "no-cors": false, "websocket": false} {
		assert.Equal(t, isGiven, get(t, g, "pages.test", "Sec-Fetch-Mode", mode).Header["Set-Cookie"] != nil, mode)
	}
	assert.NotEmpty(t, get(t, g, "pages.test").Header["Set-Cookie"], "programs and older browsers do not say")

	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("gray_id\x00u-1"))
	signature := base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	for sent, isNew := range map[string]bool{
		"u-1." + signature: false, "u-1": true, "u-2." + signature: true, "u-1." + signature + "x": true,
		"." + signature: true,
	} {
		cookie := get(t, g, "signed.test", "Cookie", "gray_id="+sent).Header.Get("Set-Cookie")
		assert.Equal(t, isNew, cookie != "", sent)
		if isNew {
			assert.Regexp(t, `^gray_id=[0-9a-f]{32}\.[A-Za-z0-9_-]{43}; Path=/`, cookie)
		}
	}

	r := &http.Request{Method: http.MethodOptions, Host: "proxy.test", Header: http.Header{
		"Origin": {"https://shop.example"}, "Access-Control-Request-Method": {"PUT"},
	}}
	r.URL, _ = url.Parse(g.URL)
	response, err := http.DefaultClient.Do(r)
	if assert.NoError(t, err) {
		assert.Empty(t, response.Header["Set-Cookie"], "a preflight is nobody")
		assert.NoError(t, response.Body.Close())
	}
}

// Whoever is not trusted cannot say that it came by TLS.
func TestCookieOfUntrustedPeers(t *testing.T) {
	v1 := cacheable(t)
	g := traefik.Start(t, traefik.Options{
		Plugins: map[string]string{"gray": root},
		Entry:   object{"forwardedHeaders": object{"trustedIPs": []any{"192.0.2.1/32"}}},
		Dynamic: dynamic(
			object{"r": object{"rule": "Host(`shop.test`)", "middlewares": []any{"gray"}, "service": "v1"}},
			object{"gray": gray(object{
				"service": "shop", "stable": "v1", "anonymous": "cookie", "identity": []any{"cookie uid"},
				"versions": object{"v1": object{}, "v2": object{}},
				"rules":    []any{object{"version": "v2", "percent": 50}},
			})},
			object{"v1": server(v1)},
		),
	})
	cookie := get(t, g, "shop.test", "X-Forwarded-Proto", "https").Header.Get("Set-Cookie")
	assert.NotEmpty(t, cookie)
	assert.NotContains(t, cookie, "Secure")
}

// With vouch peers, a header says who the caller is if a trusted peer sends it, and only then.
func TestIdentityHeaders(t *testing.T) {
	v1, v2 := upstream(t, "v1"), upstream(t, "v2")
	config := func(trust string) object {
		return gray(object{
			"mode": "proxy", "service": "shop", "stable": "v1", "vouch": "peers", "trust": []any{trust},
			"identity": []any{"header X-User-ID", "cookie uid"},
			"versions": object{"v1": object{}, "v2": object{"upstreams": []any{v2}}},
			"rules":    []any{object{"version": "v2", "when": []any{"identity = u-tester"}}},
		})
	}
	router := func(name string) object {
		return object{"rule": "Host(`" + name + ".test`)", "middlewares": []any{name}, "service": "v1"}
	}
	g := traefik.Start(t, traefik.Options{
		Plugins: map[string]string{"gray": root},
		Dynamic: dynamic(
			object{"trusted": router("trusted"), "others": router("others"), "open": router("open")},
			object{
				"trusted": config("127.0.0.1/32"), "others": config("192.0.2.1/32"),
				"open": gray(object{"service": "open", "stable": "v1", "versions": object{"v1": object{}},
					"identity": []any{"header X-User-ID"}}),
			},
			object{"v1": server(v1)},
		),
	})
	for host, want := range map[string]string{"trusted.test": "v2", "others.test": "v1"} {
		assert.Equal(t, want, get(t, g, host, "X-User-ID", "u-tester").Header.Get("Served-By"), host)
		assert.Equal(t, "v2", get(t, g, host, "Cookie", "uid=u-tester").Header.Get("Served-By"), host)
	}
	assert.Equal(t, 1, strings.Count(g.Log(), "a client may send these headers itself"))
	assert.Contains(t, g.Log(), "middleware=open@file")
}
