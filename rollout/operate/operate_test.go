package operate

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/core/source"
	"github.com/grayrelease/gray/rollout"
	"github.com/grayrelease/gray/rollout/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const policy = `{"service": "shop", "stable": "v1", "versions": {"v1": {}, "v2": {}},
	"rules": [{"name": "ramp", "version": "v2"}], "jwt": {"key": "file:///not/on/this/machine.pem"},
	"rollout": {"rule": "ramp", "steps": ["1% until approved", "5% for 30m", "25%", "100% for 1h"], "guard": ["errors"]}}`

// at is a source with a policy in a file, and its plan.
func at(t *testing.T, text string) (*store.Store, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "shop.json")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	s, err := store.Open("file://"+path, nil)
	require.NoError(t, err)
	return s, path
}

func planOf(t *testing.T) *core.RolloutPlan {
	t.Helper()
	p, err := core.ParsePolicy([]byte(policy))
	require.NoError(t, err)
	plan, err := core.ReadPlan(p)
	require.NoError(t, err)
	return plan
}

func setClock(t *testing.T) *time.Time {
	clock := time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)
	before := now
	now = func() time.Time { return clock }
	t.Cleanup(func() { now = before })
	return &clock
}

// What stands at the source after any commands is, byte for byte, what rollout.Do and rollout.Next
// say. A refused command writes nothing.
func TestCommandsAreThoseOfTheLoop(t *testing.T) {
	clock := setClock(t)
	s, path := at(t, policy)
	plan := planOf(t)
	ctx := context.Background()
	_, err := Do(ctx, s, rollout.Command{Verb: rollout.Pause})
	require.ErrorContains(t, err, "has not begun")
	state, _ := rollout.Next(plan, core.RolloutState{}, nil, now())
	data, err := json.Marshal(&state)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path+".rollout", data, 0o600))

	commands := 1000
	if testing.Short() {
		commands = 150
	}
	random := rand.New(rand.NewPCG(1, 2))
	verbs := rollout.Verbs()
	done := map[string]int{}
	for range commands {
		*clock = clock.Add(time.Duration(random.IntN(100)) * time.Minute)
		c := rollout.Command{Verb: verbs[random.IntN(len(verbs))], Step: random.IntN(6), By: "ann",
			Reason: []string{"", "weil \u00e9s geht <&>", "a \"quoted\" \\ reason"}[random.IntN(3)]}
		if random.IntN(3) == 0 {
			c.Epoch = state.Epoch - int64(random.IntN(2))
		}
		r, err := Read(ctx, s)
		require.NoError(t, err)
		want, refusal := rollout.Do(plan, state, c, now())
		preview, err := r.Preview(c)
		require.Equal(t, refusal, err)
		got, err := Do(ctx, s, c)
		require.Equal(t, refusal, err)
		if refusal == nil {
			state = want
			done[c.Verb]++
			require.Equal(t, want, got)
			require.Equal(t, marshal(t, want), marshal(t, preview))
		}
		stored, err := os.ReadFile(path + ".rollout")
		require.NoError(t, err)
		require.Equal(t, marshal(t, state), string(stored))
	}
	for _, verb := range verbs {
		assert.NotZero(t, done[verb], verb)
	}
}

func marshal(t *testing.T, value core.RolloutState) string {
	t.Helper()
	text, err := json.Marshal(&value)
	require.NoError(t, err)
	return string(text)
}

func TestRead(t *testing.T) {
	setClock(t)
	ctx := context.Background()
	s, path := at(t, policy)
	r, err := Read(ctx, s)
	require.NoError(t, err)
	assert.Equal(t, "shop v1 ", r.Service+" "+r.Stable+" "+r.Forced())
	assert.Nil(t, r.State)
	assert.Empty(t, r.Notes)
	assert.Contains(t, r.Status().Reason, "has not begun")

	require.NoError(t, os.WriteFile(path+".rollout", []byte(`{"epoch": 1, "attempt": 1, "fingerprint": "other",
		"phase": "running", "since": "2026-01-02T03:04:05Z", "began": "2026-01-02T03:04:05Z",
		"step_since": "2026-01-02T03:04:05Z"}`), 0o600))
	require.NoError(t, os.WriteFile(path+".switch", []byte(`{}`), 0o600))
	r, err = Read(ctx, s)
	require.NoError(t, err)
	assert.Nil(t, r.State)
	assert.Len(t, r.Notes, 2)

	for text, want := range map[string]error{
		`{"service": `: ErrNoPolicy,
		`{"service": "shop", "stable": "v1", "versions": {"v1": {}}, "rollout": {"rule": "x"}}`: ErrNoPolicy,
		`{"service": "shop", "stable": "v1", "versions": {"v1": {}}}`:                           ErrNoRollout,
	} {
		s, _ := at(t, text)
		_, err := Do(ctx, s, rollout.Command{Verb: rollout.Pause})
		require.ErrorIs(t, err, want, text)
	}
	plain, _ := at(t, `{"service": "shop", "stable": "v1", "versions": {"v1": {}}, "enabled": false}`)
	r, err = Read(ctx, plain)
	require.NoError(t, err)
	assert.Nil(t, r.Status())
	assert.Equal(t, "v1", r.Forced(), "a policy that is not enabled")
	_, err = r.Preview(rollout.Command{Verb: rollout.Pause})
	require.ErrorIs(t, err, ErrNoRollout)
}

func TestThrow(t *testing.T) {
	setClock(t)
	ctx := context.Background()
	s, path := at(t, policy)
	for _, c := range []struct {
		seen, want int64
	}{{0, 1}, {0, 2}, {10, 11}, {3, 12}} {
		sw, data, err := Throw(ctx, s, live.Switch{To: "v1", Reason: "errors", By: "ann"}, c.seen)
		require.NoError(t, err)
		assert.Equal(t, c.want, sw.Epoch)
		stored, err := os.ReadFile(path + ".switch")
		require.NoError(t, err)
		assert.Equal(t, string(data), string(stored))
		parsed, err := live.ParseSwitch(stored)
		require.NoError(t, err)
		assert.Equal(t, sw, parsed)
		assert.Equal(t, "2026-01-02T03:04:05Z", sw.At)
	}
	_, _, err := Throw(ctx, s, live.Switch{To: "v1", Reason: string(make([]byte, 2000))}, 0)
	require.ErrorContains(t, err, "longer than")
	versions := map[string]core.Version{"v1": {}, "v2": {}}
	require.NoError(t, CheckVersion(versions, ""))
	require.NoError(t, CheckVersion(versions, "v2"))
	require.ErrorContains(t, CheckVersion(versions, "V2"), `did you mean "v2"`)
}

func TestWatch(t *testing.T) {
	_, path := at(t, policy)
	s, err := store.Open("file://"+path+"?interval=10ms", nil)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	seen := []string{}
	Watch(ctx, s, func(r *Release, err error) {
		if err != nil {
			seen = append(seen, "error")
			cancel()
			return
		}
		if forced := r.Forced(); len(seen) == 0 || seen[len(seen)-1] != forced {
			seen = append(seen, forced)
		}
		switch r.Forced() {
		case "":
			_, _, err := Throw(ctx, s, live.Switch{To: "v1"}, 0)
			assert.NoError(t, err)
		default:
			d, err := s.Get(ctx, source.Policy)
			assert.NoError(t, err)
			_, err = s.Put(ctx, source.Policy, []byte("{}}"), d.Revision)
			assert.NoError(t, err)
		}
	})
	assert.Equal(t, []string{"", "v1", "error"}, seen)
}
