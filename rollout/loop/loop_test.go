package loop

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/rollout"
	"github.com/grayrelease/gray/rollout/guard"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// policy is a document with a rollout of these steps.
func policy(build string, steps ...string) string {
	lines, _ := json.Marshal(steps)
	return fmt.Sprintf(`{"service": "user", "stable": "v1", "versions": {"v1": {"upstreams": ["127.0.0.1:1"]},
		"v2": {"upstreams": ["127.0.0.1:2"]}}, "identity": ["header X-User"], "rules": [{"name": "ramp", "version": "v2"}],
		"rollout": {"rule": "ramp", "build": %q, "steps": %s, "guard": ["errors"]}}`, build, lines)
}

// clock is the time of a test.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func setClock(t *testing.T) *clock {
	c := &clock{at: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	before := now
	now = c.now
	t.Cleanup(func() { now = before })
	return c
}

// gateway is one gateway of a fleet.
type gateway struct {
	t      *testing.T
	use    *Use
	handle *live.Handle

	mu      sync.Mutex
	tracker *guard.Tracker
	events  []Event
	caller  uint64
}

// start starts a gateway that follows a file. Its loop is its own: other gateways are other
// programs.
func start(t *testing.T, path, cache string) *gateway {
	t.Helper()
	g := &gateway{t: t}
	url := "file://" + path + "?interval=10ms"
	var err error
	g.use, err = Open(Options{Service: "user", URL: url, Folder: cache, Event: g.hear})
	require.NoError(t, err)
	registryLock.Lock()
	delete(loops, g.use.loop.key)
	g.use.loop.key += fmt.Sprintf(" %p", g)
	loops[g.use.loop.key] = g.use.loop
	registryLock.Unlock()
	// Another cache is another watch.
	g.handle, err = live.Open(live.Options{Source: &live.Source{URL: url}, Cache: cache, Apply: g.apply})
	require.NoError(t, err)
	g.use.Start(g.handle)
	t.Cleanup(g.close)
	return g
}

func (g *gateway) apply(c *live.Current) error {
	tracker := g.use.Follow(c)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tracker = tracker
	return nil
}

func (g *gateway) close() {
	g.use.Close()
	g.handle.Close()
}

func (g *gateway) hear(e Event) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.events = append(g.events, e)
}

func (g *gateway) kinds() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var kinds []string
	for _, e := range g.events {
		if e.Kind == Warning { // comes before a rollback, if there is a turn between
			continue
		}
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

// serve lets callers come, of whom a share of the canary's fails.
func (g *gateway) serve(callers int, share float64) {
	g.t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	require.NotNil(g.t, g.tracker)
	percent := g.percent()
	for range callers {
		g.caller += 0x9e3779b97f4a7c15
		arm := guard.Control
		if float64(g.caller) < percent/100*(1<<64) {
			arm = guard.Canary
		}
		var x guard.Exchange
		g.tracker.Begin(&x, g.caller, arm, now())
		x.Done(arm == guard.Canary && float64(g.caller%1000) < 1000*share, now())
	}
}

func (g *gateway) percent() float64 {
	c := g.handle.Current()
	if c.Engine == nil {
		return 0
	}
	return c.Engine.Overlay().Percent["ramp"]
}

func (g *gateway) phase() string {
	if s := g.handle.Current().Rollout; s != nil {
		return s.Phase
	}
	return ""
}

func (g *gateway) turn() { signal(g.use.loop.wake) }

// awaits turns until ok.
func (g *gateway) await(what string, ok func() bool) {
	g.t.Helper()
	require.Eventually(g.t, func() bool {
		if ok() {
			return true
		}
		g.turn()
		return false
	}, 10*time.Second, 5*time.Millisecond, what)
}

func (g *gateway) awaitAt(phase string, percent float64) {
	g.t.Helper()
	g.await(fmt.Sprintf("%s at %g", phase, percent), func() bool { return g.phase() == phase && g.percent() == percent })
}

func write(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path+".tmp", []byte(text), 0o600))
	require.NoError(t, os.Rename(path+".tmp", path))
}

func TestHealthyRollout(t *testing.T) {
	c := setClock(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "user.json")
	write(t, path, policy("", "5% for 10m", "50% until approved", "100% for 1h"))
	g := start(t, path, filepath.Join(dir, "a"))
	g.awaitAt(core.PhaseRunning, 5)
	c.add(20 * time.Minute)
	for range 20 {
		g.turn()
	}
	assert.EqualValues(t, 5, g.percent(), "without callers nothing moves")
	g.serve(4000, 0)
	g.awaitAt(core.PhaseRunning, 50)
	g.serve(1000, 0)
	g.awaitAt(core.PhaseWaiting, 50)
	_, err := g.use.Do(context.Background(), rollout.Command{Verb: rollout.Approve, By: "ann", Epoch: 1})
	require.ErrorIs(t, err, rollout.ErrStale)
	s, err := g.use.Do(context.Background(), rollout.Command{Verb: rollout.Approve, By: "ann", Reason: "looks well"})
	require.NoError(t, err)
	assert.Equal(t, "ann", s.By)
	g.awaitAt(core.PhaseBaking, 100)
	g.serve(1000, 0)
	c.add(time.Hour)
	g.awaitAt(core.PhaseCompleted, 100)
	g.await("events", func() bool { return len(g.kinds()) == 6 })
	assert.Equal(t, []string{Started, Step, ApprovalNeeded, Approved, Step, Completed}, g.kinds())
	assert.Equal(t, "user/1/2/approval_needed", g.events[2].ID)
}

