package sources

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/e2e/backends"
	"github.com/grayrelease/gray/e2e/servers"
	"github.com/grayrelease/gray/e2e/sources/gateway"
)

// ofSize is a policy with a list that fills it up to a size.
func ofSize(size int) string {
	text := strings.TrimSuffix(document("large", 100), "}") + `, "lists": {"vip": [""]}}`
	return strings.Replace(text, `[""]`, `["`+strings.Repeat("x", size-len(text))+`"]`, 1)
}

// Stores have limits of their own, as the documentation says: what they take is followed, and what
// is larger they refuse.
func TestLimitsOfStores(t *testing.T) {
	refused := func(t *testing.T, method, url, body string) {
		t.Helper()
		r, err := http.NewRequest(method, url, strings.NewReader(body))
		require.NoError(t, err)
		res, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.GreaterOrEqual(t, res.StatusCode, 400)
	}
	t.Run("consul", func(t *testing.T) {
		const limit = 512 << 10
		_, port := servers.Consul(t)
		url := servers.BaseURL(port) + "/v1/kv/large"
		backends.Call(t, "PUT", url, "", ofSize(limit))
		start(t, gateway.New, "consul://"+servers.Host(port)+"/large", "").await("v2")
		refused(t, "PUT", url, ofSize(limit+1))
	})
	t.Run("etcd", func(t *testing.T) {
		const limit = 1536 << 10
		_, port := servers.Etcd(t)
		base := servers.BaseURL(port)
		backends.EtcdPut(t, base, "large", ofSize(limit-4096), 0)
		start(t, gateway.New, "etcd://"+servers.Host(port)+"/large", "").await("v2")
		body, err := json.Marshal(map[string]any{"key": []byte("large"), "value": []byte(ofSize(limit))})
		require.NoError(t, err)
		refused(t, "POST", base+"/v3/kv/put", string(body))
	})
}
