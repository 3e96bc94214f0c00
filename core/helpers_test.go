package core

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// engineFor makes the engine of a service with versions v1 (stable) and v2 and some more fields of
// the document.
func engineFor(t testing.TB, fields string) *Engine {
	t.Helper()
	if fields != "" {
		fields = ", " + fields
	}
	e, err := Load([]byte(`{"service": "shop", "stable": "v1", "versions": {"v1": {}, "v2": {}}` + fields + `}`))
	require.NoError(t, err)
	return e
}

// engineWhen makes an engine that gives v2 to callers for whom the lines hold.
func engineWhen(t testing.TB, lines ...string) *Engine {
	t.Helper()
	p := Policy{
		Service: "shop", Stable: "v1", Versions: map[string]Version{"v1": {}, "v2": {}},
		Rules: []Rule{{Name: "rule", Version: "v2", When: lines}},
	}
	e, err := New(&p)
	require.NoError(t, err)
	return e
}

// request makes a request from "Name: value" lines.
func request(target string, headers ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	r.RemoteAddr = "203.0.113.7:40000"
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	return r
}

// values reads all values of an attribute from a request.
func values(t testing.TB, e *Engine, line string, r *http.Request) []string {
	t.Helper()
	a, end, problem := parseAttribute(line, 0)
	require.Nil(t, problem)
	require.Equal(t, len(line), end)
	a.vouched = false
	var all []string
	var at cursor
	c := &Caller{Request: r}
	for {
		v, ok := nextValue(e, c, &a, &at)
		if !ok {
			return all
		}
		all = append(all, v)
	}
}
