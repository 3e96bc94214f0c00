package core

import (
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAttributes(t *testing.T) {
	e, err := Load([]byte(`{"service": "shop", "stable": "v1", "versions": {"v1": {}, "v2": {}},
		"identity": ["cookie uid", "ip"], "rules": [
			{"name": "a", "version": "v2", "when": ["header X-Beta = 1", "not cookie uid = u-1"]},
			{"name": "b", "version": "v2", "when": ["header X-Beta = 2", "query q exists", "path prefix /a"]}]}`))
	require.NoError(t, err)
	r := httptest.NewRequest("GET", "/?q=", nil)
	r.Header.Set("Cookie", "other=1")
	c := &Caller{Request: r, Client: "192.0.2.1"}
	has := map[string]bool{}
	for _, a := range Attributes(e) {
		has[a.Text] = HasAttribute(e, c, a)
	}
	require.Equal(t, map[string]bool{"cookie uid": false, "header X-Beta": false, "ip": true, "path": true, "query q": true}, has)
}
