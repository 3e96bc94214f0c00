package caddygray_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"
)

// metric returns the value of one of the running configuration's metrics, or 0 if none has these
// labels. For a histogram it returns the count.
func metric(t *testing.T, name string, labels ...string) float64 {
	t.Helper()
	ctx := caddy.ActiveContext()
	families, err := ctx.GetMetricsRegistry().Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if hasLabels(m, labels) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return 0
}

// revisions are those of a service's policies in force, which is one.
func revisions(t *testing.T, service string) []string {
	t.Helper()
	ctx := caddy.ActiveContext()
	families, err := ctx.GetMetricsRegistry().Gather()
	require.NoError(t, err)
	var found []string
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() != "caddy_gray_policy_info" || !hasLabels(m, []string{"service=" + service}) {
				continue
			}
			for _, pair := range m.GetLabel() {
				if pair.GetName() == "revision" {
					found = append(found, pair.GetValue())
				}
			}
		}
	}
	return found
}

func hasLabels(m *dto.Metric, labels []string) bool {
	has := map[string]string{}
	for _, pair := range m.GetLabel() {
		has[pair.GetName()] = pair.GetValue()
	}
	for _, l := range labels {
		name, value, _ := strings.Cut(l, "=")
		if has[name] != value {
			return false
		}
	}
	return true
}

// growth tells how much a metric, which may have grown in tests before, has grown from now on.
func growth(t *testing.T, name string, labels ...string) func() float64 {
	t.Helper()
	before := metric(t, name, labels...)
	return func() float64 { return metric(t, name, labels...) - before }
}

// withList is a configuration of a policy with a list, and with what comes after it in the route.
func withList(service, address, values, after string) []byte {
	return fmt.Appendf(nil, `{
	"admin": {"disabled": true, "config": {"persist": false}},
	"logging": {"logs": {"default": {"level": "FATAL"}}},
	"apps": {"http": {"grace_period": 1,
		"servers": {"s": {"listen": [%q], "automatic_https": {"disable": true}, "routes": [{"handle": [
		{"handler": "gray", "service": %q, "stable": "v1", "versions": {"v1": {}, "v2": {}}, "lists": {"testers": [%q]},
			"rules": [{"version": "v2", "when": ["header X-User in @testers"]}]}, %s]}]}}}}}`, address, service, values, after)
}

const response = `{"handler": "static_response"}`

func TestRefusedConfigurationLeavesNoTrace(t *testing.T) {
	address := freeAddress(t)
	load(t, withList("refused", address, "a", response))
	before := revisions(t, "refused")
	require.Len(t, before, 1)
	time.Sleep(50 * time.Millisecond)
	age := metric(t, "caddy_gray_policy_age_seconds", "service=refused")
	require.GreaterOrEqual(t, age, 0.05)
	require.ErrorContains(t, caddy.Load(withList("refused", address, "b", `{"handler": "gray", "policy": "/nowhere"}`),
		true), "no file nowhere", "after the first is provisioned")
	require.Greater(t, metric(t, "caddy_gray_policy_age_seconds", "service=refused"), age)
	require.Equal(t, before, revisions(t, "refused"))
}

func TestListsArePartOfTheRevision(t *testing.T) {
	address := freeAddress(t)
	load(t, withList("listed", address, "a", response))
	first := revisions(t, "listed")
	time.Sleep(20 * time.Millisecond)
	age := metric(t, "caddy_gray_policy_age_seconds", "service=listed")
	require.NoError(t, caddy.Load(withList("listed", address, "a", response), true))
	require.Equal(t, first, revisions(t, "listed"))
	require.Greater(t, metric(t, "caddy_gray_policy_age_seconds", "service=listed"), age, "it is the same policy")
	began := time.Now()
	require.NoError(t, caddy.Load(withList("listed", address, "b", response), true))
	require.Len(t, revisions(t, "listed"), 1)
	require.NotEqual(t, first, revisions(t, "listed"))
	require.Less(t, metric(t, "caddy_gray_policy_age_seconds", "service=listed"), time.Since(began).Seconds())
}

func TestFollowedPolicyInMetrics(t *testing.T) {
	file := filepath.Join(t.TempDir(), "policy.json")
	document := func(testers string) string {
		return `{"service": "sourced", "stable": "v1", "versions": {"v1": {}, "v2": {}},
			"lists": {"testers": ["` + testers + `"]},
			"rules": [{"version": "v2", "when": ["header X-User in @testers"]}]}`
	}
	site(t, "gray sourced {\nstable v1\nversion v1\nversion v2\nsource file://"+file+"?interval=10ms\n"+
		"cache "+t.TempDir()+"\n}\nrespond ok")
	enabled := func(is string) {
		t.Helper()
		require.Eventually(t, func() bool {
			return metric(t, "caddy_gray_policy_info", "service=sourced", "enabled="+is) == 1
		}, 10*time.Second, 5*time.Millisecond)
		require.Len(t, revisions(t, "sourced"), 1)
	}
	enabled("false") // the rules are not there yet
	replaceFile(t, file, document("a"))
	enabled("true")
	first := revisions(t, "sourced")
	replaceFile(t, file+".switch", `{"epoch": 1, "to": "v1"}`)
	enabled("false")
	require.Equal(t, first, revisions(t, "sourced"), "it is the same policy")
	replaceFile(t, file+".switch", `{"epoch": 2, "to": ""}`)
	enabled("true")
	began := time.Now()
	replaceFile(t, file, document("b"))
	require.Eventually(t, func() bool {
		return revisions(t, "sourced")[0] != first[0]
	}, 10*time.Second, 5*time.Millisecond)
	require.Less(t, metric(t, "caddy_gray_policy_age_seconds", "service=sourced"), time.Since(began).Seconds())
}
