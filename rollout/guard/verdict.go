package guard

import (
	"math"
	"slices"
	"time"

	"github.com/grayrelease/gray/core"
)

// Causes of undecided verdicts.
const (
	CauseNoTraffic  = "no traffic"
	CauseFewCallers = "few callers"
	CauseWarmingUp  = "warming up"
	// CauseNoControl is that of a guard that compares with stable while the canary gets everybody.
	// Nothing is to be waited for.
	CauseNoControl = "nobody gets stable"
	// CauseRare is that of a canary that is worse than stable, but bad to fewer than 0.1 % of its
	// callers: a reason to look, not to roll back.
	CauseRare = "worse, but rarely bad"
)

// causes are the words that causes may have where texts of others are not wanted.
var causes = []string{"", CauseNoTraffic, CauseFewCallers, CauseWarmingUp, CauseNoControl, CauseRare, CauseElsewhere}

// CauseWord is the cause of a verdict as one of a few fixed words, such as for a label: the cause
// itself if it is one of the constants, "" if there is none, else "other".
func CauseWord(cause string) string {
	if slices.Contains(causes, cause) {
		return cause
	}
	return "other"
}

const (
	// floor is the share of bad callers of the canary under which errors only warn.
	floor = 0.001
	// certain is how certain a guard must be that the canary is not twice as bad as tolerated to be
	// good before it has compared all callers.
	certain = 20
	// warning is the evidence from which on people should look.
	warning = 10
)

// Judge returns what each guard says, in the order of the plan. A guard that has found the canary
// bad says so for as long as the tracker lives, except one that pauses for something which the
// tracker does not measure.
func (t *Tracker) Judge(now time.Time) []core.RolloutVerdict {
	t.mu.Lock()
	defer t.mu.Unlock()
	verdicts := make([]core.RolloutVerdict, 0, len(t.signals))
	for i, sig := range t.signals {
		if t.latched[i] == nil {
			v := t.judge(sig, now)
			isLasting := sig.guard.IsMeasured() || v.Then == core.GuardRollback
			if v.Verdict == core.VerdictBad && v.Then == sig.guard.Then && isLasting {
				latched := v
				t.latched[i] = &latched
			}
			verdicts = append(verdicts, v)
			continue
		}
		verdicts = append(verdicts, *t.latched[i])
	}
	return verdicts
}

func (t *Tracker) judge(sig *signal, now time.Time) core.RolloutVerdict {
	v := core.RolloutVerdict{
		Guard: sig.guard.Line, Then: sig.guard.Then, Verdict: core.VerdictUndecided, Threshold: t.threshold,
	}
	s := t.step.Load()
	switch {
	case !sig.guard.IsMeasured():
		sig.judgeFinding(&v)
		return v
	case sig.evidence == nil:
		t.judgeLimit(sig, s, &v)
		sig.judgeHeard(s, &v, now)
	default:
		t.judgeEvidence(sig, s, &v)
	}
	v.IsWarning = v.Evidence >= math.Log(warning)
	callers := s.callers[Canary].Count()
	if v.Cause == CauseFewCallers && callers > 0 {
		v.WaitSeconds = math.Round(now.Sub(s.since).Seconds() * float64(s.least-callers) / float64(callers))
	}
	return v
}

// judgeEvidence compares the canary with stable.
func (t *Tracker) judgeEvidence(sig *signal, s *step, v *core.RolloutVerdict) {
	c := sig.evidence.Counts()
	v.Evidence = c.Log
	if c.Highest >= t.threshold {
		v.Evidence = c.Highest
	}
	failing := sig.failing.Load()
	v.Canary = counted(&s.callers[Canary], &failing[Canary])
	v.Control = counted(&s.callers[Control], &failing[Control])
	isLatency := sig.guard.Measures == core.GuardLatency
	switch {
	case c.Highest >= t.threshold && !isLatency && rate(v.Canary) < floor:
		v.Cause = CauseRare
	case c.Highest >= t.threshold:
		v.Verdict = core.VerdictBad
		v.Reason = reasonCompared(sig, v, t.plan.Alpha)
	case v.Canary.Callers == 0:
		v.Cause = CauseNoTraffic
	case v.Canary.Callers < s.least && c.Well < math.Log(certain):
		v.Cause = CauseFewCallers
	case s.percent >= 100:
		v.Cause = CauseNoControl
	case v.Control.Callers == 0:
		v.Cause = CauseNoTraffic
	case isLatency && sig.slow.Load() == 0:
		v.Cause = CauseWarmingUp
	default:
		v.Verdict = core.VerdictGood
	}
}

// judgeLimit compares the canary with a limit. If stable breaks it too, rolling back helps nobody:
// the guard pauses then.
func (t *Tracker) judgeLimit(sig *signal, s *step, v *core.RolloutVerdict) {
	m := t.minute.Load()
	canary := sig.limits[Canary].counts(m.callers[Canary].Count())
	control := sig.limits[Control].counts(m.callers[Control].Count())
	v.Evidence = canary.log
	v.Canary = core.RolloutArm{Callers: canary.callers, Bad: canary.bad}
	v.Control = core.RolloutArm{Callers: control.callers, Bad: control.bad}
	switch {
	case canary.log >= t.threshold:
		v.Verdict = core.VerdictBad
		if isTooBad(v, sig.guard.Limit) && v.Then == core.GuardRollback {
			v.Then = core.GuardPause
			v.Reason = reasonBoth(sig, v)
			return
		}
		v.Reason = reasonLimit(sig, v, t.plan.Alpha)
	case v.Canary.Callers == 0:
		v.Cause = CauseNoTraffic
	case s.callers[Canary].Count() < s.least:
		v.Cause = CauseFewCallers
	default:
		v.Verdict = core.VerdictGood
	}
}

// isTooBad reports whether stable breaks the limit too, and the canary is not far worse.
func isTooBad(v *core.RolloutVerdict, limit float64) bool {
	const enough, farWorse = 20, 2
	stable := rate(v.Control)
	return v.Control.Callers >= enough && stable > limit && rate(v.Canary) <= farWorse*stable
}

// counted returns the callers of an arm. The bad ones are among them, whatever counting is off by.
func counted(all, bad *Callers) core.RolloutArm {
	n := bad.Count()
	return core.RolloutArm{Callers: max(all.Count(), n), Bad: n}
}

func rate(a core.RolloutArm) float64 {
	if a.Callers == 0 {
		return 0
	}
	return float64(a.Bad) / float64(a.Callers)
}

// Imbalance says in a sentence that the callers of the step are not shared out as the percentage
// wants, such as when one arm's requests are lost; "" if they are.
func (t *Tracker) Imbalance() string {
	s := t.step.Load()
	canary, control := s.callers[Canary].Count(), s.callers[Control].Count()
	n, p := float64(canary+control), s.percent/100
	if n < defaultCallers || p <= 0 || p >= 1 {
		return ""
	}
	got := float64(canary) / n
	const sketch, deviations = 0.06, 5 // what counting may be wrong by, and chance
	if math.Abs(got-p) <= sketch*p+deviations*math.Sqrt(p*(1-p)/n) {
		return ""
	}
	return percentText(got) + " of the callers are the canary's, where " + percentText(p) + " should be"
}
