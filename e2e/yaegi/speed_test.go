package yaegi_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/grayrelease/gray/e2e/yaegi"
)

// Policies whose cost is published.
var (
	versions  = map[string]any{"v1": nil, "v2": nil}
	fiveRules = map[string]any{
		"service": "user-service", "stable": "v1", "versions": versions,
		"identity": []any{"cookie uid", "header X-User-ID", "ip"},
		"lists":    map[string]any{"vip": []any{"u-1001", "u-1002"}},
		"rules": []any{
			map[string]any{"name": "testers", "version": "v2", "when": []any{"header X-App-Version = beta"}},
			map[string]any{"name": "internal", "version": "v2", "when": []any{"header X-User-Group in staff, qa"}},
			map[string]any{"name": "vip", "version": "v2", "when": []any{"cookie uid in @vip"}},
			map[string]any{"name": "office", "version": "v2", "when": []any{"ip in 10.0.0.0/8, 2001:db8::/32"}},
			map[string]any{"name": "ramp", "version": "v2", "when": []any{"header X-App-Version semver >=2.3.0"}, "percent": 5},
		},
	}
	headerAndBucket = map[string]any{
		"service": "user-service", "stable": "v1", "versions": versions, "identity": []any{"cookie uid"},
		"rules": []any{
			map[string]any{"name": "testers", "version": "v2", "when": []any{"header X-App-Version = beta"}},
			map[string]any{"name": "ramp", "version": "v2", "percent": 5},
		},
	}
	oneHeader = map[string]any{
		"service": "user-service", "stable": "v1", "versions": versions,
		"rules": []any{map[string]any{"name": "testers", "version": "v2", "when": []any{"header X-App-Version = beta"}}},
	}
)

func TestComparePolicies(t *testing.T) {
	if !*compare {
		t.Skip("figures only: -compare prints them")
	}
	empty, gray := yaegi.Load(t, "testdata/empty"), yaegi.Load(t, root)
	nothing := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	request := httptest.NewRequest("GET", "/orders/17?page=2", nil)
	request.Header.Set("Cookie", "theme=dark; uid=u-52")
	request.Header.Set("User-Agent", "Mozilla/5.0")
	t.Logf("\n%s", yaegi.Compare(11, 5000,
		yaegi.Variant{Name: "empty plugin", Op: yaegi.Serve(empty.Handler(t, nothing, nil), request)},
		yaegi.Variant{Name: "one header", Op: yaegi.Serve(gray.Handler(t, nothing, oneHeader), request)},
		yaegi.Variant{Name: "one header, then a cookie's bucket", Op: yaegi.Serve(gray.Handler(t, nothing, headerAndBucket), request)},
		yaegi.Variant{Name: "five rules, none matches", Op: yaegi.Serve(gray.Handler(t, nothing, fiveRules), request)},
	))
}
