package rollout

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/e2e/backends"
)

// A version that goes bad at 5 % is taken back by the gateway that sees it, under 200 requests a
// second of 2,000 callers. Nothing else fails.
func TestBadVersions(t *testing.T) {
	const warm = 70 * time.Second // a minute of stable's latency has to be over
	for _, c := range []struct {
		name   string
		bad    func(v2 *upstream)
		before time.Duration
		by     string
		within time.Duration
		failed int64
	}{
		{"5 percent errors", errors(0.05), 0, "guard errors", time.Minute, 100},
		{"50 percent errors", errors(0.5), 0, "guard errors", 10 * time.Second, 50},
		{"100 percent errors", errors(1), 0, "guard errors", 5 * time.Second, 50},
		{"refuses connections", func(v2 *upstream) { v2.server.Close() }, 0, "guard errors", 5 * time.Second, 5},
		{"hangs", func(v2 *upstream) { v2.mode.Store(&mode{hangs: true}) }, warm, "guard latency p90", 15 * time.Second, 150},
		{"three times as slow", func(v2 *upstream) { v2.mode.Store(&mode{took: 60 * time.Millisecond}) }, warm,
			"guard latency p90", 30 * time.Second, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.before > 0 && testing.Short() {
				t.Skip("takes a minute")
			}
			t.Parallel()
			s := newService(t)
			for _, u := range []*upstream{s.v1, s.v2} {
				u.mode.Store(&mode{took: 20 * time.Millisecond})
			}
			files := backends.File(t)
			files.Put("shop", s.policy(`"5% for 1h", "100%"`, `"errors", "latency p90"`))
			g := start(t, files.URL("shop"), t.TempDir(), "")
			g.awaitPhase(core.PhaseRunning)
			l := startLoad(t, 200, g)
			g.await("traffic", func(s *live.RolloutStatus) bool {
				return len(s.Guards) == 2 && s.Guards[0].Canary.Callers > 20
			})
			time.Sleep(c.before)
			require.Zero(t, l.failed.Load())
			canary, began := l.canary.Load(), time.Now()
			c.bad(s.v2)
			var back *live.RolloutStatus
			for back = g.state(); back.Phase != core.PhaseRolledBack; back = g.state() {
				require.Less(t, time.Since(began), c.within, "%+v", back.Guards)
				time.Sleep(2 * time.Millisecond)
			}
			took, requests := time.Since(began), l.canary.Load()-canary
			assert.Equal(t, c.by, back.By, back.Reason)
			after := s.v2.served.Load()
			time.Sleep(500 * time.Millisecond)
			assert.Equal(t, after, s.v2.served.Load(), "nobody gets v2 any more")
			status, _ := g.ask("tester", "X-Beta", "1")
			assert.Equal(t, 200, status, "testers have stable")
			g.Kill() // ends requests that hang
			l.end()
			assert.LessOrEqual(t, l.failed.Load(), c.failed+50) // those of the kill among them
			t.Logf("%s: back after %v and %d requests of the canary; %s",
				c.name, took.Round(time.Millisecond), requests, back.Reason)
		})
	}
}

func errors(share float64) func(*upstream) {
	return func(v2 *upstream) { v2.mode.Store(&mode{errors: share, took: 20 * time.Millisecond}) }
}

// A healthy version, both of whose versions fail now and then, is complete in the end.
func TestHealthyVersion(t *testing.T) {
	s := newService(t)
	for _, u := range []*upstream{s.v1, s.v2} {
		u.mode.Store(&mode{errors: 0.01})
	}
	files := backends.File(t)
	files.Put("shop", s.policy(`"5% for 1s min 20", "25% for 1s", "50% for 1s", "100% for 1s"`, `"errors", "errors < 5%"`))
	g := start(t, files.URL("shop"), t.TempDir(), "")
	startLoad(t, 400, g)
	done := g.awaitPhase(core.PhaseCompleted)
	assert.EqualValues(t, 1, done.Attempt)
	require.Len(t, done.History, 5)
	for i, h := range done.History {
		assert.EqualValues(t, i+1, h.Epoch, fmt.Sprint(h))
	}
}
