package rollout

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/e2e/backends"
)

// inEachPhase is a plan, and the commands that bring it into each phase.
const inEachPhase = `"0% until approved", "10% until approved", "50% for 1h", "100% for 1h"`

var toEachPhase = []struct{ verb, body, phase string }{
	{"", "", core.PhaseWaiting},
	{"approve", "", core.PhaseRunning},
	{"pause", "", core.PhasePaused},
	{"resume", "", core.PhaseRunning},
	{"goto", `{"step": 4}`, core.PhaseBaking},
	{"advance", "", core.PhaseCompleted},
	{"rollback", `{"reason": "I say so", "by": "ann"}`, core.PhaseRolledBack},
}

// A gateway that is killed in any phase goes on where it was.
func TestKilledInEachPhase(t *testing.T) {
	b := backends.Etcd(t)
	s := newService(t)
	b.Put("shop", s.policy(inEachPhase, `"errors"`))
	cache := t.TempDir()
	g := start(t, b.URL("shop"), cache, "")
	g.awaitApproval()
	for _, c := range toEachPhase {
		if c.verb != "" {
			require.Equal(t, 200, g.post(c.verb, c.body), c.verb)
		}
		before := g.awaitPhase(c.phase)
		g.Kill()
		g = start(t, b.URL("shop"), cache, "")
		requireSame(t, before, g.awaitPhase(c.phase))
	}
	_, version := g.ask("tester", "X-Beta", "1")
	assert.Equal(t, "v1", version)
}

// While the config centre is down, whatever the phase, callers keep their versions, nothing but a
// rollback can be commanded, and a gateway that starts anew goes by what it has kept. Once the
// config centre is back, the rollout goes on from there.
func TestSourceDownInEachPhase(t *testing.T) {
	b := backends.Etcd(t)
	s := newService(t)
	b.Put("shop", s.policy(inEachPhase, `"errors"`))
	cache := t.TempDir()
	g := start(t, b.URL("shop"), cache, "")
	g.awaitApproval()
	for _, c := range toEachPhase {
		if c.verb != "" {
			// The gateway is connected again a moment after the config centre is back.
			require.Eventually(t, func() bool { return g.post(c.verb, c.body) == 200 }, 20*time.Second, 50*time.Millisecond,
				c.verb)
		}
		before := g.awaitPhase(c.phase)
		versions := g.versions()
		b.Process.Kill()
		assert.Equal(t, versions, g.versions(), c.phase)
		for _, verb := range []string{"approve", "advance", "pause", "retry"} {
			assert.GreaterOrEqual(t, g.post(verb, ""), 400, "%s in %s", verb, c.phase)
		}
		requireSame(t, before, g.state())
		g.Kill()
		g = start(t, b.URL("shop"), cache, "")
		requireSame(t, before, g.state())
		assert.Equal(t, versions, g.versions(), c.phase)
		b.Process.Start()
		g.awaitSource()
		requireSame(t, before, g.state())
	}
}

// awaitApproval waits until the first step waits to be approved, which is its second state.
func (g *gateway) awaitApproval() {
	g.t.Helper()
	g.await("the approval", func(s *live.RolloutStatus) bool { return s.Phase == core.PhaseWaiting && s.Epoch == 2 })
}

func requireSame(t *testing.T, before, after *live.RolloutStatus) {
	t.Helper()
	require.Equal(t, before.Phase, after.Phase)
	require.Equal(t, before.Epoch, after.Epoch, before.Phase)
	require.Equal(t, before.Percent, after.Percent, before.Phase)
	require.Equal(t, before.Reason, after.Reason, before.Phase)
}

// versions returns what a hundred callers get.
func (g *gateway) versions() []string {
	g.t.Helper()
	var list []string
	for i := range 100 {
		status, version := g.ask(fmt.Sprintf("u-%d", i))
		require.Equal(g.t, 200, status)
		list = append(list, version)
	}
	return list
}

