package guard

import (
	"math/rand/v2"
	"time"

	"github.com/grayrelease/gray/core"
)

// CauseElsewhere is that of a guard which nobody has said anything about: queries and alerts are
// known to a controller only, and figures of other programs have no latency.
const CauseElsewhere = `known to "gray serve" only`

// Finding is what somebody else knows about a guard: about a query or an alert, or what a gateway
// says of its own requests.
type Finding struct {
	// Verdict is that of a core.RolloutVerdict, Cause why it is undecided, and Reason the verdict
	// in a sentence.
	Verdict, Cause, Reason string
	// Evidence for the verdict, and the Threshold that it has to reach.
	Evidence, Threshold float64
}

// Report notes what is known about a guard that the tracker does not measure. It stays until
// something else is reported. A guard that rolls back latches when it is bad; one that pauses does
// not, so that the pause can end with its cause.
func (t *Tracker) Report(line string, f Finding) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, sig := range t.signals {
		if sig.guard.Line == line && !sig.guard.IsMeasured() {
			sig.finding = &f
		}
	}
	t.raise(f.Verdict == core.VerdictBad)
}

// raise raises the alarm, so that Judge is asked at once.
func (t *Tracker) raise(isBad bool) {
	if !isBad {
		return
	}
	select {
	case t.alarm <- struct{}{}:
	default:
	}
}

// judgeFinding takes over what was reported.
func (sig *signal) judgeFinding(v *core.RolloutVerdict) {
	f := sig.finding
	if f == nil {
		v.Cause = CauseElsewhere
		return
	}
	v.Verdict = f.Verdict
	v.Cause = f.Cause
	v.Reason = f.Reason
	v.Evidence = f.Evidence
	v.Threshold = f.Threshold
}

// maxCounted bounds the requests that one call of Count adds.
const maxCounted = 1 << 20

// Count adds requests which another program has counted, and how many of them failed. Nothing is
// known of their callers, so each is taken for one of its own.
func (t *Tracker) Count(arm Arm, requests, failed int) {
	failed = min(failed, requests, maxCounted)
	for i := range min(requests, maxCounted) {
		r := t.Decided(rand.Uint64(), arm)
		if i < failed {
			t.bad(r)
		}
	}
}

// hearing is how long what a gateway says of its own requests holds.
const hearing = 15 * time.Second

// heard is what a gateway has said last about a guard with a limit.
type heard struct {
	verdict core.RolloutVerdict
	at      time.Time
}

// Hear notes what a gateway says of its own requests: what it has found bad is bad, and its guards
// with limits are judged there. See Merge for the others.
func (t *Tracker) Hear(gateway string, verdicts []core.RolloutVerdict, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, sig := range t.signals {
		if !sig.guard.IsMeasured() {
			continue
		}
		for _, v := range verdicts {
			if v.Guard != sig.guard.Line {
				continue
			}
			if v.Verdict == core.VerdictBad && v.Then == sig.guard.Then && t.latched[i] == nil {
				own := v
				own.Reason = v.Reason + " (found by " + gateway + ")"
				t.latched[i] = &own
				t.raise(true)
			}
			if sig.evidence == nil {
				if sig.heard == nil {
					sig.heard = map[string]heard{}
				}
				sig.heard[gateway] = heard{v, now}
			}
		}
	}
}

// judgeHeard adds to the verdict of a guard with a limit what gateways have said.
func (sig *signal) judgeHeard(s *step, v *core.RolloutVerdict, now time.Time) {
	isGood := false
	for gateway, h := range sig.heard {
		if now.Sub(h.at) > hearing {
			delete(sig.heard, gateway)
			continue
		}
		v.Canary.Callers += h.verdict.Canary.Callers
		v.Canary.Bad += h.verdict.Canary.Bad
		v.Control.Callers += h.verdict.Control.Callers
		v.Control.Bad += h.verdict.Control.Bad
		if h.verdict.Evidence > v.Evidence {
			v.Evidence = h.verdict.Evidence
		}
		switch h.verdict.Verdict {
		case core.VerdictBad:
			v.Verdict = core.VerdictBad
			v.Then = h.verdict.Then
			v.Reason = h.verdict.Reason + " (found by " + gateway + ")"
			v.Cause = ""
			return
		case core.VerdictGood:
			isGood = true
		}
	}
	if v.Verdict != core.VerdictUndecided || len(sig.heard) == 0 {
		return
	}
	switch {
	case isGood && s.callers[Canary].Count() >= s.least:
		v.Verdict = core.VerdictGood
		v.Cause = ""
	case v.Canary.Callers > 0:
		v.Cause = CauseFewCallers
	}
}
