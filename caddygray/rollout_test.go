package caddygray_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/live"
)

func init() { caddy.RegisterModule(&hearer{}) }

// hearer hears Caddy's events.
type hearer struct{}

var heard struct {
	mu     sync.Mutex
	events []string
}

func (hearer) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "events.handlers.hearer", New: func() caddy.Module { return new(hearer) }}
}

func (*hearer) UnmarshalCaddyfile(*caddyfile.Dispenser) error { return nil }

func (*hearer) Handle(_ context.Context, e caddy.Event) error {
	heard.mu.Lock()
	defer heard.mu.Unlock()
	heard.events = append(heard.events, fmt.Sprint(e.Name(), " ", e.Data["id"]))
	return nil
}

func told() []string {
	heard.mu.Lock()
	defer heard.mu.Unlock()
	return slices.Clone(heard.events)
}

// released is a service whose two versions can be made to fail.
type released struct {
	t              *testing.T
	address, admin string
	config         []byte
	fails          [2]atomic.Bool // v1, v2
	served         [2]atomic.Int64
	caller         atomic.Int64
}

// release runs a Caddy whose policy has a rollout.
func release(t *testing.T, folder, rollout string) *released {
	t.Helper()
	s := &released{t: t, address: freeAddress(t), admin: freeAddress(t)}
	var versions [2]string
	for i := range versions {
		versions[i] = backend(t, func(w http.ResponseWriter, _ *http.Request) {
			s.served[i].Add(1)
			if s.fails[i].Load() {
				w.WriteHeader(http.StatusInternalServerError)
			}
			_, _ = fmt.Fprintf(w, "v%d", i+1)
		})
	}
	s.config = adapt(t, fmt.Sprintf(`{
	admin %s
	persist_config off
	grace_period 1ns
	log {
		level FATAL
	}
	events {
		on gray_rollout_started hearer
		on gray_rollout_step hearer
		on gray_rollout_approval_needed hearer
		on gray_rollout_rolled_back hearer
		on gray_rollout_rolled_back gray_exec tee %s
	}
}
http://%s {
	gray shop {
		stable v1
		version v1 %s
		version v2 %s
		identity cookie uid
		rule testers v2 {
			when header X-Beta = 1
		}
		rule ramp v2
		rollout ramp {
			%s
		}
		cache %s
	}
	reverse_proxy {
		dynamic gray
	}
}
`, s.admin, filepath.Join(folder, "told"), s.address, versions[0], versions[1], rollout, folder))
	load(t, s.config)
	return s
}

// send sends requests of callers that are new, and returns how many got each version.
func (s *released) send(n int) map[string]int {
	s.t.Helper()
	got := map[string]int{}
	for range n {
		got[s.ask(fmt.Sprintf("uid=u-%d", s.caller.Add(1)), "")]++
	}
	return got
}

// ask sends a request. The kernel resets connections that wait in the old socket's queue when a
// configuration is replaced: such a one is sent again.
func (s *released) ask(cookie, beta string) string {
	s.t.Helper()
	var response *http.Response
	require.Eventually(s.t, func() bool {
		r, err := http.NewRequest("GET", "http://"+s.address, nil)
		require.NoError(s.t, err)
		r.Close = true // a reload without grace cuts idle connections
		r.Header.Set("Cookie", cookie)
		if beta != "" {
			r.Header.Set("X-Beta", beta)
		}
		response, err = http.DefaultClient.Do(r)
		return err == nil
	}, 10*time.Second, time.Millisecond)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(s.t, err)
	require.Contains(s.t, []string{"v1", "v2"}, string(text))
	return string(text)
}

func (s *released) state() *live.RolloutStatus {
	s.t.Helper()
	var states []live.State
	_, text := callAdmin(s.t, http.MethodGet, "http://"+s.admin+"/gray/shop", "")
	require.NoError(s.t, json.Unmarshal([]byte(text), &states), text)
	require.Len(s.t, states, 1)
	require.NotNil(s.t, states[0].Rollout)
	return states[0].Rollout
}

func (s *released) await(phase string, step int) *live.RolloutStatus {
	s.t.Helper()
	var last *live.RolloutStatus
	require.Eventually(s.t, func() bool {
		last = s.state()
		return last.Phase == phase && last.Step == step
	}, 20*time.Second, 20*time.Millisecond, "%s at step %d", phase, step)
	return last
}

// post gives a command, and returns the status and the body.
func (s *released) post(verb, body string) (int, string) {
	s.t.Helper()
	return callAdmin(s.t, http.MethodPost, "http://"+s.admin+"/gray/shop/"+verb, body)
}

