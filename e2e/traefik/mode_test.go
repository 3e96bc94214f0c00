package traefik_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/e2e/traefik"
)

// Whoever says where the canary runs has requests forwarded to it, without a mode. A document that
// comes later cannot change the mode: the log says that its upstreams are not used.
func TestModeThatIsNotGiven(t *testing.T) {
	v1, v2 := upstream(t, "v1"), upstream(t, "v2")
	inline := testers("", v2)
	delete(inline, "mode")
	text, err := json.Marshal(inline)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "shop.json")
	require.NoError(t, os.WriteFile(file, text, 0o600))
	routers, middlewares := object{}, object{}
	for name, config := range map[string]object{
		"inline":   inline,
		"file":     {"policy": file},
		"followed": {"source": object{"url": "file://" + file}},
		"chosen":   {"mode": "header", "source": object{"url": "file://" + file}},
	} {
		routers[name] = object{"rule": "Host(`" + name + ".test`)", "middlewares": []any{name}, "service": "v1"}
		middlewares[name] = gray(config)
	}
	g := traefik.Start(t, traefik.Options{Plugins: map[string]string{"gray": root},
		Dynamic: dynamic(routers, middlewares, object{"v1": server(v1)})})
	for _, host := range []string{"inline.test", "file.test"} {
		assert.Equal(t, "v2", get(t, g, host, "X-App-Version", "beta").Header.Get("Served-By"), host)
	}
	for _, host := range []string{"followed.test", "chosen.test"} {
		require.Eventually(t, func() bool {
			return get(t, g, host, "X-App-Version", "beta").Header.Get("Got-Version") == "v2"
		}, time.Minute, 20*time.Millisecond)
		assert.Equal(t, "v1", get(t, g, host, "X-App-Version", "beta").Header.Get("Served-By"), host)
	}
	const warning = "the document says where versions run, and mode header does not use that"
	require.Eventually(t, func() bool { return strings.Contains(g.Log(), warning) }, time.Minute, 20*time.Millisecond)
	for _, line := range strings.Split(g.Log(), "\n") {
		if strings.Contains(line, warning) {
			assert.Contains(t, line, "middleware=followed@file")
		}
	}
}
