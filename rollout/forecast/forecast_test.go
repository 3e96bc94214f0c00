package forecast

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
)

func planOf(t *testing.T, fields string) *core.RolloutPlan {
	t.Helper()
	p, err := core.ParsePolicy([]byte(`{"service": "shop", "stable": "v1", "versions": {"v1": {}, "v2": {}},
		"rules": [{"name": "ramp", "version": "v2"}], "rollout": {"rule": "ramp", ` + fields + `}}`))
	require.NoError(t, err)
	plan, err := core.ReadPlan(p)
	require.NoError(t, err)
	return plan
}

// steady is a number of new callers an hour.
type steady float64

func (s steady) Callers(within time.Duration) float64 { return float64(s) * within.Hours() }

func show(steps []Step, phase string) string {
	var lines []string
	for _, s := range steps {
		line := fmt.Sprintf("%d %g%% %s", s.Number, s.Percent, s.Begins.Format("Mon 15:04:05"))
		if !s.Ends.IsZero() {
			line += " to " + s.Ends.Format("Mon 15:04:05")
		}
		if s.Needs != 0 {
			line += " needs " + s.Needs.String()
		}
		if s.Waits != "" {
			line += " " + s.Waits
		}
		lines = append(lines, line)
	}
	return strings.Join(append(lines, phase), "\n")
}

func TestSteps(t *testing.T) {
	friday := time.Date(2025, 10, 10, 15, 0, 0, 0, time.UTC)
	const three = `"steps": ["10% for 30m", "50% until approved", "100% for 1h"], "guard": ["errors"]`
	for name, c := range map[string]struct {
		plan    string
		traffic Traffic
		want    string
	}{
		"a version that is well": {three, nil,
			"1 10% Fri 15:00:00 to Fri 15:30:00\n2 50% Fri 15:30:00 to Fri 15:30:00\n" +
				"3 100% Fri 15:30:00 to Fri 16:30:00\ncompleted"},
		"enough traffic": {three, steady(10000),
			"1 10% Fri 15:00:00 to Fri 15:30:00 needs 6m0s\n2 50% Fri 15:30:00 to Fri 15:31:12 needs 1m12s\n" +
				"3 100% Fri 15:31:12 to Fri 16:31:12 needs 36s\ncompleted"},
		"little traffic": {three, steady(100),
			"1 10% Fri 15:00:00 to Sat 01:00:00 needs 10h0m0s\n2 50% Sat 01:00:00 to Sat 03:00:00 needs 2h0m0s\n" +
				"3 100% Sat 03:00:00 to Sat 04:00:00 needs 1h0m0s\ncompleted"},
		"a freeze": {three + `, "freeze": ["Fri 15:15 - Mon 08:00"]`, nil,
			"1 10% Fri 15:00:00 to Mon 08:00:00 frozen: Fri 15:15 - Mon 08:00\n2 50% Mon 08:00:00 to Mon 08:00:00\n" +
				"3 100% Mon 08:00:00 to Mon 09:00:00\ncompleted"},
		"too late": {three + `, "expires": "45m"`, nil,
			"1 10% Fri 15:00:00 to Fri 15:30:00\n2 50% Fri 15:30:00 to Fri 15:30:00\n" +
				"3 100% Fri 15:30:00 to Fri 15:45:00\nrolled-back"},
		"no guards": {`"steps": ["10%", "100% for 1m"], "guard": []`, steady(0),
			"1 10% Fri 15:00:00 to Fri 15:00:00\n2 100% Fri 15:00:00 to Fri 15:01:00\ncompleted"},
	} {
		assert.Equal(t, c.want, show(Steps(planOf(t, c.plan), friday, c.traffic)), name)
	}
	steps, phase := Steps(planOf(t, three), friday, steady(0))
	assert.Equal(t, core.PhaseRunning, phase, "without callers nothing moves")
	assert.Equal(t, "1 10% Fri 15:00:00 needs -1ns\nrunning", show(steps, phase))
}

// The figures are those of docs/rollout-figures.md, give or take what 51 releases leave open.
func TestMedian(t *testing.T) {
	for _, c := range []struct {
		worse Worse
		want  int
	}{
		{Worse{Percent: 1, Stable: 0.001, Ratio: 100}, 40},
		{Worse{Percent: 5, Stable: 0.01, Ratio: 5}, 330},
	} {
		got, found := c.worse.Median(1, -math.Log(1e-4), 100000)
		assert.True(t, found)
		assert.InEpsilon(t, c.want, got, 0.25)
		again, _ := c.worse.Median(1, -math.Log(1e-4), 100000)
		assert.Equal(t, got, again)
	}
	_, found := Worse{Percent: 5, Stable: 0.01, Ratio: 1}.Median(1.25, -math.Log(1e-4), 1000)
	assert.False(t, found, "one that is no worse is not found")
}
