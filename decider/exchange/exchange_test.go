package exchange

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
)

// Targets are read as net/http reads them; of those that it refuses, the path is not decoded.
func TestNewRequest(t *testing.T) {
	for target, want := range map[string][2]string{
		"/a%20b?c=%2F": {"/a b", "c=%2F"}, "*": {"*", ""}, "http://x/y?z": {"/y", "z"}, "/%zz?a=1": {"/%zz", "a=1"},
		"": {"", ""}, "//a/../b": {"//a/../b", ""},
	} {
		r := NewRequest("GET", target, "shop.test", "203.0.113.7", nil)
		assert.Equal(t, want, [2]string{r.URL.Path, r.URL.RawQuery}, target)
	}
}

func TestChanges(t *testing.T) {
	e, err := core.Load([]byte(`{"service": "shop", "stable": "v1", "versions": {"v1": {}, "v2": {}}, "header": "X-Ver",
		"anonymous": "cookie", "identity": ["cookie uid"], "rules": [{"version": "v2", "percent": 99.999}]}`))
	require.NoError(t, err)
	of := func(h http.Header) Changes {
		r := NewRequest("GET", "/", "shop.test", "203.0.113.7", h)
		c := &core.Caller{Request: r}
		d := core.Decide(e, c)
		return Of(core.EffectsOf(e, c, d), r)
	}
	c := of(http.Header{"Cookie": {"uid=1"}, "X_ver": {"v1"}, "X-Ver": {"v1"}, "Baggage": {"a=1,gray=v1"}})
	assert.Equal(t, Changes{Set: [][2]string{{"X-Ver", "v2"}, {"Baggage", "a=1,gray=v2"}}, Remove: []string{"X_ver"}}, c)
	c = of(http.Header{})
	require.Len(t, c.Set, 3)
	assert.Equal(t, "Cookie", c.Set[2][0])
	assert.Len(t, c.Client["Set-Cookie"], 1)
	assert.Equal(t, []string{"private"}, c.Client["Cache-Control"])

	c = OfNone(NewRequest("GET", "/", "", "", http.Header{"X-Gray-Version": {"v2"}, "Baggage": {"gray=v2"}}))
	assert.Equal(t, Changes{Remove: []string{"X-Gray-Version", "Baggage"}}, c)
	assert.Equal(t, Changes{}, OfNone(NewRequest("GET", "/", "", "", http.Header{})))
}
