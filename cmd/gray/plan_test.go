package main

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/internal/accesslog"
)

const planPolicy = `{"service": "shop", "stable": "v1", "versions": {"v1": {}, "v2": {}}, "identity": ["ip"],
	"rules": [
		{"name": "testers", "version": "v2", "when": ["header X-App-Version = beta"]},
		{"name": "ramp", "version": "v2", "when": ["path prefix /shop"]}],
	"rollout": {"rule": "ramp", "steps": ["10% for 10m min 50", "50% for 1h", "100% for 1h"], "guard": ["errors"]}}`

// hour is an hour's log of that many requests, every second of which reaches the rule; one in 100
// of those fails.
func hour(requests, callers int) string {
	random := rand.New(rand.NewPCG(5, 6))
	begins := time.Date(2025, 10, 6, 9, 0, 0, 0, time.UTC)
	var log strings.Builder
	for i := range requests {
		at := begins.Add(time.Duration(i) * time.Hour / time.Duration(requests))
		path, status := "/", 200
		if i%2 == 0 {
			path = "/shop"
			if i%200 == 0 {
				status = 502
			}
		}
		c := random.IntN(callers)
		fmt.Fprintf(&log, "10.1.%d.%d - - [%s] \"GET %s HTTP/1.1\" %d 7\n", c/256, c%256,
			at.Format("02/Jan/2006:15:04:05 -0700"), path, status)
	}
	return log.String()
}

func TestPlan(t *testing.T) {
	policy := writeFile(t, "policy.json", planPolicy)
	s := &shell{t: t}
	text := s.ok("plan", "--start", "2025-10-07T09:00:00Z", policy)
	assert.Equal(t, `shop: v2 by rule ramp, guards: errors

STEP                BEGINS                LASTS
10% for 10m min 50  2025-10-07 09:00:00Z  10m0s
50% for 1h          2025-10-07 09:10:00Z  1h0m
100% for 1h         2025-10-07 10:10:00Z  1h0m

Complete at 2025-10-07 11:10:00Z, if the version is well and people approve at once.
`, text)

	log := writeFile(t, "access.log", hour(36000, 5000))
	var r planned
	text = s.ok("plan", "-o", "json", "--start", "2025-10-07T09:00:00Z", policy, log)
	require.NoError(t, json.Unmarshal([]byte(text), &r))
	assert.Equal(t, core.PhaseCompleted, r.Ends)
	assert.InEpsilon(t, 5, r.Traffic.PerSecond, 0.01)
	assert.InEpsilon(t, 5000*(1-math.Exp(-3.6)), r.Traffic.PerHour, 0.03, "18,000 draws of 5,000")
	assert.InEpsilon(t, 1, r.Traffic.Failing, 0.01)
	first := r.Steps[0]
	assert.InEpsilon(t, 300, first.Requests, 0.01)
	assert.InEpsilon(t, 500*(1-math.Exp(-0.6)), first.Callers, 0.05, "3,000 draws of 5,000, and a tenth of them")
	assert.Greater(t, first.Needs, 60.0)
	assert.Less(t, first.Needs, 180.0, "50 callers of 10 %: 500 requests at 5 a second, and some more")
	require.Len(t, first.Found, 2)
	assert.Greater(t, first.Found[1].Requests, first.Found[0].Requests)
	assert.InEpsilon(t, float64(first.Found[0].Requests)/0.5, first.Found[0].Seconds, 0.01)
	assert.Empty(t, r.Steps[2].Found, "nobody gets stable")

	text = s.ok("plan", policy, log)
	for _, want := range []string{"5 requests a second", "CALLERS", "ENOUGH AFTER", "If it is worse than stable:",
		"every second request fails", "rolled back after ", "Never in the log: header X-App-Version."} {
		assert.Contains(t, text, want)
	}
	few := writeFile(t, "few.log", hour(20, 3))
	assert.Contains(t, s.ok("plan", policy, few), "It does not end within a year")
	none := writeFile(t, "none.log", "10.0.0.1 - - [06/Oct/2025:09:00:00 +0000] \"GET / HTTP/1.1\" 200 7\n"+
		"10.0.0.1 - - [06/Oct/2025:09:10:00 +0000] \"GET / HTTP/1.1\" 200 7\n")
	assert.Contains(t, s.ok("plan", policy, none), "No request of the log reaches the rule")
	moment := writeFile(t, "moment.log", "10.0.0.1 - - [06/Oct/2025:09:00:00 +0000] \"GET /shop HTTP/1.1\" 200 7\n")
	assert.Contains(t, s.ok("plan", policy, moment), "no longer than a moment")

	assert.Equal(t, exitNot, s.run("plan", writeFile(t, "plain.json", simulated)).code)
	assert.Equal(t, exitUsage, s.run("plan", "--start", "soon", policy).code)
	expires := writeFile(t, "expires.json", strings.Replace(planPolicy, `"guard"`, `"expires": "1h", "guard"`, 1))
	assert.Contains(t, s.ok("plan", expires), "`expires` is too short")
}

// A sample of the callers says what all of them would.
func TestTrafficOfManyCallers(t *testing.T) {
	e, err := core.Load([]byte(planPolicy))
	require.NoError(t, err)
	const n = 300000
	parts := []*reached{newReached(e), newReached(e)}
	all := newReached(e)
	for i := range n {
		r := &accesslog.Record{Request: http.Request{Method: "GET", URL: httptest.NewRequest("GET", "/shop", nil).URL},
			Client: fmt.Sprintf("10.%d.%d.%d", i%150000>>16, i%150000>>8&255, i&255)}
		parts[i%2].take(r, spot{})
		all.take(r, spot{})
	}
	parts[0].merge(parts[1])
	for _, one := range []*reached{parts[0], all} {
		one.span = time.Hour
		assert.LessOrEqual(t, len(one.counts), mostSampled)
		assert.EqualValues(t, n, one.requests)
		assert.InEpsilon(t, 150000, one.Callers(time.Hour), 0.05)
	}
	assert.Equal(t, all.counts, parts[0].counts)
}
