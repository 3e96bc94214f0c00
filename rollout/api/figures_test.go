package api

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/live"
)

var noon = time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)

// counted is a state in which v2 has answered so many requests.
func counted(at time.Time, requests, failed float64, bad int) *State {
	return &State{
		State: live.State{Rollout: &live.RolloutStatus{Attempt: 1, Percent: 5, Guards: []core.RolloutVerdict{
			{Guard: "errors", Evidence: float64(bad), Threshold: 7, Canary: core.RolloutArm{Callers: 10, Bad: bad},
				Control: core.RolloutArm{Callers: 100, Bad: 10}},
			{Guard: "errors < 2%", Threshold: 7},
		}}},
		Traffic: &Traffic{
			At:        at,
			Decisions: []Decisions{{"v2", "ramp", requests}},
			Responses: []Responses{{"v2", requests, failed, []Bucket{{0.1, requests / 2}, {0.2, requests}}}},
		},
	}
}

func TestFigures(t *testing.T) {
	plan := newFake(t).engine.Rollout()
	h := &history{}
	require.True(t, h.take(counted(noon, 0, 0, 0), plan, noon))
	assert.False(t, h.take(counted(noon, 9, 9, 9), plan, noon.Add(900*time.Millisecond)), "it is too early")
	require.True(t, h.take(counted(noon.Add(2*time.Second), 20, 5, 1), plan, noon.Add(2*time.Second)))
	require.True(t, h.take(counted(noon.Add(4*time.Second), 8, 4, 2), plan, noon.Add(4*time.Second)),
		"the gateway has begun again")
	require.True(t, h.take(counted(noon.Add(6*time.Second), 8, 4, 2), plan, noon.Add(6*time.Second)))
	data, err := json.Marshal(h.figures(time.Time{}))
	require.NoError(t, err)
	assert.JSONEq(t, `{
		"at": [1767614400, 1767614402, 1767614404, 1767614406],
		"percent": [5, 5, 5, 5],
		"guards": [
			{"guard": "errors", "evidence": [0, 1, 2, 2], "threshold": 7, "canary": [0, 0.1, 0.2, 0.2],
				"control": [0.1, 0.1, 0.1, 0.1], "limit": [0.125, 0.125, 0.125, 0.125], "exposed": [10, 10, 10, 10]},
			{"guard": "errors < 2%", "evidence": [0, 0, 0, 0], "threshold": 7, "canary": [null, null, null, null],
				"control": [null, null, null, null], "limit": [0.02, 0.02, 0.02, 0.02], "exposed": [0, 0, 0, 0]}
		],
		"versions": [{"version": "v2", "requests": [null, 10, 4, 0], "failed": [null, 0.25, 0.5, null],
			"p50": [null, 0.1, 0.1, null], "p90": [null, 0.18, 0.18, null]}],
		"decisions": [{"version": "v2", "rule": "ramp", "requests": [null, 10, 4, 0]}]}`, string(data))
	later := h.figures(noon.Add(2 * time.Second))
	assert.Equal(t, []float64{1767614404, 1767614406}, later.At)
	assert.Equal(t, []Number{4, 0}, later.Decisions[0].Requests, "the first number goes by the sample before it")
	assert.Empty(t, h.figures(noon.Add(time.Hour)).At)
	assert.Empty(t, new(history).figures(time.Time{}).At)
}

// However long it runs, there are not more samples, and rates stay what they are.
func TestFiguresAreBounded(t *testing.T) {
	h := &history{}
	for i := range 10 * maxSamples {
		at := noon.Add(time.Duration(i) * sampleEvery)
		h.take(counted(at, float64(6*i), 0, 0), nil, at)
		require.LessOrEqual(t, len(h.samples), maxSamples)
	}
	f := h.figures(time.Time{})
	assert.Greater(t, len(f.At), maxSamples/4)
	assert.InDelta(t, (10*maxSamples-1)*sampleEvery.Seconds(), f.At[len(f.At)-1]-f.At[0], 64)
	for _, n := range f.Decisions[0].Requests[1:] {
		require.InDelta(t, 3, float64(n), 1e-9)
	}
}

// What gateways say is added up, and bounded.
func TestTrafficAddsUp(t *testing.T) {
	one, other := counted(noon, 10, 1, 0).Traffic, counted(noon.Add(time.Second), 20, 2, 0).Traffic
	assert.Equal(t, counted(noon.Add(time.Second/2), 30, 3, 0).Traffic, Sum([]*Traffic{one, other}))
	assert.Nil(t, Sum(nil))
	many := &Traffic{}
	for i := range 1000 {
		many.Decisions = append(many.Decisions, Decisions{Version: "v2", Rule: string(rune('a' + i)), Count: 1})
		many.Responses = append(many.Responses, Responses{Version: string(rune('a' + i)), Count: 1})
	}
	sum := Sum([]*Traffic{one, many})
	assert.Len(t, sum.Decisions, maxRows)
	assert.Len(t, sum.Responses, maxRows)
}

// Where gateways are asked less often than samples are taken, rates go by when they were asked.
func TestRatesGoByWhenWasCounted(t *testing.T) {
	h := &history{}
	for i, read := range []int{0, 0, 3, 5, 5, 9} { // seconds at which 10 requests a second were counted
		h.take(counted(noon.Add(time.Duration(read)*time.Second), float64(10*read), 0, 0), nil,
			noon.Add(time.Duration(i)*sampleEvery))
	}
	data, err := json.Marshal(h.figures(time.Time{}).Decisions[0].Requests)
	require.NoError(t, err)
	assert.Equal(t, "[null,null,10,10,null,10]", string(data))
}
