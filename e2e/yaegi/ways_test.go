package yaegi_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/grayrelease/gray/e2e/yaegi"
)

// The interpreter must run the files written for it. They decide alike and ten times as fast, so
// nothing else tells when it does not. A request that names the decision's header in Connection
// does: their way to stable leaves the name there, the compiled way removes it.
func TestInterpreterRunsItsOwnFiles(t *testing.T) {
	seen := ""
	next := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r.Header.Get("Connection") })
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Connection", "X-Gray-Version")
	yaegi.Load(t, root).Handler(t, next, off).ServeHTTP(httptest.NewRecorder(), r)
	assert.Equal(t, "X-Gray-Version", seen,
		"`yaegi:tags yaegi` must stand in the file of traefikgray whose name comes first")
}
