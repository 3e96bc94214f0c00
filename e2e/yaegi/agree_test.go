package yaegi_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/e2e/yaegi"
)

// TestAgree sends generated requests to generated policies, compiled and interpreted. Version,
// baggage and response headers must be the same. Each rule has a version of its own, so that the
// version shows which rule decided.
func TestAgree(t *testing.T) {
	const policies, requests = 125, 400 // 50,000
	plugin := yaegi.Load(t, root)
	decided := map[string]int{}
	for n := range policies {
		g := &generator{rand.New(rand.NewPCG(1, uint64(n))), n%3 == 0}
		var compiled, interpreted http.Header
		document, a, b := g.handlers(t, plugin, keep(&compiled), keep(&interpreted))
		for range requests {
			r := g.request()
			wa, wb := httptest.NewRecorder(), httptest.NewRecorder()
			a.ServeHTTP(wa, r.Clone(t.Context()))
			b.ServeHTTP(wb, r.Clone(t.Context()))
			require.Equal(t, compiled, interpreted, "%s\n%v", document, r)
			require.Equal(t, wa.Header(), wb.Header(), "%s\n%v", document, r)
			decided[compiled.Get("X-Gray-Version")]++
		}
	}
	t.Log("decisions by version:", decided)
	for version, n := range decided {
		require.Greater(t, n, 300, "version %s is hardly ever reached: the requests do not fit the policies", version)
	}
	require.Empty(t, plugin.Stderr.String())
}

// TestAgreeAtOnce decides many requests at the same time, under several policies, as gateways do.
// What a statement of an interpreted function stores for one request must not be visible to
// another.
func TestAgreeAtOnce(t *testing.T) {
	const policies, requests, workers = 12, 250, 8
	type question struct {
		document string
		handler  http.Handler
		request  *http.Request
		want     http.Header
	}
	plugin := yaegi.Load(t, root)
	next := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		*r.Context().Value(keptKey{}).(*http.Header) = r.Header.Clone()
	})
	decided := func(h http.Handler, r *http.Request) http.Header {
		var kept http.Header
		h.ServeHTTP(httptest.NewRecorder(), r.Clone(context.WithValue(t.Context(), keptKey{}, &kept)))
		return kept
	}
	var questions []question
	for n := range policies {
		g := &generator{rand.New(rand.NewPCG(2, uint64(n))), n%3 == 0}
		document, compiled, interpreted := g.handlers(t, plugin, next, next)
		for range requests {
			r := g.request()
			questions = append(questions, question{document, interpreted, r, decided(compiled, r)})
		}
	}
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for _, n := range rand.Perm(len(questions)) {
				q := questions[n]
				if !assert.Equal(t, q.want, decided(q.handler, q.request), "%s\n%v", q.document, q.request) {
					return
				}
			}
		})
	}
	group.Wait()
	require.Empty(t, plugin.Stderr.String())
}

type keptKey struct{}

func keep(into *http.Header) http.Handler {
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { *into = r.Header.Clone() })
}

// generator makes policies and requests from few words, so that they often match, and sometimes
// from random bytes.
type generator struct {
	*rand.Rand
	claims bool
}

const secret = "0123456789abcdef0123456789abcdef"

// token is one of a few that come again, or that never did before; now and then a broken one.
func (g *generator) token() string {
	claims := fmt.Sprintf(`{"sub":%q,"groups":%s,"org":{"plan":%s},"n":%d}`,
		pick(g, "u-1", "u-2", "", fmt.Sprint("u-", g.IntN(1000))),
		pick(g, `["a","b"]`, `["c"]`, `"a"`, `[]`, "null"), pick(g, `"pro"`, "1.50", "true"), g.IntN(3)*5)
	return pick(g, "Bearer ", "Bearer ", "bearer ", "Basic ") + signed(claims) + pick(g, "", "", "", "", "x")
}

