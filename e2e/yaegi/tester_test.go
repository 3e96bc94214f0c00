package yaegi_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/e2e/yaegi"
)

// Testers' links in the interpreter, where most requests take a way that knows nothing of them.
func TestTesterLinks(t *testing.T) {
	const secret = "a secret of more than 32 bytes, for tests"
	gray := yaegi.Load(t, root)
	for name, rules := range map[string][]any{
		"no rules": {}, "a header": {map[string]any{"version": "v3", "when": []any{"header X-Never = x"}}},
		"a percentage": {map[string]any{"version": "v3", "percent": 0.001}},
		"a split":      {map[string]any{"split": map[string]any{"v2": 0.001, "v3": 0.001}}},
	} {
		config := map[string]any{
			"service": "shop", "stable": "v1", "versions": map[string]any{"v1": nil, "v2": nil, "v3": nil},
			"identity": []any{"header X-User"}, "rules": rules,
			"tester": map[string]any{"secret": secret, "lifetime": "1d"},
		}
		handler := gray.Handler(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Version", r.Header.Get("X-Gray-Version"))
		}), config)
		ask := func(target, cookie string) http.Header {
			r := httptest.NewRequest("GET", target, nil)
			r.Header.Set("X-User", "u-1")
			if cookie != "" {
				r.Header.Set("Cookie", cookie)
			}
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			return w.Header()
		}
		got := ask("/?gray="+core.TesterToken(secret, "shop", "v2", time.Now().Add(time.Hour)), "")
		require.Equal(t, "v2", got.Get("Version"), name)
		assert.Equal(t, "private", got.Get("Cache-Control"), name)
		cookie, _, _ := strings.Cut(got.Get("Set-Cookie"), ";")
		require.Regexp(t, `^gray_tester_shop=v2\.[0-9]+\.[A-Za-z0-9_-]{43}$`, cookie, name)
		assert.Equal(t, "v2", ask("/", cookie).Get("Version"), name)
		assert.Empty(t, ask("/", cookie).Get("Set-Cookie"), name)
		assert.Equal(t, "v1", ask("/", cookie+"x").Get("Version"), name)
		assert.Equal(t, "v1", ask("/?gray=v2", "").Get("Version"), name)
		ended := ask("/?gray=", cookie)
		assert.Equal(t, "v1", ended.Get("Version"), name)
		assert.Contains(t, ended.Get("Set-Cookie"), "gray_tester_shop=;", name)
	}
}
