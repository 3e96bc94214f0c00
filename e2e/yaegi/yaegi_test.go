package yaegi_test

import (
	"flag"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/e2e/yaegi"
)

var compare = flag.Bool("compare", false, "print the figures of comparisons")

var teapot = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })

func TestLoadEmptyPlugin(t *testing.T) {
	plugin := yaegi.Load(t, "testdata/empty")
	for _, shape := range []string{"method", "closure"} {
		t.Run(shape, func(t *testing.T) {
			handler := plugin.Handler(t, teapot, map[string]any{"shape": shape})
			recorder := httptest.NewRecorder()
			handler.ServeHTTP(recorder, httptest.NewRequest("GET", "/", nil))
			require.Equal(t, http.StatusTeapot, recorder.Code)
		})
	}
}

func TestCompareEmptyPlugin(t *testing.T) {
	if !*compare {
		t.Skip("figures only: -compare prints them")
	}
	plugin := yaegi.Load(t, "testdata/empty")
	nothing := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	request := httptest.NewRequest("GET", "/", nil)
	t.Logf("\n%s", yaegi.Compare(11, 20000,
		yaegi.Variant{Name: "compiled", Op: yaegi.Serve(nothing, request)},
		yaegi.Variant{Name: "empty plugin, closure", Op: yaegi.Serve(plugin.Handler(t, nothing, nil), request)},
		yaegi.Variant{Name: "empty plugin, method",
			Op: yaegi.Serve(plugin.Handler(t, nothing, map[string]any{"shape": "method"}), request)},
	))
}
