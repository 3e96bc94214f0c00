package yaegi_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/e2e/yaegi"
	"github.com/grayrelease/gray/internal/casetest"
)

func TestCases(t *testing.T) {
	files, err := casetest.Load(root + "/testdata/cases")
	require.NoError(t, err)
	plugin := yaegi.Load(t, root)
	for _, f := range files {
		for _, g := range f.Groups {
			var config map[string]any
			require.NoError(t, json.Unmarshal(g.Policy, &config))
			header := "X-Gray-Version"
			if h, ok := config["header"].(string); ok {
				header = h
			}
			config["ipStrategy"] = map[string]any{"depth": 1}
			handler, err := plugin.New(t.Context(), echo, config, "gray@test")
			if !assert.NoError(t, err, "%s: %s", f.Name, g.Cases[0].Name) {
				continue
			}
			for _, c := range g.Cases {
				t.Run(f.Name+"/"+c.Name, func(t *testing.T) {
					assert.Equal(t, []string{c.Version}, decide(t, handler, c.Request)[http.CanonicalHeaderKey(header)])
				})
			}
		}
	}
	assert.Empty(t, plugin.Stderr.String())
}

// echo answers with the headers that it got.
var echo = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _ = json.NewEncoder(w).Encode(r.Header) })

// decide sends a case's request to the handler, parsed as a server parses it, and returns the
// headers that are passed on.
func decide(t *testing.T, handler http.Handler, request casetest.Request) http.Header {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(request.Raw([2]string{"X-Forwarded-For", request.IP}))))
	require.NoError(t, err)
	r.RemoteAddr = "127.0.0.1:40000"
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	var got http.Header
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &got))
	return got
}