func TestBadCanaryGoesBackEverywhere(t *testing.T) {
	setClock(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "user.json")
	write(t, path, policy("", "5% for 10m", "100%"))
	a := start(t, path, filepath.Join(dir, "a"))
	b := start(t, path, filepath.Join(dir, "b"))
	a.awaitAt(core.PhaseRunning, 5)
	b.awaitAt(core.PhaseRunning, 5)
	for _, g := range []*gateway{a, b} { // one that sees the rollback first has not seen the start
		g.await("the start is told", func() bool { return assert.ObjectsAreEqual([]string{Started}, g.kinds()) })
	}
	a.serve(4000, 0.5)
	for _, g := range []*gateway{a, b} {
		g.awaitAt(core.PhaseRolledBack, 0)
		assert.Equal(t, "guard errors", g.handle.Current().Rollout.By)
		assert.Contains(t, g.handle.Current().Rollout.Reason, "of canary callers failed")
		assert.Equal(t, []string{"v2"}, g.handle.Current().Engine.Overlay().Withdrawn)
	}
	for _, g := range []*gateway{a, b} {
		g.await("it is told", func() bool { return assert.ObjectsAreEqual([]string{Started, RolledBack}, g.kinds()) })
	}
	_, err := b.use.Do(context.Background(), rollout.Command{Verb: rollout.Advance, By: "ann"})
	require.ErrorContains(t, err, "rolled back")
	_, err = b.use.Do(context.Background(), rollout.Command{Verb: rollout.Retry, By: "ann"})
	require.NoError(t, err)
	a.awaitAt(core.PhaseRunning, 5)
	b.awaitAt(core.PhaseRunning, 5)
	for range 20 {
		a.turn()
		b.turn()
	}
	assert.EqualValues(t, 5, a.percent(), "the evidence of the attempt before is gone")

	// Another plan is another rollout, and a gateway that is behind does not begin its own again.
	write(t, path, policy("two", "1%", "100%"))
	a.awaitAt(core.PhaseRunning, 1)
	b.awaitAt(core.PhaseRunning, 1)
	assert.EqualValues(t, 3, a.handle.Current().Rollout.Attempt)
}

// When the place of the state is away, nothing rises, and what is bad goes back all the same.
func TestPlaceIsAway(t *testing.T) {
	c := setClock(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "user.json")
	write(t, path, policy("", "5% for 1m", "100%"))
	g := start(t, path, filepath.Join(dir, "a"))
	g.awaitAt(core.PhaseRunning, 5)
	away(t, path, true)
	c.add(time.Minute)
	g.serve(4000, 0)
	g.await("the failure", func() bool { _, note := g.use.Judge(); return note != "" })
	assert.EqualValues(t, 5, g.percent())
	g.serve(4000, 0.5)
	g.awaitAt(core.PhaseRolledBack, 0)
	s, err := g.use.Do(context.Background(), rollout.Command{Verb: rollout.Retry})
	require.Error(t, err)
	assert.Equal(t, core.PhaseRolledBack, s.Phase)

	// A restart before it could be written undoes nothing, and writes it then.
	g.close()
	again := start(t, path, filepath.Join(dir, "a"))
	assert.Equal(t, core.PhaseRolledBack, again.phase())
	away(t, path, false)
	other := start(t, path, filepath.Join(dir, "b"))
	other.awaitAt(core.PhaseRolledBack, 0)
	again.await("it is written", func() bool { return !again.handle.IsRolloutUnwritten() })
}

// away has the state's file neither read nor written.
func away(t *testing.T, path string, isAway bool) {
	t.Helper()
	if isAway {
		require.NoError(t, os.Rename(path+".rollout", path+".saved"))
		require.NoError(t, os.Mkdir(path+".rollout", 0o700))
		return
	}
	require.NoError(t, os.Remove(path+".rollout"))
	require.NoError(t, os.Rename(path+".saved", path+".rollout"))
}

// Evidence outlives a restart.
func TestEvidenceIsKept(t *testing.T) {
	setClock(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "user.json")
	write(t, path, policy("", "5% for 10m", "100%"))
	first := start(t, path, filepath.Join(dir, "a"))
	first.awaitAt(core.PhaseRunning, 5)
	first.serve(4000, 0.01)
	before, _ := first.use.Judge()
	require.NotZero(t, before[0].Canary.Bad)
	first.use.loop.keep()
	first.close()
	last := first.handle.Current()
	restored := guard.NewTracker(last.Engine.Rollout(), last.Rollout, nil, now())
	restore(restored, first.use.loop.evidencePath(), last.Engine.Rollout(), last.Rollout)
	assert.Equal(t, before, restored.Judge(now()))
}

// Many gateways raise a step once, and lose no epoch.
func TestManyGateways(t *testing.T) {
	c := setClock(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "user.json")
	write(t, path, policy("", "5% for 1m", "20% for 1m", "50% for 1m", "100% for 1m"))
	var fleet []*gateway
	for i := range 5 {
		fleet = append(fleet, start(t, path, filepath.Join(dir, fmt.Sprint(i))))
	}
	for _, percent := range []float64{5, 20, 50, 100} {
		for _, g := range fleet {
			g.await("the step", func() bool { return g.percent() == percent })
			g.serve(5000, 0)
		}
		c.add(time.Minute)
	}
	for _, g := range fleet {
		g.awaitAt(core.PhaseCompleted, 100)
	}
	for i, h := range fleet[0].handle.Current().Rollout.History {
		assert.EqualValues(t, i+1, h.Epoch)
	}
	assert.Len(t, fleet[0].handle.Current().Rollout.History, 5, "each step once")
}
