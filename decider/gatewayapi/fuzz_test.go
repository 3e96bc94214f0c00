package gatewayapi

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
)

const seed = `apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop}
spec:
  rules:
  - matches:
    - path: {type: PathPrefix, value: /api}
      headers: [{name: X-Tag, value: beta}, {name: X-B, type: RegularExpression, value: "a|b"}]
      method: GET
      queryParams: [{name: v, value: "2"}]
    backendRefs: [{name: shop-v2, port: 80, weight: 1}, {name: shop-v1, port: 80, weight: 3}]
    timeouts: {request: 1s}
  - matches: [{path: {type: Exact, value: /old}}]
    filters: [{type: RequestRedirect, requestRedirect: {statusCode: 301}}]
  - backendRefs: [{name: shop-v1, port: 80}]
`

// No manifest makes Import fail otherwise than by an error, and what it makes is a policy that can
// be exported.
func FuzzImport(f *testing.F) {
	// Short ones: the fuzzer shortens what it finds, byte by byte.
	const start = "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, spec: {rules: ["
	const to = "backendRefs: [{name: a}]}"
	for _, match := range []string{"headers: [{name: a, value: b}]", "method: GET, path: {type: Exact, value: /a}",
		"path: {value: /a}, queryParams: [{name: a, value: b}]",
		"headers: [{name: a, type: RegularExpression, value: 'b.*'}]"} {
		f.Add(start + "{name: x, matches: [{" + match + "}], " + to + ", {" + to + "]}}")
	}
	f.Add(start + "{backendRefs: [{name: a-b, weight: 1}, {name: a-c, weight: 2}]}]}}")
	f.Fuzz(func(t *testing.T, text string) {
		in, err := NewImport([]byte(text), ImportOptions{})
		if err != nil {
			return
		}
		e, err := core.New(in.Policy)
		require.NoError(t, err)
		for _, weights := range []bool{false, true} {
			x, err := NewExport(e, Options{Name: "a", Weights: weights})
			if err == nil {
				require.NotEmpty(t, x.Routes)
			}
		}
	})
}

func TestImport(t *testing.T) {
	in, err := NewImport([]byte(seed), ImportOptions{})
	require.NoError(t, err)
	quarter := 25.0
	require.Equal(t, []core.Rule{{Version: "v2", Percent: &quarter, When: []string{"method = GET",
		"path matches ^(?:/api(?:/.*)?)$", "header X-B in a, b", "header X-Tag = beta", "query v = 2"}}}, in.Policy.Rules)
	require.Equal(t, "v1", in.Policy.Stable)
	var left []string
	for _, finding := range in.Findings {
		if finding.LeftOut {
			left = append(left, finding.Path)
		}
	}
	require.Equal(t, []string{"rules[1]"}, left)
}
