package core_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/internal/casetest"
)

func TestCases(t *testing.T) {
	files, err := casetest.Load("../testdata/cases")
	require.NoError(t, err)
	for _, f := range files {
		for _, g := range f.Groups {
			e, err := core.Load(g.Policy)
			if err != nil {
				t.Errorf("%s: %s\n%v", f.Name, g.Cases[0].Name, err)
				continue
			}
			for _, c := range g.Cases {
				t.Run(f.Name+"/"+c.Name, func(t *testing.T) {
					caller := &core.Caller{Request: build(&c.Request), Client: c.Request.IP}
					d := core.Decide(e, caller)
					if d.Version != c.Version || d.Rule != c.Rule {
						t.Errorf("got %s by %q, want %s by %q", d.Version, d.Rule, c.Version, c.Rule)
					}
					x := core.Explain(e, caller)
					if x.Version != c.Version || x.Rule != c.Rule {
						t.Errorf("explained as %s by %q, want %s by %q", x.Version, x.Rule, c.Version, c.Rule)
					}
				})
			}
		}
	}
	t.Log(casetest.Count(files), "cases")
}

func build(c *casetest.Request) *http.Request {
	r := httptest.NewRequest(c.Method, c.Target, nil)
	r.Host = c.Host
	r.RemoteAddr = "127.0.0.1:40000"
	for _, h := range c.Headers {
		r.Header.Add(h[0], h[1])
	}
	return r
}
