package guard

import (
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
)

// traffic is a service under load, in a time of its own.
type traffic struct {
	t       *testing.T
	tracker *Tracker
	state   *core.RolloutState
	random  *rand.Rand
	now     time.Time
	callers int // of the service; 0: every request has its own

	errors  [2]float64 // share of bad requests, by arm
	latency [2]time.Duration
}

// planFor reads a plan with these guards.
func planFor(t testing.TB, more string, guards ...string) *core.RolloutPlan {
	t.Helper()
	p := &core.Policy{
		Service: "shop", Stable: "v1", Versions: map[string]core.Version{"v1": {}, "v2": {}},
		Rules:   []core.Rule{{Name: "ramp", Version: "v2"}},
		Rollout: &core.Rollout{Rule: "ramp", Steps: []string{"1%", "5% min 200", "100%"}, Guard: guards, Warmup: more},
	}
	e, err := core.New(p)
	require.NoError(t, err)
	return e.Rollout()
}

func newTraffic(t *testing.T, percent float64, guards ...string) *traffic {
	w := &traffic{
		t: t, random: seeded(11), now: time.Date(2025, 5, 1, 10, 0, 0, 0, time.UTC),
		state:   &core.RolloutState{Step: 1, Percent: percent},
		latency: [2]time.Duration{100 * time.Millisecond, 100 * time.Millisecond},
	}
	w.tracker = NewTracker(planFor(t, "", guards...), w.state, nil, w.now)
	return w
}

// run lets seconds pass with 100 requests each.
func (w *traffic) run(seconds int) {
	for range seconds {
		for range 100 {
			position := w.random.Uint64()
			if w.callers > 0 {
				position = rand.New(rand.NewPCG(uint64(w.random.IntN(w.callers)), 5)).Uint64()
			}
			arm := Control
			if float64(position) < w.state.Percent/100*(1<<64) {
				arm = Canary
			}
			r := w.tracker.Decided(position, arm)
			took := time.Duration(float64(w.latency[arm]) * math.Exp(0.5*w.random.NormFloat64()))
			w.tracker.Done(r, w.random.Float64() < w.errors[arm], took)
		}
		w.now = w.now.Add(time.Second)
		w.tracker.Tick(w.now)
	}
}

func (w *traffic) verdict() core.RolloutVerdict {
	w.t.Helper()
	verdicts := w.tracker.Judge(w.now)
	require.NotEmpty(w.t, verdicts)
	return verdicts[0]
}

func TestHealthyCanaryIsGood(t *testing.T) {
	w := newTraffic(t, 5, "errors", "latency p90", "errors < 2%", "latency p99 < 1s")
	w.errors = [2]float64{0.002, 0.002}
	w.run(180)
	for _, v := range w.tracker.Judge(w.now) {
		assert.Equal(t, core.VerdictGood, v.Verdict, "%+v", v)
		assert.Less(t, v.Evidence, v.Threshold)
		assert.InDelta(t, math.Log(4/0.001), v.Threshold, 1e-9)
		assert.False(t, v.IsWarning)
	}
	assert.Empty(t, w.tracker.Imbalance())
}

func TestFailingCanaryIsBad(t *testing.T) {
	w := newTraffic(t, 5, "errors")
	w.errors = [2]float64{0.003, 0.003}
	w.run(60)
	assert.Equal(t, core.VerdictGood, w.verdict().Verdict)
	select {
	case <-w.tracker.Alarm():
		t.Fatal("too early")
	default:
	}
	w.errors[Canary] = 0.5
	for range 10 {
		w.run(1)
	}
	v := w.verdict()
	assert.Equal(t, []string{core.VerdictBad, core.GuardRollback}, []string{v.Verdict, v.Then})
	assert.Regexp(t, `^\d\.?\d? % of canary callers failed, 0\.\d+ % of stable's; `+
		`by luck less than once in 1,000 releases$`, v.Reason)
	assert.True(t, v.IsWarning)
	<-w.tracker.Alarm()

	w.errors[Canary] = 0
	w.run(300)
	w.tracker.Follow(&core.RolloutState{Step: 2, Percent: 50}, w.now)
	w.run(60)
	assert.Equal(t, v, w.verdict(), "bad stays")
}

// A client that fails without end is one caller.
func TestOneFailingCaller(t *testing.T) {
	w := newTraffic(t, 5, "errors")
	for range 10000 {
		w.tracker.Done(w.tracker.Decided(1, Canary), true, time.Millisecond)
	}
	w.run(60)
	assert.Equal(t, core.VerdictGood, w.verdict().Verdict)
	assert.Equal(t, 1, w.verdict().Canary.Bad)
}

