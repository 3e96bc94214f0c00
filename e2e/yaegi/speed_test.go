package yaegi_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/grayrelease/gray/e2e/yaegi"
)

// The policies whose cost is published. No rule matches the request that they are timed with. Most
// requests are like that, and all of a policy's conditions are checked.
var (
	off       = policy(map[string]any{"enabled": false}, rule("header X-App-Version = beta"))
	oneHeader = policy(nil, rule("header X-App-Version = beta"))
	twoSteps  = policy(nil, rule("header X-App-Version = beta"), map[string]any{"version": "v2", "percent": 10})
	fiveRules = policy(nil, rule("header X-App-Version = beta"), rule("header User-Agent matches ^curl/[78]"),
		rule("cookie group = beta"), rule("ip in 10.0.0.0/8"), map[string]any{"version": "v2", "percent": 10})
	aClaim = policy(map[string]any{"jwt": map[string]any{"secret": secret}},
		rule("header X-App-Version = beta"), rule("claim groups in staff, qa"), map[string]any{"version": "v2",
			"percent": 10})
)

func rule(condition string) map[string]any {
	return map[string]any{"version": "v2", "when": []any{condition}}
}

func policy(more map[string]any, rules ...any) map[string]any {
	p := map[string]any{
		"service": "user-service", "stable": "v1", "versions": map[string]any{"v1": nil, "v2": nil},
		"identity": []any{"cookie uid"}, "rules": rules,
	}
	maps.Copy(p, more)
	return p
}

// TestComparePolicies prints the cost of policies in the interpreter, relative to a plugin that
// does nothing.
func TestComparePolicies(t *testing.T) {
	if !*compare {
		t.Skip("figures only: -compare prints them")
	}
	empty, gray := yaegi.Load(t, "testdata/empty"), yaegi.Load(t, root)
	nothing := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	request := httptest.NewRequest("GET", "/orders/17?page=2", nil)
	request.RemoteAddr = "203.0.113.7:51234"
	request.Header.Set("X-App-Version", "2.1.0")
	request.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36")
	request.Header.Set("Cookie", "session=abcdef0123456789; uid=user-000123; group=control; theme=dark")
	request.Header.Set("Authorization",
		"Bearer "+signed(`{"iss":"https://id.example.com","sub":"user-000123","groups":["dev","ops"],"exp":4102444800}`))
	timings := yaegi.Compare(41, 1000,
		yaegi.Variant{Name: "empty plugin, as plugins are written",
			Op: yaegi.Serve(empty.Handler(t, nothing, map[string]any{"shape": "method"}), request)},
		yaegi.Variant{Name: "empty plugin, a closure", Op: yaegi.Serve(empty.Handler(t, nothing, nil), request)},
		yaegi.Variant{Name: "enabled: false", Op: yaegi.Serve(gray.Handler(t, nothing, off), request)},
		yaegi.Variant{Name: "one header", Op: yaegi.Serve(gray.Handler(t, nothing, oneHeader), request)},
		yaegi.Variant{Name: "one header, then a cookie's bucket",
			Op: yaegi.Serve(gray.Handler(t, nothing, twoSteps), request)},
		yaegi.Variant{Name: "the same with a claim in between", Op: yaegi.Serve(gray.Handler(t, nothing, aClaim), request)},
		yaegi.Variant{Name: "five rules, none matches", Op: yaegi.Serve(gray.Handler(t, nothing, fiveRules), request)},
	)
	t.Logf("\n%sthe claim, of a remembered token, takes %.2f empty plugins", timings,
		float64(timings[5].PerOp-timings[4].PerOp)/float64(timings[0].PerOp))
}
