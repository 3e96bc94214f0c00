package core

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// serve sends a request through the middleware and returns what the next handler got, and the
// response's headers.
func serve(e *Engine, r *http.Request) (passed http.Header, response http.Header) {
	w := httptest.NewRecorder()
	Handler(e, nil, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { passed = r.Header.Clone() })).ServeHTTP(w, r)
	return passed, w.Result().Header
}

const betaRule = `"rules": [{"name": "testers", "version": "v2", "when": ["header X-App = beta"]}]`

func TestHandlerPassesTheDecisionOn(t *testing.T) {
	e := engineFor(t, betaRule)
	passed, response := serve(e, request("/", "X-App: beta", "Accept: */*"))
	assert.Equal(t, http.Header{"X-App": {"beta"}, "Accept": {"*/*"}, "X-Gray-Version": {"v2"}, "Baggage": {"gray=v2"}}, passed)
	assert.Empty(t, response)

	passed, _ = serve(e, request("/"))
	assert.Equal(t, http.Header{"X-Gray-Version": {"v1"}}, passed, "absence says stable in the baggage")
}

// What a client sends under the decision's names never gets through, however often and in whatever
// case it sends it.
func TestHandlerStripsTheClientsOwn(t *testing.T) {
	e := engineFor(t, betaRule)
	passed, _ := serve(e, request("/", "X-Gray-Version: v9", "x-gray-version: v2", "Baggage: gray=v9,a=1", "baggage: gray=v8"))
	assert.Equal(t, http.Header{"X-Gray-Version": {"v1"}, "Baggage": {"a=1"}}, passed)

	e = engineFor(t, betaRule+`, "header": "x-release"`)
	assert.Equal(t, "X-Release", e.Header())
	passed, _ = serve(e, request("/", "X-Release: v9", "X-Gray-Version: mine"))
	assert.Equal(t, http.Header{"X-Release": {"v1"}, "X-Gray-Version": {"mine"}}, passed)
}

// Handlers further on may write into the values that they find, as Caddy's replacing of header
// values does. That must stay in their request.
func TestPassedValuesBelongToTheRequest(t *testing.T) { testPassedValues(t, "v2", "X-App: beta") }

func testPassedValues(t *testing.T, version string, lines ...string) {
	t.Helper()
	h := Handler(engineFor(t, betaRule), nil, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		assert.Equal(t, []string{version}, r.Header["X-Gray-Version"])
		baggage := r.Header["Baggage"]
		assert.Equal(t, version == "v2", len(baggage) == 1 && baggage[0] == "gray=v2", baggage)
		r.Header["X-Gray-Version"][0] = "changed"
		_ = append(r.Header["X-Gray-Version"], "more")
		assert.NotContains(t, baggage, "more")
		for i := range baggage {
			baggage[i] = "changed"
		}
	}))
	for range 2 {
		h.ServeHTTP(httptest.NewRecorder(), request("/", lines...))
	}
}

// A client that names the decision's headers in Connection asks proxies to drop them; they reach
// the service all the same.
func TestClientsCannotHaveTheDecisionDropped(t *testing.T) { testDropping(t, "v2", "X-App: beta") }

func testDropping(t *testing.T, version string, lines ...string) {
	t.Helper()
	var reached http.Header
	service := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { reached = r.Header }))
	defer service.Close()
	target, err := url.Parse(service.URL)
	require.NoError(t, err)
	proxy := &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(target) }}
	lines = append(lines, "Connection: keep-alive, X-Own, x-gray-version", "Connection: BAGGAGE", "X-Own: 1", "X-Other: 2")
	r := request("/", lines...)
	Handler(engineFor(t, betaRule), nil, proxy).ServeHTTP(httptest.NewRecorder(), r)
	assert.Equal(t, version, reached.Get("X-Gray-Version"))
	assert.Equal(t, strings.TrimPrefix("gray="+version, "gray=v1"), reached.Get("Baggage"))
	assert.Empty(t, reached.Get("X-Own"))
	assert.Equal(t, "2", reached.Get("X-Other"))
	assert.Equal(t, []string{"keep-alive, X-Own", ""}, r.Header["Connection"])
}