// signed is a token with these claims.
func signed(claims string) string {
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256"}`)) + "." +
		base64.RawURLEncoding.EncodeToString([]byte(claims))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func pick[T any](g *generator, from ...T) T { return from[g.IntN(len(from))] }

// handlers serve the same generated policy, one compiled and one interpreted.
func (g *generator) handlers(t *testing.T, plugin *yaegi.Plugin, first, second http.Handler) (document string, compiled,
	interpreted http.Handler) {
	t.Helper()
	text, err := json.Marshal(g.policy())
	require.NoError(t, err)
	engine, err := core.Load(text)
	require.NoError(t, err, "%s", text)
	var config map[string]any
	require.NoError(t, json.Unmarshal(text, &config))
	return string(text), core.Handler(engine, nil, first), plugin.Handler(t, second, config)
}

func (g *generator) policy() map[string]any {
	rules, versions := []any{}, map[string]any{"stable": map[string]any{}}
	for n := range 1 + g.IntN(6) {
		version := fmt.Sprintf("v%d", n)
		versions[version] = map[string]any{}
		rule := map[string]any{"version": version}
		when := []any{}
		for range g.IntN(3) {
			when = append(when, g.condition())
		}
		if len(when) > 0 {
			rule["when"] = when
		}
		if len(when) == 0 || g.IntN(3) == 0 {
			rule["percent"] = pick(g, 0, 0.1, 10, 33.3, 50, 90)
		}
		if g.IntN(8) == 0 {
			rule["salt"] = pick(g, "a", "b")
		}
		if n > 1 && g.IntN(8) == 0 {
			delete(rule, "version")
			delete(rule, "percent")
			rule["split"] = map[string]any{"v0": pick(g, 0, 0.1, 10), "v1": pick(g, 5, 33.3), version: pick(g, 20, 50)}
		}
		rules = append(rules, rule)
	}
	p := map[string]any{
		"service": "s", "stable": "stable", "versions": versions, "rules": rules,
		"identity": pick(g, []any{"cookie uid"}, []any{"cookie uid", "ip"}, []any{"ip"},
			[]any{"header X-User", "cookie uid"}, []any{"query uid"}),
		"lists": map[string]any{"l": []any{"a", "1.2.0", "u-1"}, "nets": []any{"10.0.0.0/8", "2001:db8::/32"}},
	}
	if g.IntN(10) == 0 {
		p["enabled"] = false
	}
	if g.IntN(4) == 0 {
		p["trust"] = []any{"10.0.0.0/8"}
	}
	if g.claims {
		p["jwt"] = map[string]any{"secret": secret}
		p["identity"] = pick(g, p["identity"].([]any), []any{"claim sub"}, []any{"claim sub", "cookie uid"})
	}
	return p
}

func (g *generator) condition() string {
	not := pick(g, "", "", "", "not ")
	if g.claims && g.IntN(3) == 0 {
		return not + "claim " + pick(g, "groups in a, b", "groups = a", "sub = u-1", "org.plan in pro, 1.5", "groups.1 = b",
			"/org/plan exists", "sub prefix u-", "n >= 5")
	}
	if g.IntN(6) == 0 {
		return not + "ip " + pick(g, "in 10.0.0.0/9", "= 192.0.2.1", "in @nets", "in 172.16.0.0/12, 192.0.2.128/25",
			"!= 10.0.0.1", "in ::/0", "prefix 10.")
	}
	source := pick(g, "header X-A", "header X-A", "header X-B", "cookie c", "cookie uid", "query q", "path", "host",
		"method", "identity", "baggage k", "baggage gray", "header X-Gray-Version")
	op := pick(g, "= ", "= ", "!= ", "in ", "in ", "prefix ", "suffix ", "contains ", "matches ", "exists", "<",
		">=", "semver ", "in @l")
	if source == "path" && op == "in @l" { // which has what no path is
		op = "in "
	}
	if possible := operands[source]; possible != nil && possible[op] != nil {
		return not + source + " " + op + pick(g, possible[op]...)
	}
	switch op {
	case "= ", "!= ":
		op += pick(g, "a", "b", "1.2.0", "u-1", `""`, "GET", "/a", "example.com", "v1", `"a b"`)
	case "in ":
		op += pick(g, "a, b", `"", 7`, "u-1, u-2, u-3", "GET, POST", "a,b,1.2.0,2", "/a, /b")
	case "prefix ", "suffix ", "contains ":
		op += pick(g, "a", "1", "u-", ".", "é")
	case "matches ":
		op += pick(g, "^a", "b$", "[0-9]+", `^u-[13]$`, "(?i)^A", "a|b", "^$")
	case "<", ">=":
		op += pick(g, " 5", " -1", " 1.25")
	case "semver ":
		op += pick(g, ">=1.0", "^1.2", "~2.1 <2.1.9")
	}
	return not + source + " " + op
}

// operands are those of attributes that cannot have just any.
var operands = map[string]map[string][]string{
	"path": {
		"= ": {"/a", "/", "/b/1", `""`, `"/a b"`}, "!= ": {"/a", "/"}, "in ": {"/a, /b", `"", /`},
		"prefix ": {"/", "/a"},
	},
	"host": {
		"= ": {"a", "example.com", "2001:db8::1"}, "!= ": {"a", `""`}, "in ": {"a, b", "example.com, 7"},
		"suffix ": {".com", "a"},
	},
	"method": {"= ": {"GET", "POST", "a"}, "!= ": {"GET"}, "in ": {"GET, POST", `"", 7`, "a,b,1.2.0,2"}},
}

func (g *generator) value() string {
	if g.IntN(12) == 0 {
		return pick(g, "\xff\xfe", "é", strings.Repeat("a", 8192), strings.Repeat("a", 8193), " a", "a ", `"a"`, `"`,
			`{"a":"b"}`, "a=b", "a,b", "\t", "%41", "a\xc0")
	}
	return pick(g, "a", "b", "", "1.2.0", "v1.2.3", "2.1.4-rc.1", "2", "7", "-3", "a b", "u-1", "u-2",
		fmt.Sprint("u-", g.IntN(1000)), "GET", "v1")
}

func (g *generator) request() *http.Request {
	target := url.URL{Path: pick(g, "/", "/a", "/b", "/a/1")}
	for range g.IntN(3) {
		target.RawQuery += pick(g, "", "&") + pick(g, "q", "uid", "x", "%71") + pick(g, "=", "=", "") +
			pick(g, url.QueryEscape(g.value()), "a", "%zz", "a;b", "a+b")
	}
	r := httptest.NewRequest(pick(g, "GET", "GET", "POST"), target.String(), nil)
	r.Host = pick(g, "example.com", "example.com:8080", "a", "[2001:db8::1]:80")
	r.RemoteAddr = pick(g, "10.0.0.1:1", "10.200.3.4:55", "192.0.2.1:99", "192.0.2.200:7", "172.20.1.1:3",
		"[2001:db8::9]:8", "[::ffff:10.1.2.3]:4", "[fe80::1%eth0]:5",
		"10.0.0.1", "2001:db8::1", "@", "", fmt.Sprintf("203.0.113.%d:80", g.IntN(256)))
	for range g.IntN(7) {
		name := pick(g, "X-A", "X-A", "X-B", "X-User", "X-Gray-Version", "Cookie", "Cookie", "Baggage")
		value := g.value()
		switch name {
		case "Cookie":
			value = ""
			for range 1 + g.IntN(3) {
				value += pick(g, "c", "uid", "uid", "x", " uid ", "uuid") + pick(g, "=", "=", "=", "= ", "") +
					strings.ReplaceAll(g.value(), ";", "") + pick(g, "; ", ";", " ;", ";;")
			}
		case "Baggage":
			value = pick(g, "k", "gray", "other") + pick(g, "=", " = ", "") + value + pick(g, "", ",k=a;p=1", ",,gray=v1",
				","+strings.Repeat("m=1,", 70))
		}
		r.Header[name] = append(r.Header[name], value)
	}
	for range pick(g, 0, 1, 1, 1, 1, 2) {
		r.Header["Authorization"] = append(r.Header["Authorization"], g.token())
	}
	return r
}
