package main

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/rollout"
)

// What verbs write is what a gateway's loop obeys.
func TestVerbsMoveAGateway(t *testing.T) {
	path := writeFile(t, "shop.json", policyWith("10% until approved", "50% for 1h", "100% for 1h"))
	g := startGateway(t, path)
	g.awaitPhase(core.PhaseWaiting, 1)
	s := &shell{t: t, env: map[string]string{envSource: path}}
	for _, c := range []struct {
		args    []string
		phase   string
		step    int
		percent float64
	}{
		{[]string{"approve", "--yes", "--reason", "looks well"}, core.PhaseRunning, 2, 50},
		{[]string{"pause"}, core.PhasePaused, 2, 50},
		{[]string{"resume", "--yes"}, core.PhaseRunning, 2, 50},
		{[]string{"goto", "1"}, core.PhaseWaiting, 1, 10},
		{[]string{"promote", "-y"}, core.PhaseBaking, 3, 100},
		{[]string{"goto", "2", "--by", "bob"}, core.PhaseRunning, 2, 50},
		{[]string{"advance", "--yes", path}, core.PhaseBaking, 3, 100},
		{[]string{"advance", "--yes"}, core.PhaseCompleted, 3, 100},
		{[]string{"rollback", "--to", "v1", "--reason", "errors"}, core.PhaseRolledBack, 3, 0},
		{[]string{"retry", "--yes"}, core.PhaseWaiting, 1, 10},
	} {
		s.ok(c.args...)
		g.awaitPhase(c.phase, c.step)
		assert.Equal(t, c.percent, g.percent(), c.args)
	}
	stored := readState(t, path)
	assert.EqualValues(t, 2, stored.Attempt)
	text, err := json.Marshal(stored)
	require.NoError(t, err)
	known, _ := g.handle.Rollout()
	obeyed, err := json.Marshal(known)
	require.NoError(t, err)
	assert.Equal(t, string(text), string(obeyed))
	assert.Zero(t, g.handle.State().Rejections)

	history := s.ok("history")
	for _, want := range []string{"approved step 1 of 3 (10 %): looks well", "rolled back by hand: errors", "ann@desk",
		"bob"} {
		assert.Contains(t, history, want)
	}
	var events []core.RolloutEvent
	require.NoError(t, json.Unmarshal([]byte(s.ok("history", "-o", "json")), &events))
	assert.Equal(t, stored.History, events)
}

// A raise is asked about; where nobody can be asked, it is refused.
func TestConfirmation(t *testing.T) {
	path := writeFile(t, "shop.json", policyWith("10% until approved", "100% for 1h"))
	startGateway(t, path).awaitPhase(core.PhaseWaiting, 1)
	s := &shell{t: t, env: map[string]string{envSource: path}}
	got := s.run("promote")
	assert.Equal(t, exitUsage, got.code)
	assert.Contains(t, got.err, "--yes")
	assert.Contains(t, got.err, "waiting at 10 %, step 1 of 2 -> baking at 100 %, step 2 of 2")
	assert.EqualValues(t, 10, readState(t, path).Percent)
	s.isTerminal = true
	for _, answer := range []string{"\n", "n\n", "", "yesterday\n"} {
		s.in = answer
		got := s.run("promote")
		assert.Equal(t, exitNot, got.code)
		assert.Contains(t, got.err, "Go on? [y/N]")
		assert.Contains(t, got.err, "nothing was changed")
	}
	assert.EqualValues(t, 10, readState(t, path).Percent)
	s.in = "y\n"
	s.ok("promote")
	assert.EqualValues(t, 100, readState(t, path).Percent)
	s.in = ""
	s.ok("pause") // lowers nothing and raises nothing
}