// Between the verdict and its write: the config centre is down, the gateway goes back by itself, is
// killed, starts again, and writes it when the config centre is there.
func TestKilledBetweenVerdictAndWrite(t *testing.T) {
	b := backends.Etcd(t)
	s := newService(t)
	b.Put("shop", s.policy(`"20% for 1s", "100%"`, `"errors"`))
	cache := t.TempDir()
	g := start(t, b.URL("shop"), cache, "")
	g.awaitPhase(core.PhaseRunning)
	other := start(t, b.URL("shop"), t.TempDir(), "loop off")
	other.awaitPhase(core.PhaseRunning)
	b.Process.Kill()
	l := startLoad(t, 200, g)
	g.await("the failure", func(s *live.RolloutStatus) bool { return s.Note != "" })
	assert.EqualValues(t, 20, g.state().Percent, "nothing rises")
	s.v2.mode.Store(&mode{errors: 1})
	g.awaitPhase(core.PhaseRolledBack)
	l.end()
	require.Equal(t, 503, g.post("retry", ""))
	g.Kill()
	g = start(t, b.URL("shop"), cache, "")
	require.Equal(t, core.PhaseRolledBack, g.state().Phase)
	_, version := g.ask("tester", "X-Beta", "1")
	assert.Equal(t, "v1", version)
	b.Process.Start()
	back := other.awaitPhase(core.PhaseRolledBack)
	assert.Equal(t, "guard errors", back.By)
}

// All gateways of a source have one percentage, a step is raised once, a rollback by any of them is
// everywhere within a second, and no command is lost when two are given at the same time.
func TestFleet(t *testing.T) {
	sizes := map[string]int{"etcd": 10, "consul": 10, "nacos": 10}
	if testing.Short() {
		sizes = map[string]int{"etcd": 3}
	}
	for _, each := range backends.All {
		size := sizes[each.Name]
		if size == 0 {
			continue
		}
		t.Run(each.Name, func(t *testing.T) { fleet(t, each.Start(t), size) })
	}
}

func fleet(t *testing.T, b *backends.Backend, size int) {
	const key = "shop"
	s := newService(t)
	b.Put(key, s.policy(`"5% for 1s min 20", "50% for 1s min 20", "100% for 1s min 20"`, `"errors"`))
	var gateways []*gateway
	for range size {
		gateways = append(gateways, start(t, b.URL(key), t.TempDir(), fmt.Sprintf("loop {\ngateways %d\n}", size)))
	}
	l := startLoad(t, 100*size, gateways...)
	for _, g := range gateways {
		done := g.awaitPhase(core.PhaseCompleted)
		assert.EqualValues(t, 100, done.Percent)
		require.Len(t, done.History, 4, "each step was raised once")
		for i, h := range done.History {
			assert.EqualValues(t, i+1, h.Epoch)
		}
	}
	l.end()

	var delays []time.Duration
	for round := range 10 {
		at := time.Now()
		require.Equal(t, 200, gateways[round%size].post("rollback", `{"reason": "a round"}`))
		written := time.Now()
		for _, g := range gateways {
			g.awaitPhase(core.PhaseRolledBack)
			delays = append(delays, time.Since(at))
		}
		require.Less(t, time.Since(written), time.Second, "everywhere")
		require.Equal(t, 200, gateways[(round+1)%size].post("retry", ""))
		for _, g := range gateways {
			g.await("again", func(s *live.RolloutStatus) bool {
				return s.Phase == core.PhaseRunning && s.Attempt == int64(round+2)
			})
		}
	}
	slices.Sort(delays)
	t.Logf("%d gateways: from the command until a gateway is back: median %v, 95 %% %v, longest %v", size,
		delays[len(delays)/2], delays[len(delays)*95/100], delays[len(delays)-1])

	// Two people give commands at once.
	races := 200
	if testing.Short() {
		races = 50
	}
	before := gateways[0].state().Epoch
	var mu sync.Mutex
	won := int64(0)
	for i := range races {
		var group sync.WaitGroup
		for n := range 2 {
			group.Go(func() {
				verb := []string{"pause", "resume"}[(i+n)%2]
				if gateways[n%size].post(verb, "") == 200 {
					mu.Lock()
					won++
					mu.Unlock()
				}
			})
		}
		group.Wait()
	}
	for _, g := range gateways {
		g.await("all epochs", func(s *live.RolloutStatus) bool { return s.Epoch == before+won })
	}
	t.Logf("%d of %d commands won; the epoch grew by as many", won, 2*races)
}