func TestOutageOfEverything(t *testing.T) {
	w := newTraffic(t, 5, "errors", "errors < 2%")
	w.errors = [2]float64{1, 1}
	w.run(120)
	verdicts := w.tracker.Judge(w.now)
	assert.NotEqual(t, core.VerdictBad, verdicts[0].Verdict)
	assert.Equal(t, []string{core.VerdictBad, core.GuardPause}, []string{verdicts[1].Verdict, verdicts[1].Then})
	assert.Regexp(t, `^stable too: \d+ % of canary callers and \d+ % of stable's failed within a minute, where 2 % may; `+
		`rolling back would not help$`, verdicts[1].Reason)
	w.errors = [2]float64{0, 0}
	w.run(3600)
	w.errors = [2]float64{0, 0.5}
	w.run(120)
	assert.Equal(t, core.VerdictBad, w.tracker.Judge(w.now)[0].Verdict)
}

func TestSlowCanaryIsBad(t *testing.T) {
	w := newTraffic(t, 5, "latency")
	w.run(30)
	assert.Equal(t, CauseWarmingUp, w.verdict().Cause)
	w.latency[Canary] = time.Second
	w.run(30)
	assert.Equal(t, CauseWarmingUp, w.verdict().Cause, "caches are cold")
	w.latency[Canary] = 100 * time.Millisecond
	w.run(120)
	assert.Equal(t, core.VerdictGood, w.verdict().Verdict)
	assert.InEpsilon(t, int64(190*time.Millisecond), w.tracker.signals[0].slow.Load(), 0.2)
	w.latency[Canary] = 300 * time.Millisecond
	w.run(60)
	assert.Equal(t, core.VerdictBad, w.verdict().Verdict)
	assert.Regexp(t, `^\d\d % of canary callers waited longer than \d\d\d ms, \d.?\d? % of stable's; by luck`,
		w.verdict().Reason)
}

// A canary that answers nothing at all is found by the requests that are not done.
func TestHangingCanaryIsBad(t *testing.T) {
	w := newTraffic(t, 5, "latency")
	w.run(130)
	var open [12]Exchange
	for i := range open {
		w.tracker.Begin(&open[i], w.random.Uint64()/20, Canary, w.now)
	}
	w.run(2)
	v := w.verdict()
	assert.Equal(t, core.VerdictBad, v.Verdict)
	for i := range open {
		open[i].Done(true, w.now.Add(time.Hour))
		open[i].Done(true, w.now)
		open[i].Leave()
	}
	assert.Equal(t, v.Canary.Bad, w.verdict().Canary.Bad, "they were counted when it was too long")
	for i := range w.tracker.open {
		assert.Nil(t, w.tracker.open[i].first)
	}
}

// A service with few callers, all of whom have had a slow request, or a failed one, long ago.
func TestEverybodyWasBadBefore(t *testing.T) {
	w := newTraffic(t, 5, "errors", "latency")
	w.callers = 4000
	w.run(1200)
	w.errors = [2]float64{1, 1}
	w.run(120) // an outage
	w.errors = [2]float64{0.001, 0.001}
	w.run(200)
	for _, v := range w.tracker.Judge(w.now) {
		assert.Equal(t, core.VerdictGood, v.Verdict, "%+v", v)
	}
	w.latency[Canary] = 300 * time.Millisecond
	w.run(150)
	assert.Equal(t, core.VerdictBad, w.tracker.Judge(w.now)[1].Verdict)
	w.errors[Canary] = 0.5
	w.run(60)
	assert.Equal(t, core.VerdictBad, w.tracker.Judge(w.now)[0].Verdict)
}

func TestLimits(t *testing.T) {
	w := newTraffic(t, 5, "errors < 2%", "latency p50 < 150ms pause")
	w.errors = [2]float64{0.001, 0.1}
	w.latency[Canary] = 200 * time.Millisecond
	w.run(120)
	verdicts := w.tracker.Judge(w.now)
	assert.Equal(t, core.VerdictBad, verdicts[0].Verdict)
	assert.Regexp(t, `^\d.?\d? % of canary callers failed within a minute, where 2 % may; `+
		`by luck less than once in 1,000 releases$`, verdicts[0].Reason)
	assert.Equal(t, []string{core.VerdictBad, core.GuardPause}, []string{verdicts[1].Verdict, verdicts[1].Then})
	assert.Regexp(t, `^\d\d % of canary callers waited longer than 150 ms within a minute, where 50 % may; by luck`,
		verdicts[1].Reason)
}

