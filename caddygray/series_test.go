package caddygray_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/caddygray"
)

// seriesOf returns how many series of a service the running configuration's metrics have.
func seriesOf(t *testing.T, service string) int {
	t.Helper()
	ctx := caddy.ActiveContext()
	families, err := ctx.GetMetricsRegistry().Gather()
	require.NoError(t, err)
	count := 0
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if strings.HasPrefix(f.GetName(), "caddy_gray_") && hasLabels(m, []string{"service=" + service}) {
				count++
			}
		}
	}
	return count
}

// askAsTester sends a request that the rule of a test takes.
func askAsTester(t *testing.T, url string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	req.Header.Set("X-App", "beta")
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
}

// A team that releases every day gives each version and each rule a name of its own.
func TestSeriesEndWithTheirPolicies(t *testing.T) {
	now := time.Now()
	t.Cleanup(caddygray.SetClock(func() time.Time { return now }))
	release := func(n int) {
		t.Helper()
		address := freeAddress(t) // the kernel resets connections that wait in the queue of a socket that is replaced
		require.NoError(t, caddy.Load(fmt.Appendf(nil, `{
			"admin": {"disabled": true, "config": {"persist": false}},
			"logging": {"logs": {"default": {"level": "FATAL"}}},
			"apps": {"http": {"grace_period": 1, "servers": {"s": {
				"listen": [%q], "automatic_https": {"disable": true}, "routes": [{"handle": [
				{"handler": "gray", "service": "daily", "stable": "v1", "versions": {"v1": {}, "r%d": {}},
				"rules": [{"name": "release %d", "version": "r%d", "when": ["header X-App = beta"]}]},
				{"handler": "static_response"}]}]}}}}}`, address, n, n, n), true))
		askAsTester(t, "http://"+address)
	}
	t.Cleanup(func() { require.NoError(t, caddy.Stop()) })
	decisions := func(n int) float64 {
		return metric(t, "caddy_gray_decisions_total", fmt.Sprintf("version=r%d", n), fmt.Sprintf("rule=release %d", n))
	}

	release(0)
	one := seriesOf(t, "daily")
	for n := range 60 {
		release(n)
		now = now.Add(20 * time.Minute)
	}
	assert.LessOrEqual(t, seriesOf(t, "daily"), 5*one, "the last policy and those of the hour before")
	assert.InDelta(t, 1, decisions(58), 0, "replaced 20 minutes ago")
	assert.InDelta(t, 1, decisions(59), 0, "in force")

	now = now.Add(time.Hour)
	assert.Equal(t, one, seriesOf(t, "daily"), "those of the policy in force")
	assert.InDelta(t, 1, decisions(59), 0, "in force for longer than an hour")

	release(59)
	assert.InDelta(t, 2, decisions(59), 0, "counters survive reloads")
	release(7)
	assert.InDelta(t, 1, decisions(7), 0, "a version that comes back starts from zero")
}

// Series of a policy that is refused and of a service that is gone end too.
func TestSeriesEndWithTheirService(t *testing.T) {
	now := time.Now()
	t.Cleanup(caddygray.SetClock(func() time.Time { return now }))
	load(t, withList("gone", freeAddress(t), "a", response))
	require.NotZero(t, seriesOf(t, "gone"))
	require.NoError(t, caddy.Load(withList("comes", freeAddress(t), "a", response), true))
	now = now.Add(59 * time.Minute)
	require.NotZero(t, seriesOf(t, "gone"))
	now = now.Add(time.Minute)
	require.Zero(t, seriesOf(t, "gone"))
}
