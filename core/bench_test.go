package core

import (
	"encoding/json"
	"fmt"
	"net/http"
	"runtime"
	"strconv"
	"testing"
)

// fiveRules is the policy that the engine is measured by, here and beside other engines in
// e2e/peers.
const fiveRules = `"identity": ["cookie uid"], "rules": [
	{"name": "testers", "version": "v2", "when": ["header X-App-Version = beta"]},
	{"name": "devices", "version": "v2", "when": ["header User-Agent matches iPhone OS 1[78]_"]},
	{"name": "staff", "version": "v2", "when": ["cookie group = staff"]},
	{"name": "office", "version": "v2", "when": ["ip in 10.0.0.0/8, 2001:db8::/32"]},
	{"name": "ramp", "version": "v2", "percent": 10}
]`

// browser is a request as a browser sends it.
func browser(more ...string) *http.Request {
	return request("/cart?item=42", append([]string{
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
		"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
		"Accept-Language: en-US,en;q=0.5",
		"Cookie: theme=dark; session=3f0e8a6c51d94b7e; uid=u-1002",
	}, more...)...)
}

// sink keeps the compiler from leaving out what is measured.
var sink *Decision

func decideLoop(b *testing.B, e *Engine, r *http.Request, rule string) {
	b.Helper()
	if d := Decide(e, &Caller{Request: r, Client: "203.0.113.7"}); d.Rule != rule {
		b.Fatalf("rule %q decides, not %q", d.Rule, rule)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		c := Caller{Request: r, Client: "203.0.113.7"}
		sink = Decide(e, &c)
	}
}

func BenchmarkFiveRules(b *testing.B) {
	e := engineFor(b, fiveRules)
	for _, c := range []struct {
		name string
		r    *http.Request
		rule string
	}{
		{"early", browser("X-App-Version: beta"), "testers"},
		{"late", browser("Cookie: group=staff"), "staff"},
		{"bucket", browserOf(e, "ramp"), "ramp"},
		{"none", browserOf(e, ""), ""},
	} {
		b.Run(c.name, func(b *testing.B) { decideLoop(b, e, c.r, c.rule) })
	}
	b.Run("office", func(b *testing.B) {
		e := engineFor(b, fiveRules)
		r := browser()
		b.ReportAllocs()
		for i := 0; i < b.N; i++ {
			c := Caller{Request: r, Client: "10.1.2.3"}
			sink = Decide(e, &c)
		}
	})
}

// browserOf is a browser whose uid the rule's percentage takes, or no rule.
func browserOf(e *Engine, rule string) *http.Request {
	for i := 0; ; i++ {
		r := browser()
		r.Header.Set("Cookie", "theme=dark; session=3f0e8a6c51d94b7e; uid=u-"+strconv.Itoa(1000+i))
		if Decide(e, &Caller{Request: r, Client: "203.0.113.7"}).Rule == rule {
			return r
		}
	}
}

// BenchmarkHandler is the whole middleware: the decision, and what passes it on.
func BenchmarkHandler(b *testing.B) {
	e := engineFor(b, fiveRules)
	h := Handler(e, nil, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	r, w := browserOf(e, ""), discard{http.Header{}}
	b.ReportAllocs()
	for i := 0; i < b.N; i++ {
		h.ServeHTTP(w, r)
	}
}

type discard struct{ header http.Header }

func (d discard) Header() http.Header       { return d.header }
func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) WriteHeader(int)             {}

// BenchmarkRules shows what more rules on one header cost: next to nothing.
func BenchmarkRules(b *testing.B) {
	for _, op := range []string{"=", "in"} {
		for _, n := range []int{10, 100, 1000, 10_000} {
			e := rulesOnOneHeader(b, op, n)
			for _, c := range []struct{ name, value, rule string }{
				{"first", "tenant-0", "rule-1"}, {"last", fmt.Sprintf("tenant-%d", n-1), fmt.Sprintf("rule-%d", n)}, {"none", "nobody", ""},
			} {
				b.Run(fmt.Sprintf("%s/%d/%s", op, n, c.name), func(b *testing.B) {
					decideLoop(b, e, browser("X-Tenant: "+c.value), c.rule)
				})
			}
		}
	}
}

func rulesOnOneHeader(b testing.TB, op string, n int) *Engine {
	p := &Policy{Service: "shop", Stable: "v1", Versions: map[string]Version{"v1": {}, "v2": {}}}
	for i := 0; i < n; i++ {
		line := fmt.Sprintf("header X-Tenant %s tenant-%d", op, i)
		if op == "in" {
			line += fmt.Sprintf(", other-%d, third-%d", i, i)
		}
		p.Rules = append(p.Rules, Rule{Version: "v2", When: []string{line}})
	}
	e, err := New(p)
	if err != nil {
		b.Fatal(err)
	}
	return e
}

// BenchmarkList loads a list of so many ids and looks callers up in it. Bytes an id are those that
// the heap keeps for the engine, the document gone.
func BenchmarkList(b *testing.B) {
	for _, n := range []int{1000, 10_000, 100_000, 1_000_000} {
		document := listDocument(b, n)
		b.Run(strconv.Itoa(n)+"/load", func(b *testing.B) {
			for i := 0; i < b.N; i++ {
				if _, err := Load(document); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)*1000, "ms/load")
		})
		before := heap()
		e, err := Load(document)
		if err != nil {
			b.Fatal(err)
		}
		bytes := float64(heap()-before) / float64(n)
		for _, c := range []struct{ name, id, rule string }{{"member", id(n / 2), "rule-1"}, {"other", id(n + 1), ""}} {
			r := browser("X-User-Id: " + c.id)
			b.Run(strconv.Itoa(n)+"/"+c.name, func(b *testing.B) {
				decideLoop(b, e, r, c.rule)
				b.ReportMetric(bytes, "bytes/id")
			})
		}
		// Spread over the list, so that memory and not its caches is measured; one request, since those
		// would take more of it.
		b.Run(strconv.Itoa(n)+"/spread", func(b *testing.B) {
			ids := make([][]string, 1<<16)
			for i := range ids {
				ids[i] = []string{id(int(scramble(uint64(i)) % uint64(n)))}
			}
			r := browser()
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; i++ {
				r.Header["X-User-Id"] = ids[i%len(ids)]
				c := Caller{Request: r}
				sink = Decide(e, &c)
			}
		})
		runtime.KeepAlive(e)
	}
}

// id is a user's id as services number them: 16 characters.
func id(i int) string { return fmt.Sprintf("user-%011d", i) }

func listDocument(b testing.TB, n int) []byte {
	p := Policy{
		Service: "shop", Stable: "v1", Versions: map[string]Version{"v1": {}, "v2": {}}, Lists: map[string][]string{"vip": make([]string, n)},
		Rules: []Rule{{Version: "v2", When: []string{"header X-User-Id in @vip"}}},
	}
	for i := range p.Lists["vip"] {
		p.Lists["vip"][i] = id(i)
	}
	document, err := json.Marshal(p)
	if err != nil {
		b.Fatal(err)
	}
	return document
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