// Only trusted peers may bring a decision along: a gateway further in believes the one further out,
// and nobody else.
func TestTrust(t *testing.T) {
	const policy = `"trust": ["192.0.2.0/24", "2001:db8::1"], "identity": ["header X-Gray-Version"], "rules": [
		{"name": "header", "version": "v2", "when": ["header X-Gray-Version = v2"]},
		{"name": "baggage", "version": "v2", "when": ["baggage gray = v2"]},
		{"name": "identity", "version": "v2", "when": ["identity exists"]}]`
	for _, c := range []struct{ peer, header, rule string }{
		{"192.0.2.9:1", "X-Gray-Version: v2", "header"},
		{"[::ffff:192.0.2.9]:1", "X-Gray-Version: v2", "header"},
		{"[2001:db8::1]:1", "X-Gray-Version: v2", "header"},
		{"192.0.2.9:1", "Baggage: a=1,gray=v2", "baggage"},
		{"192.0.2.9:1", "X-Gray-Version: v3", "identity"},
		{"203.0.113.7:1", "X-Gray-Version: v2", ""},
		{"203.0.113.7:1", "Baggage: gray=v2", ""},
		{"203.0.113.7:1", "X-Gray-Version: v3", ""},
		{"[2001:db8::2]:1", "X-Gray-Version: v2", ""},
		{"@", "X-Gray-Version: v2", ""},
		{"", "Baggage: gray=v2", ""},
	} {
		r := request("/", c.header)
		r.RemoteAddr = c.peer
		// The client behind the peer does not count, only the peer itself.
		assert.Equal(t, c.rule, Decide(engineFor(t, policy), &Caller{Request: r, Client: "192.0.2.9"}).Rule, c)
	}
	for _, header := range []string{"X-Gray-Version: v2", "Baggage: gray=v2"} { // trusting nobody is the default
		r := request("/", header)
		r.RemoteAddr = "127.0.0.1:1"
		e := engineFor(t, `"rules": [{"version": "v2", "when": ["header X-Gray-Version exists"]}, {"version": "v2", "when": ["baggage gray exists"]}]`)
		assert.Equal(t, "v1", Decide(e, &Caller{Request: r}).Version)
	}
}

func TestAnonymousCookie(t *testing.T) {
	const policy = `"identity": ["cookie uid"], "anonymous": "cookie", "rules": [
		{"name": "staff", "version": "v2", "when": ["header X-Staff = yes"]}, {"name": "half", "version": "v2", "percent": 50}]`
	e := engineFor(t, policy)
	_, response := serve(e, request("/"))
	require.Len(t, response["Set-Cookie"], 1)
	assert.Regexp(t, regexp.MustCompile(`^gray_id=[0-9a-f]{32}; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax$`), response.Get("Set-Cookie"))

	r := request("/")
	r.TLS = &tls.ConnectionState{}
	_, response = serve(e, r)
	assert.Regexp(t, regexp.MustCompile(`^gray_id=[0-9a-f]{32}; Path=/; Max-Age=2592000; HttpOnly; Secure; SameSite=Lax$`), response.Get("Set-Cookie"))

	e = engineFor(t, policy+`, "cookie": {"name": "who", "lifetime": "90m"}`)
	_, response = serve(e, request("/"))
	assert.Regexp(t, regexp.MustCompile(`^who=[0-9a-f]{32}; Path=/; Max-Age=5400; HttpOnly; SameSite=Lax$`), response.Get("Set-Cookie"))

	e = engineFor(t, policy+`, "cookie": {"domain": "example.com", "path": "/shop", "same_site": "none", "secure": "always"}`)
	_, response = serve(e, request("/"))
	assert.Regexp(t, regexp.MustCompile(
		`^gray_id=[0-9a-f]{32}; Path=/shop; Domain=example.com; Max-Age=2592000; HttpOnly; Secure; SameSite=None$`),
		response.Get("Set-Cookie"))

	// No cookie for those who need none: known by identity, by the cookie itself, or decided before
	// any percentage.
	for _, headers := range [][]string{{"Cookie: uid=1"}, {"Cookie: gray_id=0123"}, {"X-Staff: yes"}} {
		_, response = serve(e, request("/", headers...))
		assert.Empty(t, response["Set-Cookie"], headers)
	}
	preflight := request("/", "Origin: https://shop.example", "Access-Control-Request-Method: PUT")
	preflight.Method = http.MethodOptions
	_, response = serve(e, preflight)
	assert.Empty(t, response["Set-Cookie"], "browsers take no cookie from it")

	e = engineFor(t, policy+`, "enabled": false`)
	_, response = serve(e, request("/"))
	assert.Empty(t, response["Set-Cookie"])
}

func TestCookieIsSecureIfTheClientCameByTLS(t *testing.T) {
	const policy = `"anonymous": "cookie", "identity": ["cookie uid"], "trust": ["10.0.0.0/8"], "rules": [{"version": "v2", "percent": 50}]`
	e := engineFor(t, policy)
	vouched := &Client{Secure: ForwardedSecurely}
	for _, c := range []struct {
		peer   string
		client *Client
		proto  string
		secure bool
	}{
		{"203.0.113.7:1", nil, "https", false},
		{"10.0.0.1:1", nil, "https", true},
		{"10.0.0.1:1", nil, "http", false},
		{"203.0.113.7:1", vouched, "https", true},
		{"203.0.113.7:1", vouched, "HTTPS, http", true},
		{"203.0.113.7:1", vouched, "wss", true},
		{"203.0.113.7:1", vouched, "http, https", false},
		{"203.0.113.7:1", vouched, "", false},
	} {
		r := request("/", "X-Forwarded-Proto: "+c.proto)
		r.RemoteAddr = c.peer
		w := httptest.NewRecorder()
		Handler(e, c.client, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, r)
		assert.Equal(t, c.secure, strings.Contains(w.Header().Get("Set-Cookie"), "; Secure"), c)
	}
}

