package routestest

import (
	"fmt"
	"math"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
)

// Rounds is how often a test is repeated: so often, and less with -short.
func Rounds(n int) int {
	if testing.Short() {
		return n / 5
	}
	return n
}

// Test is what Compare needs of a test.
type Test interface {
	require.TestingT
	Helper()
}

// Compare counts which versions many callers get with one request, whose identity is the header
// X-ID, and fails the test if that is not as wanted, within 4.5 standard deviations.
func Compare(t Test, want map[string]float64, p *core.Policy, r *http.Request, about string) {
	t.Helper()
	e, err := core.New(p)
	require.NoError(t, err)
	callers := 1
	for _, share := range want {
		if share > 0 && share < 1 {
			callers = 4000
		}
	}
	counts := map[string]int{}
	for i := range callers {
		r.Header.Set("X-ID", fmt.Sprint("u-", i))
		counts[core.Decide(e, &core.Caller{Request: r}).Version]++
	}
	r.Header.Del("X-ID")
	for version := range p.Versions {
		n, share := float64(callers), want[version]
		bound := 4.5*math.Sqrt(n*share*(1-share)) + 1e-9
		if !assert.InDelta(t, n*share, float64(counts[version]), bound,
			"%s of %s %s%s %v\n%s", version, r.Method, r.Host, r.URL, r.Header, about) {
			t.FailNow()
		}
	}
}
