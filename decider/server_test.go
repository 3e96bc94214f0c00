package decider

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/grayrelease/gray/core/live"
)

// State, metrics and health are those of a followed policy.
func TestState(t *testing.T) {
	d := run(t, one(t, shop))
	d.forwarded("/", "X-App-Version: beta")
	d.forwarded("/")
	_, err := d.client().Check(context.Background(), &auth.CheckRequest{})
	require.NoError(t, err)

	status, text := d.get("/gray/v1/")
	require.Equal(t, http.StatusOK, status)
	var states []live.State
	require.NoError(t, json.Unmarshal([]byte(text), &states))
	require.Len(t, states, 1)
	assert.Equal(t, "shop", states[0].Service)
	assert.Equal(t, "source", states[0].Origin)
	status, text = d.get("/gray/v1/shop")
	assert.Equal(t, http.StatusOK, status)
	assert.Contains(t, text, `"origin":"source"`)
	status, text = d.get("/gray/v1/shpo")
	assert.Equal(t, http.StatusNotFound, status)
	assert.Contains(t, text, `did you mean \"shop\"?`)

	_, metrics := d.get("/metrics")
	for _, line := range []string{
		`gray_decisions_total{rule="testers",service="shop",version="v2"} 1`,
		`gray_decisions_total{rule="",service="shop",version="v1"} 2`,
		`gray_decider_questions_total{protocol="http",result="decided"} 2`,
		`gray_decider_questions_total{protocol="grpc",result="decided"} 1`,
		`gray_decider_duration_seconds_count{protocol="grpc"} 1`,
	} {
		assert.Contains(t, metrics, line+"\n")
	}
	assert.Regexp(t, `gray_source_connected\{service="shop",source="file://\S+"\} 1\n`, metrics)
	for _, path := range []string{"/healthz", "/readyz"} {
		status, _ := d.get(path)
		assert.Equal(t, http.StatusOK, status)
		assert.Equal(t, http.StatusOK, d.ask(path).StatusCode)
	}
}

// Series of rules that no policy has any more end after an hour.
func TestSeriesEnd(t *testing.T) {
	d := run(t, one(t, shop))
	d.forwarded("/", "X-App-Version: beta")
	v := d.list[0]
	at := time.Now()
	v.counters.mu.Lock()
	v.counters.now = func() time.Time { return at }
	v.counters.mu.Unlock()
	path, _, _ := strings.Cut(strings.TrimPrefix(d.config.Services[0].Source, "file://"), "?")
	next := filepath.Join(t.TempDir(), "next.json")
	require.NoError(t, os.WriteFile(next, []byte(`{"service": "shop", "stable": "v1", "versions": {"v1": {}}}`), 0o600))
	require.NoError(t, os.Rename(next, path))
	require.Eventually(t, func() bool { return v.state().Updates == 2 }, 10*time.Second, time.Millisecond)
	const series = `gray_decisions_total{rule="testers"`
	_, metrics := d.get("/metrics")
	assert.Contains(t, metrics, series)
	v.counters.mu.Lock()
	at = at.Add(seriesLife)
	v.counters.mu.Unlock()
	d.get("/metrics") // ends them
	_, metrics = d.get("/metrics")
	assert.NotContains(t, metrics, series)
}

