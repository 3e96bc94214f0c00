package traefik_test

import (
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
	options := object{"name": "who", "same_site": "none", "secure": "always", "domain": "header.test", "path": "/a"}
	g := traefik.Start(t, traefik.Options{
		Plugins: map[string]string{"gray": root},
		// Trusted as a balancer in front would be, and not.
		Entry: object{"forwardedHeaders": object{"trustedIPs": []any{"127.0.0.1/32"}}},
		Dynamic: dynamic(
			object{
				"header": router("header.test", "header"), "proxy": router("proxy.test", "proxy"),
				"shop": router("shop.test", "proxy"), "options": router("options.test", "options"),
			},
			object{"header": config("header", nil), "proxy": config("proxy", nil), "options": config("header", options)},
			object{"v1": server(v1), "v2": server(v2)},
		),
	})
	for _, host := range []string{"header.test", "proxy.test"} {
		t.Run(host, func(t *testing.T) {
			for range 20 { // both versions
				response := get(t, g, host, "X_Gray_Version", "v2", "X-Gray_Version", "v2")
				assert.Regexp(t, `^gray_id=[0-9a-f]{32}; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax$`,
					response.Header.Get("Set-Cookie"))
				assert.Contains(t, strings.Join(response.Header["Cache-Control"], ", "), "private")
				assert.Equal(t, []string{"X-Gray-Version"}, response.Header["Got-Name"])
			}
			response := get(t, g, host, "X-Forwarded-Proto", "https")
			assert.Contains(t, response.Header.Get("Set-Cookie"), "; Secure")
			response = get(t, g, host, "Cookie", "uid=u-1")
			assert.Equal(t, []string{"public, max-age=60"}, response.Header["Cache-Control"])
			assert.Empty(t, response.Header["Set-Cookie"])
		})
	}
	assert.Regexp(t, `^who=[0-9a-f]{32}; Path=/a; Domain=header.test; Max-Age=2592000; HttpOnly; Secure; SameSite=None$`,
		get(t, g, "options.test").Header.Get("Set-Cookie"))
	for _, host := range []string{"shop.test", "SHOP.Test", "shop.test."} {
		assert.Empty(t, get(t, g, host).Header["Set-Cookie"], "the rule on the host decides: %s", host)
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
