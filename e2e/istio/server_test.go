package istio

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/decider"
	"github.com/grayrelease/gray/decider/istio"
	"github.com/grayrelease/gray/decider/manifest"
	"github.com/grayrelease/gray/e2e/servers"
	"github.com/grayrelease/gray/rollout/operate"
	"github.com/grayrelease/gray/rollout/store"
)

// sticky needs the decision server: it keeps callers in a percentage.
const sticky = `{"service": "shop", "stable": "v1", "versions": {"v1": {}, "v2": {}, "v3": {}},
	"identity": ["cookie uid"], "rules": [
	{"name": "testers", "version": "v3", "when": ["header X-Tag = beta"]},
	{"name": "numbers", "version": "v3", "when": ["header X-Build >= 100"]},
	{"name": "ramp", "version": "v2", "percent": 30}]}`

// decide runs a decision server in this process until the test ends, or end is called.
func decide(t *testing.T, source string) (grpc string, end func()) {
	t.Helper()
	ports := servers.FreePorts(t, 3)
	config, err := decider.ParseConfig([]byte(fmt.Sprintf("listen: %s\ngrpc: %s\nadmin: %s\ndrain: 1ms\n"+
		"services: [{service: shop, source: %q}]", servers.Host(ports[0]), servers.Host(ports[1]), servers.Host(ports[2]),
		source)))
	require.NoError(t, err)
	server, err := decider.New(config, nil)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	ended := false
	end = func() {
		if !ended {
			ended = true
			cancel()
			assert.NoError(t, <-done)
		}
	}
	t.Cleanup(end)
	return servers.Host(ports[1]), end
}

// Istio takes clearRouteCache of a provider and does not pass it on (istio/istio#61558). If this
// fails, it does now: then NoteRouteCache and --envoy-filter can go.
func TestIstioDoesNotClearTheRouteCache(t *testing.T) {
	assert.NotContains(t, fmt.Sprintf("%s", asked(t, StartJudge(t), false).Filters), "clearRouteCache")
}

// asked is what Istio makes of the policy sticky.
func asked(t *testing.T, j *Judge, envoyFilter bool) *Answer {
	t.Helper()
	e, err := core.Load([]byte(sticky))
	require.NoError(t, err)
	x, err := istio.NewExport(e, istio.Options{Hosts: []string{"shop.example.com"}, Gateways: []string{"infra/public"},
		Server: istio.Server{Timeout: 2 * time.Second, EnvoyFilter: envoyFilter}})
	require.NoError(t, err)
	text, err := manifest.Write(x.Objects)
	require.NoError(t, err)
	a := j.Ask(t, string(text), x.Mesh)
	require.Empty(t, a.Problems)
	require.NotEmpty(t, a.Filters)
	return a
}

// What the export has for the decision server, Istio turns into filters and routes that decide as
// the engine does, in a real Envoy that asks a real server: callers keep their version, the kill
// switch holds for all rules, and no client chooses. Without the server, rules by route hold, and
// stable serves everybody else.
func TestDecisionServer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "shop.json")
	require.NoError(t, os.WriteFile(path, []byte(sticky), 0o600))
	source := "file://" + path + "?interval=10ms"
	e, err := core.Load([]byte(sticky))
	require.NoError(t, err)
	a := asked(t, StartJudge(t), true)
	grpc, end := decide(t, source)
	envoy := startEnvoy(t, a.Filters, map[string]string{
		"outbound|2023||gray-decide.gray-system.svc.cluster.local": grpc}, a.Routes)
	send := func(lines ...string) Served {
		t.Helper()
		raw := "GET / HTTP/1.1\r\nHost: shop.example.com\r\nConnection: close\r\n"
		for _, line := range lines {
			raw += line + "\r\n"
		}
		served := envoy.Send(t, 0, []byte(raw+"\r\n"))
		require.Equal(t, 200, served.Status)
		assert.Equal(t, served.Version, served.Told)
		return served
	}
	moved := 0
	for i := range 200 {
		uid := fmt.Sprint("u-", i)
		r := requestOf("Cookie", "uid="+uid)
		want := core.Decide(e, &core.Caller{Request: r}).Version
		for range 2 {
			assert.Equal(t, want, send("Cookie: uid="+uid).Version, uid)
		}
		if want == "v2" {
			moved++
		}
		assert.Equal(t, want, send("Cookie: uid="+uid, "X-Gray-Version: v3").Version, "no client chooses")
	}
	assert.Greater(t, moved, 20)
	assert.Equal(t, "v3", send("X-Tag: beta").Version)
	assert.Equal(t, "v1", send("X-Tag: other", "X-Tag: beta").Version, "Istio has Envoy join repeated headers")
	assert.Equal(t, "v3", send("X-Build: 100.5").Version)
	assert.Equal(t, "v1", send("X-Build: 99").Version)

	s, err := store.Open(source, nil)
	require.NoError(t, err)
	throw := func(to string) {
		_, _, err := operate.Throw(context.Background(), s, live.Switch{To: to}, 0)
		require.NoError(t, err)
	}
	throw("v1")
	require.Eventually(t, func() bool { return send("X-Tag: beta").Version == "v1" }, 20*time.Second, 10*time.Millisecond,
		"the kill switch holds for rules by route, too")
	throw("")
	require.Eventually(t, func() bool { return send("X-Tag: beta").Version == "v3" }, 20*time.Second, 10*time.Millisecond)

	end()
	assert.Equal(t, "v3", send("X-Tag: beta").Version)
	assert.Equal(t, "v1", send("X-Build: 100").Version)
	for i := range 50 {
		assert.Equal(t, "v1", send(fmt.Sprint("Cookie: uid=u-", i)).Version)
	}
	// Other hosts of the gateway are not asked about, and go by the routes of their own.
	raw := strings.ReplaceAll("GET / HTTP/1.1\nHost: other.example.com\nConnection: close\n\n", "\n", "\r\n")
	assert.Equal(t, "v1", envoy.Send(t, 0, []byte(raw)).Version)
}
