package core_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"

	"github.com/grayrelease/gray/core"
)

// backend is a service that tells its version, and which decision reached it.
func backend(version string) *url.URL {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s; X-Gray-Version: %s, baggage: %q", version, r.Header.Get("X-Gray-Version"), r.Header.Get("Baggage"))
	}))
	u, _ := url.Parse(s.URL)
	return u
}

func get(gateway http.Handler, app string) string {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("X-App-Version", app)
	w := httptest.NewRecorder()
	gateway.ServeHTTP(w, r)
	body, _ := io.ReadAll(w.Body)
	return string(body)
}

// A gateway of one's own: the middleware decides, a reverse proxy goes where the decision says.
func Example() {
	upstreams := map[string]*url.URL{"v1": backend("v1"), "v2": backend("v2")}

	engine, err := core.Load([]byte(`{
		"service": "shop", "stable": "v1", "versions": {"v1": {}, "v2": {}},
		"rules": [{"name": "testers", "version": "v2", "when": ["header X-App-Version semver >=2.3.0"]}]
	}`))
	if err != nil {
		log.Fatal(err)
	}
	gateway := core.Handler(engine, nil, &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
		p.SetURL(upstreams[p.In.Header.Get(engine.Header())])
	}})

	fmt.Println(get(gateway, "2.2.9"))
	fmt.Println(get(gateway, "2.3.0"))
	// Output:
	// v1; X-Gray-Version: v1, baggage: ""
	// v2; X-Gray-Version: v2, baggage: "gray=v2"
}

// Decide alone suits whoever has a place of their own for the answer.
func ExampleDecide() {
	engine, err := core.Load([]byte(`{
		"service": "shop", "stable": "v1", "versions": {"v1": {}, "v2": {}},
		"rules": [{"name": "office", "version": "v2", "when": ["ip in 10.0.0.0/8, 2001:db8::/32"]}]
	}`))
	if err != nil {
		log.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	decision := core.Decide(engine, &core.Caller{Request: r, Client: "10.1.2.3"})
	fmt.Println(decision.Version, decision.Rule)
	// Output: v2 office
}

func ExampleExplain() {
	engine, err := core.Load([]byte(`{
		"service": "shop", "stable": "v1", "versions": {"v1": {}, "v2": {}}, "identity": ["cookie uid"],
		"rules": [
			{"name": "testers", "version": "v2", "when": ["header X-App-Version = beta"]},
			{"name": "ramp", "version": "v2", "percent": 5}
		]
	}`))
	if err != nil {
		log.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Cookie", "uid=u-1001")
	x := core.Explain(engine, &core.Caller{Request: r})
	fmt.Println(x.Version+":", x.Reason)
	for _, rule := range x.Rules {
		if rule.Failed != "" {
			fmt.Printf("%s: not %q\n", rule.Rule, rule.Failed)
		} else {
			fmt.Printf("%s: position %s, threshold %s\n", rule.Rule, rule.Bucket.Position, rule.Bucket.Threshold)
		}
	}
	// Output:
	// v1: no rule matched: the stable version
	// testers: not "header X-App-Version = beta"
	// ramp: position 9758298612206947696, threshold 922337203685477581
}

// A policy is refused whole, with everything that is wrong with it.
func ExampleLoad() {
	_, err := core.Load([]byte(`{
		"service": "shop", "stable": "v1", "versions": {"v1": {}, "v2": {}},
		"rules": [{"version": "v3", "when": ["header X-App prefx be", "path = "]}]
	}`))
	fmt.Println(strings.ReplaceAll(err.Error(), ": column", ":\n  column"))
	// Output:
	// rules[0].version: version "v3" is not in versions (one of v1, v2)
	// rules[0].when[0]:
	//   column 14: unknown operator "prefx" (did you mean "prefix"?)
	// rules[0].when[1]:
	//   column 8: the operand of = is required (write "" for an empty value)
}
