package caddygray_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"
)

// metric is the value of one of the running configuration's metrics, "" if there is none with these labels. Of a histogram it is the count.
func metric(t *testing.T, name string, labels ...string) string {
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
				value := m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
				return strconv.FormatFloat(value, 'f', -1, 64)
			}
		}
	}
	return ""
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