func TestCauses(t *testing.T) {
	w := newTraffic(t, 0, "errors", "errors < 2%")
	w.run(10)
	for _, v := range w.tracker.Judge(w.now) {
		assert.Equal(t, []string{core.VerdictUndecided, CauseNoTraffic}, []string{v.Verdict, v.Cause})
	}
	w.state = &core.RolloutState{Step: 2, Percent: 5}
	w.tracker.Follow(w.state, w.now)
	w.run(10) // 50 callers of the canary
	for _, v := range w.tracker.Judge(w.now) {
		assert.Equal(t, []string{core.VerdictUndecided, CauseFewCallers}, []string{v.Verdict, v.Cause})
		assert.InDelta(t, 30, v.WaitSeconds, 15, "until there are 200")
	}
	w.state = &core.RolloutState{Step: 3, Percent: 100}
	w.tracker.Follow(w.state, w.now)
	w.run(10)
	verdicts := w.tracker.Judge(w.now)
	assert.Equal(t, []string{core.VerdictUndecided, CauseNoControl}, []string{verdicts[0].Verdict, verdicts[0].Cause})
	assert.Equal(t, core.VerdictGood, verdicts[1].Verdict)
}

// Twenty times as bad, and yet bad to one in five thousand: people should look.
func TestRarelyBadWarns(t *testing.T) {
	w := newTraffic(t, 50, "errors")
	for i := range uint64(30000) {
		w.tracker.Done(w.tracker.Decided(w.random.Uint64()/2, Canary), i%3000 == 0, time.Millisecond)
		w.tracker.Done(w.tracker.Decided(w.random.Uint64()/2+1<<63, Control), false, time.Millisecond)
	}
	for range 7 {
		w.tracker.Done(w.tracker.Decided(w.random.Uint64()/2, Canary), true, time.Millisecond)
	}
	v := w.verdict()
	require.Greater(t, v.Evidence, v.Threshold)
	assert.Equal(t, []string{core.VerdictUndecided, CauseRare}, []string{v.Verdict, v.Cause})
	assert.True(t, v.IsWarning)
}

// Enough failures that fall on both alike are as good as many callers.
func TestGoodBeforeAllCallers(t *testing.T) {
	w := newTraffic(t, 50, "errors")
	w.state.Step = 2
	w.tracker.Follow(w.state, w.now)
	w.errors = [2]float64{0.5, 0.5}
	w.run(3)
	canary, _ := w.tracker.Callers()
	require.Less(t, canary, 200)
	assert.Equal(t, core.VerdictGood, w.verdict().Verdict)
}

func TestImbalance(t *testing.T) {
	w := newTraffic(t, 5, "errors")
	w.run(100)
	assert.Empty(t, w.tracker.Imbalance())
	for range 2000 {
		w.tracker.Decided(w.random.Uint64()/20, Canary)
	}
	assert.Regexp(t, `^2\d % of the callers are the canary's, where 5 % should be$`, w.tracker.Imbalance())
}

func TestTrackerIsKept(t *testing.T) {
	guards := []string{"errors", "latency p90", "errors < 2%", "errors < 5% watch"}
	w := newTraffic(t, 5, guards...)
	w.errors = [2]float64{0.01, 0.04}
	w.run(300)
	w.tracker.Follow(&core.RolloutState{Step: 2, Percent: 5}, w.now)
	w.run(125)
	data, err := w.tracker.MarshalBinary()
	require.NoError(t, err)
	again := NewTracker(planFor(t, "", guards...), w.state, nil, w.now)
	require.NoError(t, again.UnmarshalBinary(data))
	before, after := w.tracker.Judge(w.now), again.Judge(w.now)
	assert.Equal(t, CauseWarmingUp, after[1].Cause, "how long stable takes is to be seen again")
	for i := range before {
		if i != 1 {
			assert.Equal(t, before[i].Verdict, after[i].Verdict)
			assert.InDelta(t, before[i].Evidence, after[i].Evidence, 1.5)
		}
	}
	again.Follow(&core.RolloutState{Step: 2, Percent: 5}, w.now)
	one, _ := w.tracker.Callers()
	other, _ := again.Callers()
	assert.Equal(t, one, other)

	fewer := NewTracker(planFor(t, "", "latency p90", "errors"), w.state, nil, w.now)
	require.NoError(t, fewer.UnmarshalBinary(data))
	assert.Equal(t, before[0].Evidence, fewer.Judge(w.now)[1].Evidence)
	for _, wrong := range []string{"", "{}", `{"version": 1}`, `{"version": 1, "callers": ["", ""]}`} {
		assert.Error(t, again.UnmarshalBinary([]byte(wrong)), wrong)
	}
}

