package istio

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
)

// No manifest makes Import fail otherwise than by an error, and what it makes is a policy that can
// be exported.
func FuzzImport(f *testing.F) {
	// Short ones: the fuzzer shortens what it finds, byte by byte.
	const start = "{apiVersion: networking.istio.io/v1, kind: VirtualService, spec: {http: ["
	const to = "route: [{destination: {host: a, subset: v1}}]}"
	for _, match := range []string{"headers: {a: {exact: b}}", "withoutHeaders: {a: {regex: b|c}}", "uri: {prefix: /a}",
		"authority: {exact: a}, method: {exact: GET}", "headers: {cookie: {regex: '^(.*?;)?(a=b)(;.*)?$'}}",
		"sourceLabels: {version: v2}, port: 8", "queryParams: {a: {exact: b}}"} {
		f.Add(start + "{name: x, match: [{" + match + "}], " + to + ", {" + to + "]}}")
	}
	f.Add(start + "{route: [{destination: {host: a, subset: v1}, weight: 1}, {destination: {host: b}, weight: 2}]}]}}")
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
