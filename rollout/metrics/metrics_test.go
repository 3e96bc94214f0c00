package metrics

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/live"
)

// collector is what a Rollout and a Source say of one state.
type collector struct {
	rollout *Rollout
	source  *Source
	state   *live.State
}

func (c collector) Describe(ch chan<- *prometheus.Desc) {
	c.rollout.Describe(ch)
	c.source.Describe(ch)
}

func (c collector) Collect(ch chan<- prometheus.Metric) {
	c.source.Collect(ch, c.state)
	if c.state.Rollout != nil {
		c.rollout.Collect(ch, c.state.Service, c.state.Rollout)
	}
}

// of are the series of a state.
func of(t *testing.T, s *live.State) []string {
	t.Helper()
	return seriesOf(t, collector{NewRollout("gray_rollout_"), NewSource("gray_"), s})
}

// seriesOf are the series of a collector, in a registry that checks them by their descriptions.
func seriesOf(t *testing.T, c prometheus.Collector) []string {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	require.NoError(t, r.Register(c))
	families, err := r.Gather()
	require.NoError(t, err)
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	require.NoError(t, err)
	assert.Empty(t, problems)
	var text bytes.Buffer
	for _, family := range families {
		_, err := expfmt.MetricFamilyToText(&text, family)
		require.NoError(t, err)
	}
	var lines []string
	for line := range strings.Lines(text.String()) {
		if !strings.HasPrefix(line, "#") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

var at = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func status() *live.RolloutStatus {
	return &live.RolloutStatus{
		Rule: "ramp", Version: "v2", Phase: core.PhaseRunning, Step: 2, Steps: 3, Percent: 2.5, Attempt: 4, Epoch: 17,
		Since: at, StepEnds: at.Add(time.Minute),
		Guards: []core.RolloutVerdict{
			{Guard: "errors", Verdict: core.VerdictGood, Evidence: -1.5, Threshold: 7,
				Canary: core.RolloutArm{Callers: 30, Bad: 1}, Control: core.RolloutArm{Callers: 900, Bad: 9}},
			{Guard: "query q < 0.1", Verdict: core.VerdictUndecided, Threshold: 3,
				Cause: "prometheus: Get \"http://secret:9090\": refused"},
		},
	}
}

func TestSeries(t *testing.T) {
	s := &live.State{Service: "shop", Source: "etcd://e/shop", Connected: true, Updates: 3, Rollout: status(),
		Rejected: &live.Rejected{}, Forced: "v1", Switch: &live.Switch{Epoch: 5}, SwitchOffered: 4}
	assert.ElementsMatch(t, []string{
		`gray_rollout_info{rule="ramp",service="shop",version="v2"} 1`,
		`gray_rollout_percent{service="shop"} 2.5`,
		`gray_rollout_step{service="shop"} 2`,
		`gray_rollout_steps{service="shop"} 3`,
		`gray_rollout_phase{phase="running",service="shop"} 1`,
		`gray_rollout_attempt{service="shop"} 4`,
		`gray_rollout_epoch{service="shop"} 17`,
		`gray_rollout_needs_approval{service="shop"} 0`,
		`gray_rollout_changed_timestamp_seconds{service="shop"} 1.767323045e+09`,
		`gray_rollout_step_ends_timestamp_seconds{service="shop"} 1.767323105e+09`,
		`gray_rollout_verdict{cause="",guard="errors",service="shop",verdict="good"} 1`,
		`gray_rollout_verdict{cause="other",guard="query q < 0.1",service="shop",verdict="undecided"} 1`,
		`gray_rollout_evidence{guard="errors",service="shop"} -1.5`,
		`gray_rollout_evidence{guard="query q < 0.1",service="shop"} 0`,
		`gray_rollout_threshold{guard="errors",service="shop"} 7`,
		`gray_rollout_threshold{guard="query q < 0.1",service="shop"} 3`,
		`gray_rollout_callers_total{arm="canary",service="shop"} 30`,
		`gray_rollout_callers_total{arm="control",service="shop"} 900`,
		`gray_rollout_bad_total{arm="canary",guard="errors",service="shop"} 1`,
		`gray_rollout_bad_total{arm="control",guard="errors",service="shop"} 9`,
		`gray_rollout_bad_total{arm="canary",guard="query q < 0.1",service="shop"} 0`,
		`gray_rollout_bad_total{arm="control",guard="query q < 0.1",service="shop"} 0`,
		`gray_source_connected{service="shop",source="etcd://e/shop"} 1`,
		`gray_source_rejected{service="shop",source="etcd://e/shop"} 1`,
		`gray_source_forced{service="shop",source="etcd://e/shop"} 1`,
		`gray_source_switch_deleted{service="shop",source="etcd://e/shop"} 0`,
		`gray_source_switch_epoch_seen{service="shop",source="etcd://e/shop"} 5`,
		`gray_source_switch_epoch_offered{service="shop",source="etcd://e/shop"} 4`,
		`gray_stable_held{service="shop",source="etcd://e/shop"} 0`,
		`gray_source_updates_total{service="shop",source="etcd://e/shop"} 3`,
		`gray_source_rejections_total{service="shop",source="etcd://e/shop"} 0`,
		`gray_source_failures_total{service="shop",source="etcd://e/shop"} 0`,
	}, of(t, s))
}

// A rollout that has not begun has neither times nor guards.
func TestBeforeTheFirstStep(t *testing.T) {
	s := &live.State{Service: "shop", Rollout: &live.RolloutStatus{Phase: core.PhaseWaiting, NeedsApproval: true}}
	text := strings.Join(of(t, s), "\n")
	assert.NotContains(t, text, "timestamp")
	assert.NotContains(t, text, "guard")
	assert.NotContains(t, text, "callers")
	assert.Contains(t, text, `gray_rollout_needs_approval{service="shop"} 1`)
	assert.Contains(t, text, `gray_rollout_epoch{service="shop"} 0`)
}

// Texts that are no UTF-8 do not break the page.
func TestSourcesAreText(t *testing.T) {
	s := &live.State{Service: "sh\xffop", Source: "file:///\xff\n"}
	text := strings.Join(of(t, s), "\n")
	assert.Contains(t, text, `gray_source_connected{service="sh?op",source="file:///?\n"} 0`)
}

// Plans that come and go do not add series for ever.
func TestRollbacks(t *testing.T) {
	rollbacks := NewRollbacks("gray_rollout_")
	for i := range 100 {
		rollbacks.Count("shop", fmt.Sprintf("errors < %d%%", i))
	}
	rollbacks.Count("shop", "errors < 3%")
	rollbacks.Count("sh\xffop", "")
	lines := seriesOf(t, rollbacks)
	assert.Len(t, lines, 32+1+1)
	assert.Contains(t, lines, `gray_rollout_rollbacks_total{guard="errors < 3%",service="shop"} 2`)
	assert.Contains(t, lines, `gray_rollout_rollbacks_total{guard="other",service="shop"} 68`)
	assert.Contains(t, lines, `gray_rollout_rollbacks_total{guard="",service="sh?op"} 1`)
}