func TestTrackersMerge(t *testing.T) {
	one := newTraffic(t, 5, "errors", "errors < 2%")
	two := newTraffic(t, 5, "errors", "errors < 2%")
	two.random = seeded(12)
	one.errors, two.errors = [2]float64{0.01, 0.02}, [2]float64{0.01, 0.02}
	one.run(60)
	two.run(60)
	a, b := one.verdict(), two.verdict()
	counted := map[string]int{}
	one.tracker.Merge(two.tracker, counted)
	one.tracker.Merge(two.tracker, counted)
	assert.Equal(t, a.Canary.Bad+b.Canary.Bad, one.verdict().Canary.Bad)
	assert.InEpsilon(t, a.Control.Callers+b.Control.Callers, one.verdict().Control.Callers, 0.05)
}

func TestTrackerIsSafe(t *testing.T) {
	w := newTraffic(t, 5, "errors", "latency", "errors < 2%")
	var group sync.WaitGroup
	for worker := range 4 {
		group.Go(func() {
			random := seeded(uint64(worker))
			for range 3000 {
				var x, y Exchange
				w.tracker.Begin(&x, random.Uint64(), Arm(random.IntN(2)), w.now)
				w.tracker.Begin(&y, random.Uint64(), Arm(random.IntN(2)), w.now)
				x.Done(random.IntN(10) == 0, w.now.Add(time.Duration(random.IntN(1e9))))
				y.Leave()
				y.Broke()
			}
		})
	}
	for i := range 100 {
		now := w.now.Add(time.Duration(i) * 20 * time.Second)
		w.tracker.Tick(now)
		w.tracker.Judge(now)
		w.tracker.Follow(&core.RolloutState{Step: 1 + i%2, Percent: float64(1 + i%2)}, now)
		_, err := w.tracker.MarshalBinary()
		require.NoError(t, err)
	}
	group.Wait()
}

func TestReasons(t *testing.T) {
	for share, want := range map[float64]string{
		0.024: "2.4 %", 0.003: "0.3 %", 0.34: "34 %", 0.9999: "100 %", 1: "100 %",
		0.00052: "0.052 %", 0.0000012: "0.00012 %", 0.1: "10 %",
	} {
		assert.Equal(t, want, percentText(share))
	}
	for d, want := range map[time.Duration]string{
		time.Millisecond: "1 ms", 1500 * time.Microsecond: "1.5 ms", 123400 * time.Microsecond: "123 ms",
		1234 * time.Millisecond: "1.2 s",
		83 * time.Second:        "83 s",
	} {
		assert.Equal(t, want, durationText(d))
	}
	assert.Equal(t, "by luck less than once in 1,000 releases", luck(0.001))
	assert.Equal(t, "by luck less than once in 1,000,000 releases", luck(1e-6))
	assert.Equal(t, "by luck less than once in 20 releases", luck(0.05))
}

func TestGoodRequestAllocatesNothing(t *testing.T) {
	w := newTraffic(t, 5, "errors", "latency", "errors < 2%")
	position, x := uint64(0), new(Exchange) // a part of what a host has for each request
	assert.Zero(t, testing.AllocsPerRun(1000, func() {
		position += 0x9e3779b97f4a7c15
		*x = Exchange{}
		w.tracker.Begin(x, position, Control, w.now)
		x.Done(false, w.now.Add(10*time.Millisecond))
	}))
}

// BenchmarkGoodRequest is what a good request costs: both calls, with the guards of most plans.
func BenchmarkGoodRequest(b *testing.B) {
	plan := planFor(b, "", "errors", "latency p90", "errors < 2%")
	t := NewTracker(plan, &core.RolloutState{Step: 1, Percent: 5}, nil, time.Now())
	b.ReportAllocs()
	x, began := new(Exchange), time.Now()
	position := uint64(0)
	for b.Loop() {
		position += 0x9e3779b97f4a7c15
		arm := Control
		if position < 1<<60 {
			arm = Canary
		}
		*x = Exchange{}
		t.Begin(x, position, arm, began)
		x.Done(false, began.Add(10*time.Millisecond))
	}
}

// BenchmarkBadRequest is what a bad one costs whose caller is new.
func BenchmarkBadRequest(b *testing.B) {
	plan := planFor(b, "", "errors", "latency p90", "errors < 2%")
	t := NewTracker(plan, &core.RolloutState{Step: 1, Percent: 5}, nil, time.Now())
	b.ReportAllocs()
	position := uint64(0)
	for b.Loop() {
		position += 0x9e3779b97f4a7c15
		t.Done(t.Decided(position, Control), true, 10*time.Millisecond)
	}
}