// Before a policy is known nobody is to ask; who does gets no version.
func TestNoPolicy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "later.json")
	config := &Config{Listen: "127.0.0.1:0", GRPC: "127.0.0.1:0", Admin: "127.0.0.1:0", Drain: "1ms",
		Services: []Service{{Service: "shop", Source: "file://" + path + "?interval=10ms"}}}
	require.NoError(t, config.Check())
	s, err := New(config, nil)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	d := &decider{t: t, Server: s}
	res := d.forwarded("/", "X-Gray-Version: v2")
	assert.Equal(t, http.StatusOK, res.StatusCode)
	assert.Empty(t, res.Header["X-Gray-Version"])
	status, text := d.get("/readyz")
	assert.Equal(t, http.StatusServiceUnavailable, status)
	assert.Contains(t, text, "the policy of shop is not known yet")
	conn, err := grpc.NewClient(s.GRPCAddress(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	health := healthpb.NewHealthClient(conn)
	watch, err := health.Watch(ctx, &healthpb.HealthCheckRequest{})
	require.NoError(t, err)
	await := func(want healthpb.HealthCheckResponse_ServingStatus) {
		for {
			said, err := watch.Recv()
			require.NoError(t, err)
			if said.Status == want {
				return
			}
		}
	}
	await(healthpb.HealthCheckResponse_NOT_SERVING)
	require.NoError(t, os.WriteFile(path, []byte(shop), 0o600))
	<-s.list[0].handle.Ready()
	assert.Equal(t, "v1", d.forwarded("/").Header.Get("X-Gray-Version"))
	await(healthpb.HealthCheckResponse_SERVING)
	require.NoError(t, conn.Close())
	cancel()
	require.NoError(t, <-ended)
}

// A server that is told to end says so, answers for a while, and then closes.
func TestDrain(t *testing.T) {
	config := one(t, shop)
	config.Drain = "500ms"
	d := run(t, config)
	conn, err := net.Dial("tcp", d.Address())
	require.NoError(t, err)
	defer conn.Close()
	reader := bufio.NewReader(conn)
	ask := func() (*http.Response, error) {
		_, err := conn.Write([]byte("GET /decide HTTP/1.1\r\nHost: d\r\nX-Forwarded-Method: GET\r\n" +
			"X-Forwarded-Proto: http\r\nX-Forwarded-Host: a\r\nX-Forwarded-Uri: /\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n"))
		require.NoError(t, err)
		return http.ReadResponse(reader, nil)
	}
	res, err := ask()
	require.NoError(t, err)
	assert.False(t, res.Close, "connections are kept")
	ended := make(chan struct{})
	go func() { d.end(); close(ended) }()
	require.Eventually(t, d.isEnding.Load, 10*time.Second, time.Millisecond)
	status, _ := d.get("/readyz")
	assert.Equal(t, http.StatusServiceUnavailable, status)
	res, err = ask()
	require.NoError(t, err)
	assert.Equal(t, "v1", res.Header.Get("X-Gray-Version"))
	assert.True(t, res.Close, "who asks is to go elsewhere")
	<-ended
	_, err = net.Dial("tcp", d.Address())
	assert.Error(t, err)
}

func TestTokens(t *testing.T) {
	t.Setenv("VIEW", "0123456789abcdef")
	config := one(t, shop)
	config.Tokens = []Token{{Role: "view", Env: "VIEW"}}
	d := run(t, config)
	for path, want := range map[string]int{"/metrics": http.StatusUnauthorized, "/gray/v1/": http.StatusUnauthorized,
		"/gray/v1/shop": http.StatusUnauthorized, "/healthz": http.StatusOK, "/readyz": http.StatusOK} {
		status, _ := d.get(path)
		assert.Equal(t, want, status, path)
	}
	r, err := http.NewRequest("GET", "http://"+d.AdminAddress()+"/metrics", nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer 0123456789abcdef")
	res, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	res.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	assert.Equal(t, http.StatusOK, res.StatusCode)
}

// What is wrong with a configuration is said with its place.
func TestConfig(t *testing.T) {
	const good = "services: [{service: shop, source: 'file:///a'}]\n"
	c, err := ParseConfig([]byte(good))
	require.NoError(t, err)
	assert.Equal(t, []any{defaultListen, defaultAdmin, "", time.Second, "shop"},
		[]any{c.Listen, c.Admin, c.GRPC, c.drain, c.Services[0].Name})
	for text, says := range map[string]string{
		"":                            "services: required",
		"servces: []":                 `did you mean "services"?`,
		good + "listen: x":            `listen: "x" is not a valid address: want host:port`,
		good + "grpc: x":              `grpc: "x" is not a valid address: want host:port`,
		good + "admin: 0.0.0.0:1":     "tokens: required where others than this machine can reach",
		good + "drain: x":             `drain: "x" is not a valid duration`,
		good + "tls: {cert: a}":       "tls: cert and key are required",
		good + "ipv6_subnet: 129":     "ipv6_subnet: must be from 1 to 128",
		good + "trusted_proxies: [a]": `trusted_proxies[0]: "a"`,
		good + "tokens: [{role: operate, env: A}]": `tokens[0].role: unknown role "operate"`,
		"services: [{}]": "services[0].source: required",
		"services: [{service: a, source: b}, {service: c, source: d}]":             `services[1].hosts: required: "a"`,
		"services: [{service: a, source: b, hosts: [x]}, {service: a, source: d}]": `services[1].name: "a" is given twice`,
		"services: [{service: a, source: b, hosts: [x, X.]}]":                      `hosts[1]: "X." is given twice`,
		"services: [{service: a, source: b, hosts: ['a.*.b', '*']}]":               `hosts[0]: "a.*.b" is not`,
		"services: [{service: a/b, source: b}]":                                    "services[0].name: must have no slash",
	} {
		_, err := ParseConfig([]byte(text))
		require.Error(t, err, text)
		assert.Contains(t, err.Error(), says)
	}
	_, err = New(&Config{Services: []Service{{Service: "shop", Source: "ftp://x"}}}, nil)
	require.Error(t, err)
	assert.Contains(t, err.Error(), "services[0].source")
}