func TestWrongCookies(t *testing.T) {
	for cookie, want := range map[string]string{
		`{"same_site": "none"}`:                                   "cookie.same_site: none requires secure always: browsers drop such a cookie that is not Secure",
		`{"same_site": "laks"}`:                                   `cookie.same_site: unknown word "laks" (one of lax, strict, none) (did you mean "lax"?)`,
		`{"secure": "never"}`:                                     `cookie.secure: unknown word "never" (one of auto, always)`,
		`{"domain": "exa mple.com"}`:                              `cookie.domain: "exa mple.com" is not a domain that browsers take (write it as in example.com)`,
		`{"domain": "10.0.0.1"}`:                                  `cookie.domain: "10.0.0.1" is not a domain that browsers take (write it as in example.com)`,
		`{"path": "shop"}`:                                        `cookie.path: "shop" is not a path (one begins with /, and has no ; in it)`,
		`{"path": "/; Domain=x"}`:                                 `cookie.path: "/; Domain=x" is not a path (one begins with /, and has no ; in it)`,
		`{"name": "__Host-id"}`:                                   `cookie.name: "__Host-id" requires secure always: browsers drop it otherwise`,
		`{"name": "__Host-id", "secure": "always", "path": "/a"}`: `cookie.name: "__Host-id" allows no domain, and no path but /: browsers drop it otherwise`,
	} {
		_, err := Load([]byte(`{"service": "shop", "stable": "v1", "versions": {"v1": {}}, "cookie": ` + cookie + `}`))
		require.Error(t, err, cookie)
		assert.Contains(t, err.Error(), want)
	}
}

// A browser that keeps the cookie keeps its version.
func TestAnonymousCookieSticks(t *testing.T) {
	e := engineFor(t, `"identity": ["header X-User"], "anonymous": "cookie", "rules": [{"version": "v2", "percent": 50}]`)
	seen := map[string]int{}
	for range 200 {
		first, response := serve(e, request("/"))
		cookie, err := http.ParseSetCookie(response.Get("Set-Cookie"))
		require.NoError(t, err)
		again, response := serve(e, request("/", "Cookie: a=1; "+cookie.Name+"="+cookie.Value))
		assert.Empty(t, response["Set-Cookie"])
		assert.Equal(t, first["X-Gray-Version"], again["X-Gray-Version"])
		seen[first.Get("X-Gray-Version")]++
	}
	assert.Greater(t, seen["v1"], 50)
	assert.Greater(t, seen["v2"], 50)
}

func TestAnonymousRandom(t *testing.T) {
	e := engineFor(t, `"identity": ["header X-User"], "anonymous": "random", "rules": [{"version": "v2", "percent": 50}]`)
	seen := map[string]int{}
	for range 200 {
		passed, response := serve(e, request("/"))
		assert.Empty(t, response["Set-Cookie"])
		seen[passed.Get("X-Gray-Version")]++
	}
	assert.Greater(t, seen["v1"], 50)
	assert.Greater(t, seen["v2"], 50)
}

func TestAnonymousStable(t *testing.T) {
	e := engineFor(t, `"identity": ["header X-User"], "rules": [{"version": "v2", "percent": 99.9}]`)
	for range 50 {
		passed, response := serve(e, request("/"))
		assert.Equal(t, "v1", passed.Get("X-Gray-Version"))
		assert.Empty(t, response["Set-Cookie"])
	}
}

// The writer is the server's own: flushing and the like work as without the middleware.
func TestHandlerLeavesTheWriterAlone(t *testing.T) {
	w := httptest.NewRecorder()
	Handler(engineFor(t, ""), nil, http.HandlerFunc(func(got http.ResponseWriter, _ *http.Request) {
		assert.Same(t, w, got)
	})).ServeHTTP(w, request("/"))
}

func TestHandlerAsksForTheClient(t *testing.T) {
	e := engineFor(t, `"rules": [{"version": "v2", "when": ["ip = 198.51.100.1"]}]`)
	for address, version := range map[string]string{"198.51.100.1": "v2", "198.51.100.2": "v1", "unknown": "v1"} {
		Handler(e, &Client{Address: func(*http.Request) string { return address }}, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			assert.Equal(t, version, r.Header.Get("X-Gray-Version"), address)
		})).ServeHTTP(httptest.NewRecorder(), request("/", "X-Forwarded-For: 198.51.100.1"))
	}
}

// One engine serves any number of requests at once; run with -race this finds what they would
// share.
func TestDecideConcurrently(t *testing.T) {
	e := engineFor(t, fiveRules+`, "anonymous": "cookie"`)
	done := make(chan bool)
	for range 8 {
		go func() {
			for i := range 500 {
				passed, _ := serve(e, request("/", "Cookie: uid="+string(rune('a'+i%26)), "Baggage: a=1"))
				_ = Explain(e, &Caller{Request: request("/")})
				if passed.Get("X-Gray-Version") == "" {
					panic("no version")
				}
			}
			done <- true
		}()
	}
	for range 8 {
		select {
		case <-done:
		case <-time.After(time.Minute):
			t.Fatal("not done")
		}
	}
}