func TestRefusals(t *testing.T) {
	path := writeFile(t, "shop.json", policyWith("10% until approved", "100% for 1h"))
	plain := writeFile(t, "plain.json", `{"service": "shop", "stable": "v1", "versions": {"v1": {}}}`)
	broken := writeFile(t, "broken.json", `{"service": }`)
	startGateway(t, path).awaitPhase(core.PhaseWaiting, 1)
	s := &shell{t: t, env: map[string]string{envSource: path}}
	epoch := readState(t, path).Epoch
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"resume", "--yes"}, exitNot, "not paused"},
		{[]string{"pause", "--epoch", "7"}, exitNot, "moved on"},
		{[]string{"goto", "9", "--yes"}, exitNot, "1 to 2"},
		{[]string{"goto", "two"}, exitUsage, `"two" is not a step`},
		{[]string{"goto"}, exitUsage, "arg"},
		{[]string{"rollback", "--to", "v0"}, exitNot, "gray switch v0"},
		{[]string{"pause", "--reason", "a\nb"}, exitNot, "control characters"},
		{[]string{"switch", "v3"}, exitNot, `no version "v3"`},
		{[]string{"switch"}, exitUsage, "arg"},
		{[]string{"switch", "v1", path, "more"}, exitUsage, "arg"},
		{[]string{"status", "-o", "yaml"}, exitUsage, "text or json"},
		{[]string{"status", "redis://h/k"}, exitUsage, "unknown scheme"},
		{[]string{"status", path + ".not"}, exitAway, "no policy"},
		{[]string{"status", broken}, exitAway, "that can be read"},
		{[]string{"status", "etcd://127.0.0.1:1/k"}, exitAway, "cannot be read"},
		{[]string{"approve", "--yes", plain}, exitAway, "no rollout"},
		{[]string{"why", plain}, exitAway, "no rollout"},
		{[]string{"wait", plain}, exitAway, "no rollout"},
		{[]string{"aprove"}, exitUsage, "approve"},
		{[]string{"approve", "--nope"}, exitUsage, "gray help"},
	} {
		got := s.run(c.args...)
		assert.Equal(t, c.code, got.code, "%s: %s", c.args, got.err)
		assert.Contains(t, got.err, c.want, c.args)
	}
	delete(s.env, envSource)
	got := s.run("status")
	assert.Equal(t, exitUsage, got.code)
	assert.Contains(t, got.err, envSource)
	assert.Equal(t, epoch, readState(t, path).Epoch, "nothing of that was written")
}

func TestSwitch(t *testing.T) {
	path := writeFile(t, "shop.json", policyWith("10% until approved", "100% for 1h"))
	g := startGateway(t, path)
	g.awaitPhase(core.PhaseWaiting, 1)
	s := &shell{t: t, env: map[string]string{envSource: path}}
	awaitForced := func(version string, epoch int64) {
		t.Helper()
		g.await("forced", func(_ *live.Current, st live.State) bool {
			return st.Forced == version && st.Switch != nil && st.Switch.Epoch == epoch
		})
	}
	assert.Contains(t, s.ok("switch", "v1", "--reason", "errors on v2"),
		"every request gets v1: errors on v2 (ann@desk, epoch 1)")
	awaitForced("v1", 1)
	assert.Contains(t, s.ok("status"), "every request gets v1: errors on v2")
	assert.Contains(t, s.ok("approve", "--yes"), "all the same")
	assert.Equal(t, exitUsage, s.run("switch", "--end").code)
	s.ok("switch", "--end", "--yes")
	awaitForced("", 2)
	assert.Equal(t, exitUsage, s.run("switch", "v2").code)
	var written live.Switch
	text := s.ok("switch", "v2", path, "--yes", "--epoch", "40", "-o", "json")
	require.NoError(t, json.Unmarshal([]byte(text), &written))
	assert.EqualValues(t, 41, written.Epoch)
	awaitForced("v2", 41)
	assert.Equal(t, "v1\nv2\n:4\n", s.ok("__complete", "switch", ""))
}

