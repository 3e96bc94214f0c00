package caddygray

import (
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/proxy"
)

// An upstream that was left out is tried again by its own callers, where callers have one.
func TestTrialsAreForCallersOfTheInstance(t *testing.T) {
	engine, err := core.New(&core.Policy{
		Service: "trial", Stable: "v1", Versions: map[string]core.Version{"v1": {}}, Identity: []string{"header X-User"},
	})
	require.NoError(t, err)
	v, err := newVersion("trial", "v1", []string{"a:1", "b:1", "c:1"}, zap.NewNop())
	require.NoError(t, err)
	t.Cleanup(v.close)
	asked := func(user string) *attempt {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("X-User", user)
		d := &decided{active: &active{engine: engine, stable: v}, serving: v}
		d.caller.Request = r
		return &attempt{decided: d, selects: true}
	}
	var own, other string
	for n := 0; own == "" || other == ""; n++ {
		user := fmt.Sprintf("u-%d", n)
		if asked(user).home() == v.byDial["b:1"] {
			own = user
		} else {
			other = user
		}
	}
	proxy.Unreachable(v.byDial["b:1"].health.passive, -time.Second) // due for another try
	require.Equal(t, []*upstream{v.byDial["a:1"], v.byDial["c:1"]}, asked(other).usable())
	require.Equal(t, []*upstream{v.byDial["b:1"]}, asked(own).usable())
	require.Equal(t, []*upstream{v.byDial["a:1"], v.byDial["c:1"]}, asked(own).usable(), "one request tries it")

	failed := asked(own)
	failed.failed = []*upstream{v.byDial["b:1"]}
	require.Len(t, failed.usable(), 2)
}
