package caddygray_test

import (
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"
)

// metric is the value of one of the running configuration's metrics, 0 if there is none with these labels. Of a histogram it is the count.
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
