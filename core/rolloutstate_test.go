package core

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// stateJSON is a state as a controller writes it.
const stateJSON = `{"epoch": 7, "attempt": 2, "fingerprint": "f", "phase": "running", "step": 2, "percent": 5,
	"since": "2025-05-01T10:00:00Z", "began": "2025-05-01T09:00:00.5Z", "step_since": "2025-05-01T10:00:00Z", "reason": "step 2 of 4", "by": "gray",
	"accepted": ["latency"], "verdict": {"guard": "errors", "then": "rollback", "verdict": "bad", "evidence": 9.5, "threshold": 9.2,
	"canary": {"callers": 100, "bad": 5}, "control": {"callers": 1900, "bad": 2}}, "history": [
	{"epoch": 6, "at": "2025-05-01T09:00:00Z", "attempt": 2, "phase": "running", "step": 1, "percent": 1, "by": "gray"}]}`

func TestRolloutState(t *testing.T) {
	s, err := ParseRolloutState([]byte(stateJSON))
	require.NoError(t, err)
	assert.Equal(t, int64(7), s.Epoch)
	assert.Equal(t, time.Date(2025, 5, 1, 9, 0, 0, 5e8, time.UTC), s.Began)
	assert.Equal(t, 5, s.Verdict.Canary.Bad)
	assert.Equal(t, 1.0, s.History[0].Percent)
	written, err := json.Marshal(s)
	require.NoError(t, err)
	again, err := ParseRolloutState(written)
	require.NoError(t, err)
	assert.Equal(t, s, again)
}

func TestRefusedRolloutStates(t *testing.T) {
	for name, change := range map[string][2]string{
		"epoch: must be 1 or more, is 0":                                   {`"epoch": 7`, `"epoch": 0`},
		"attempt: must be 1 or more, is -1":                                {`"attempt": 2`, `"attempt": -1`},
		"step: must be 0 or more, is -2":                                   {`"step": 2`, `"step": -2`},
		"percent: must be from 0 to 100, is 500":                           {`"percent": 5,`, `"percent": 500,`},
		`phase: unknown word "runing" (did you mean "running"?)`:           {`"running", "step": 2`, `"runing", "step": 2`},
		"fingerprint: required":                                            {`"fingerprint": "f", `, ``},
		`since: "" is not a time (as in 2025-05-01T10:00:00Z)`:             {`"since": "2025-05-01T10:00:00Z", `, ``},
		`step_since: "noon" is not a time (as in 2025-05-01T10:00:00Z)`:    {`"step_since": "2025-05-01T10:00:00Z"`, `"step_since": "noon"`},
		`perzent: unknown field (did you mean "percent"?)`:                 {`"step": 2`, `"perzent": 2`},
		`verdict.verdict: unknown word "worse"`:                            {`"bad", "evidence"`, `"worse", "evidence"`},
		`history[0].phase: unknown word "run"`:                             {`"running", "step": 1`, `"run", "step": 1`},
		`withdrawn[0]: "a b" is not the name of a version`:                 {`"accepted"`, `"withdrawn": ["a b"], "accepted"`},
		"a text is longer than 1,024 bytes, or has control characters: \"": {`"reason": "step 2 of 4"`, `"reason": "a\nb"`},
	} {
		text := ""
		if at := strings.Index(stateJSON, change[0]); assert.GreaterOrEqual(t, at, 0, name) {
			text = stateJSON[:at] + change[1] + stateJSON[at+len(change[0]):]
		}
		s, err := ParseRolloutState([]byte(text))
		assert.Nil(t, s)
		if assert.Error(t, err, name) {
			assert.Contains(t, err.Error(), name)
		}
	}
}

func TestRolloutStateOverlay(t *testing.T) {
	plan := planOf(t, `"steps": ["1%", "100%"], "guard": ["errors"], "keep": ["testers"]`)
	s := &RolloutState{Fingerprint: plan.Fingerprint, Phase: PhaseRunning, Step: 1, Percent: 1, Reason: "step 1 of 2"}
	o, err := s.Overlay(plan)
	require.NoError(t, err)
	assert.Equal(t, Overlay{Percent: map[string]float64{"ramp": 1}, Keep: []string{"testers"}, Reason: `the rollout of "v2" is at 1 %: step 1 of 2`}, o)
	s.Phase, s.Percent, s.Withdrawn, s.Reason = PhaseRolledBack, 0, []string{"v2"}, ""
	o, err = s.Overlay(plan)
	require.NoError(t, err)
	assert.Equal(t, []string{"v2"}, o.Withdrawn)
	assert.Equal(t, `the rollout of "v2" was rolled back`, o.Reason)
	s.Phase = PhasePaused
	o, err = s.Overlay(plan)
	require.NoError(t, err)
	assert.Equal(t, `the rollout of "v2" is paused at 0 %`, o.Reason)

	s.Fingerprint = "another"
	o, err = s.Overlay(plan)
	assert.ErrorContains(t, err, "another plan")
	assert.Zero(t, o)
	_, err = s.Overlay(nil)
	assert.ErrorContains(t, err, "no rollout")
}

// FuzzRolloutState holds the reading of states to this: what is accepted is accepted again when
// written out, and puts nothing on another plan.
func FuzzRolloutState(f *testing.F) {
	f.Add([]byte(stateJSON))
	f.Add([]byte(`{"epoch": 1}`))
	plan := planOf(f, `"steps": ["1%"], "guard": []`)
	f.Fuzz(func(t *testing.T, document []byte) {
		s, err := ParseRolloutState(document)
		if err != nil {
			require.Nil(t, s)
			return
		}
		require.True(t, isPercent(s.Percent) && s.Epoch > 0)
		_, err = s.Overlay(plan)
		require.Error(t, err)
		written, err := json.Marshal(s)
		require.NoError(t, err)
		again, err := ParseRolloutState(written)
		require.NoError(t, err, "%s", written)
		require.Equal(t, s.Percent, again.Percent)
	})
}