func TestStatus(t *testing.T) {
	path := writeFile(t, "shop.json", policyWith("10% until approved", "100% for 1h"))
	s := &shell{t: t, env: map[string]string{envSource: path}}
	assert.Contains(t, s.ok("status"), "it has not begun")
	g := startGateway(t, path)
	g.awaitPhase(core.PhaseWaiting, 1)
	text := s.ok("status")
	for _, want := range []string{"service  shop\n", "rollout  waiting: v2 gets 10 %", "> 1  10% until approved",
		"switch   off\n"} {
		assert.Contains(t, text, want)
	}
	assert.NotContains(t, text, "\x1b")
	s.isTerminal = true
	assert.Contains(t, s.ok("status"), "\x1b[")
	s.env["NO_COLOR"] = "1"
	assert.NotContains(t, s.ok("status"), "\x1b")
	var st status
	require.NoError(t, json.Unmarshal([]byte(s.ok("status", "-o", "json")), &st))
	assert.Equal(t, core.PhaseWaiting, st.Rollout.Phase)

	require.NoError(t, os.WriteFile(path+".rollout", []byte(`{"epoch": 0}`), 0o600))
	require.NoError(t, os.WriteFile(path+".switch", []byte(`{"epoch": 1}`), 0o600))
	text = s.ok("status")
	assert.Contains(t, text, "state of the rollout cannot be read")
	assert.Contains(t, text, "switch: to: want")
}

func TestWhy(t *testing.T) {
	path := writeFile(t, "shop.json", policyWith("10% until approved", "100% for 1h"))
	policy, err := core.ParsePolicy([]byte(policyWith("10% until approved", "100% for 1h")))
	require.NoError(t, err)
	plan, err := core.ReadPlan(policy)
	require.NoError(t, err)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	begun, _ := rollout.Next(plan, core.RolloutState{}, nil, at)
	begun.Verdict = &core.RolloutVerdict{Guard: "errors", Then: "rollback", Verdict: core.VerdictBad, Evidence: 7.5,
		Threshold: 6.9, Canary: core.RolloutArm{Callers: 200, Bad: 10}, Control: core.RolloutArm{Callers: 1000, Bad: 1}}
	begun.Phase = core.PhaseRolledBack
	begun.Reason = "5 % of canary callers failed"
	data, err := json.Marshal(&begun)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path+".rollout", data, 0o600))
	text := (&shell{t: t}).ok("why", path)
	for _, want := range []string{"rolled-back", "5 % of canary callers failed", "10 of 200 callers bad (5 %)",
		"1 of 1000 callers bad (0.1 %)", "1.81e+03 to 1 that v2 is worse; it acts at 992 to 1"} {
		assert.Contains(t, text, want)
	}
}

// The exit code says how the rollout ended.
func TestWait(t *testing.T) {
	for _, c := range []struct {
		verbs [][]string
		code  int
	}{
		{[][]string{{"promote", "-y"}, {"advance", "-y"}}, exitDone},
		{[][]string{{"rollback"}}, exitNot},
		{[][]string{{"pause"}}, exitWaiting},
	} {
		path := writeFile(t, "shop.json", policyWith("10% until approved", "100% for 1h"))
		s := &shell{t: t, env: map[string]string{envSource: "file://" + path + "?interval=10ms"}}
		startGateway(t, path).awaitPhase(core.PhaseWaiting, 1)
		waited := make(chan result, 1)
		go func() { waited <- s.run("wait", "--timeout", "30s") }()
		for _, args := range c.verbs {
			s.ok(args...)
		}
		got := <-waited
		assert.Equal(t, c.code, got.code, got.err)
		assert.NotEmpty(t, got.out)
	}
	path := writeFile(t, "shop.json", policyWith("10% until approved", "100% for 1h"))
	startGateway(t, path).awaitPhase(core.PhaseWaiting, 1)
	got := (&shell{t: t}).run("wait", "--timeout", "50ms", path)
	assert.Equal(t, exitWaiting, got.code)
	assert.Contains(t, got.err, "the time is over")
}

// Two people who give commands at once both get their answer, and nothing is lost.
func TestCommandsAtOnce(t *testing.T) {
	path := writeFile(t, "shop.json", policyWith("10% for 1h", "100% for 1h"))
	startGateway(t, path).awaitPhase(core.PhaseRunning, 1)
	s := &shell{t: t, env: map[string]string{envSource: path}}
	const people, rounds = 4, 10
	won := make(chan bool)
	for range people {
		go func() {
			for round := range rounds {
				verb := []string{"pause", "resume"}[round%2]
				won <- s.run(verb, "--yes").code == exitDone
			}
		}()
	}
	epoch := int64(1)
	for range people * rounds {
		if <-won {
			epoch++
		}
	}
	assert.Equal(t, epoch, readState(t, path).Epoch)
}