func TestRollout(t *testing.T) {
	folder := t.TempDir()
	s := release(t, folder, "step 20% for 100ms min 20\n step 50% until approved\n step 100% for 1h\n guard errors")
	s.await(core.PhaseRunning, 1)
	require.Equal(t, "v2", s.ask("uid=tester", "1"))
	assert.NotZero(t, s.send(600)["v2"])
	require.Eventually(t, func() bool {
		s.send(50)
		return s.state().Step == 2
	}, 20*time.Second, time.Millisecond)
	s.send(400)
	waiting := s.await(core.PhaseWaiting, 2)
	assert.EqualValues(t, 50, waiting.Percent)
	require.Len(t, waiting.Guards, 1)
	assert.Equal(t, core.VerdictGood, waiting.Guards[0].Verdict)
	assert.Greater(t, waiting.Guards[0].Canary.Callers, 100)

	status, text := s.post("aprove", "")
	assert.Equal(t, 404, status)
	assert.Contains(t, text, `approve`)
	status, text = s.post("approve", `{"epoch": 1}`)
	assert.Equal(t, 409, status, text)
	status, text = s.post("approve", `{"reasn": "x"}`)
	assert.Equal(t, 400, status)
	assert.Contains(t, text, "reason")
	status, text = s.post("approve", fmt.Sprintf(`{"epoch": %d, "reason": "looks well", "by": "ann"}`, waiting.Epoch))
	require.Equal(t, 200, status, text)
	s.await(core.PhaseBaking, 3)
	status, text = s.post("goto", `{"step": 2}`)
	require.Equal(t, 200, status, text)
	s.await(core.PhaseRunning, 2)

	// The canary fails, and nobody gets it any more, testers included.
	s.send(200)
	s.fails[1].Store(true)
	before := s.served[1].Load()
	for s.state().Phase != core.PhaseRolledBack {
		s.send(10)
	}
	assert.Less(t, s.served[1].Load()-before, int64(120))
	back := s.await(core.PhaseRolledBack, 2)
	assert.Equal(t, "guard errors", back.By)
	assert.Regexp(t, `of canary callers failed, none of stable's; by luck less than once in 1,000 releases$`, back.Reason)
	assert.Equal(t, map[string]int{"v1": 100}, s.send(100))
	assert.Equal(t, "v1", s.ask("uid=tester", "1"))
	require.Eventually(t, func() bool { return slices.Contains(told(), "gray_rollout_rolled_back shop/1/2/rolled_back") },
		5*time.Second, 5*time.Millisecond)
	metrics := get(t, "http://"+s.admin+"/metrics", "").body
	for _, want := range []string{
		`caddy_gray_rollout_phase{phase="rolled-back",service="shop"} 1`, `caddy_gray_rollout_percent{service="shop"} 0`,
		`caddy_gray_rollout_evidence{guard="errors",service="shop"} `, `caddy_gray_rollout_rollbacks_total{guard="errors",`,
	} {
		assert.True(t, strings.Contains(metrics, want), want)
	}
	require.Eventually(t, func() bool {
		text, _ := os.ReadFile(filepath.Join(folder, "told"))
		var event struct{ Event, ID, Reason string }
		return json.Unmarshal(text, &event) == nil && event.ID == "shop/1/2/rolled_back" && event.Reason == back.Reason
	}, 5*time.Second, 5*time.Millisecond, "the program of the event")
	assert.Contains(t, told(), "gray_rollout_started shop/1/1/started")
	assert.Contains(t, told(), "gray_rollout_approval_needed shop/1/2/approval_needed")

	// A reload and a restart undo nothing.
	require.NoError(t, caddy.Load(s.config, true))
	assert.Equal(t, map[string]int{"v1": 100}, s.send(100))
	require.NoError(t, caddy.Stop())
	require.NoError(t, caddy.Load(s.config, true))
	assert.Equal(t, map[string]int{"v1": 100}, s.send(100))
	status, text = s.post("advance", "")
	assert.Equal(t, 409, status)
	assert.Contains(t, text, "retry begins it again")

	s.fails[1].Store(false)
	status, text = s.post("retry", "")
	require.Equal(t, 200, status, text)
	again := s.await(core.PhaseRunning, 1)
	assert.EqualValues(t, 2, again.Attempt)
	assert.NotZero(t, s.send(100)["v2"])
}

// A reload goes on with what is known of the canary.
func TestReloadKeepsEvidence(t *testing.T) {
	s := release(t, t.TempDir(), "step 50% for 1h\n step 100%\n guard errors")
	s.await(core.PhaseRunning, 1)
	var before int
	require.Eventually(t, func() bool {
		s.send(100)
		before = s.state().Guards[0].Canary.Callers
		return before > 0
	}, 20*time.Second, time.Millisecond)
	require.NoError(t, caddy.Load(slices.Replace(slices.Clone(s.config), 0, 0, ' '), true))
	assert.Equal(t, before, s.state().Guards[0].Canary.Callers)
}
