package istio

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
)

// No manifest makes Import fail otherwise than by an error, and what it makes is a policy that can
// be exported.
func FuzzImport(f *testing.F) {
	for _, name := range []string{"article.yaml", "foreign.yaml", "mixed.out.yaml", "weights.out.yaml"} {
		f.Add(string(readFile(f, name)))
	}
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
