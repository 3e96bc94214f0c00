package guard

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"time"

	"github.com/grayrelease/gray/core"
)

// keptTracker is a tracker as it is kept for a program that starts again.
type keptTracker struct {
	Version int          `json:"version"`
	Step    int          `json:"step"`
	Percent float64      `json:"percent"`
	Since   time.Time    `json:"since"`
	First   time.Time    `json:"first"`
	Callers [2][]byte    `json:"callers"`
	Signals []keptSignal `json:"signals"`
}

type keptSignal struct {
	Line     string               `json:"line"`
	Evidence []byte               `json:"evidence,omitempty"`
	Failing  [2][]byte            `json:"failing"`          // by arm
	Limits   []keptLimit          `json:"limits,omitempty"` // by arm
	Latched  *core.RolloutVerdict `json:"latched,omitempty"`
}

type keptLimit struct {
	Copies  int     `json:"copies"`
	Events  int     `json:"events"`
	Sum     betting `json:"sum"`
	Copied  betting `json:"copied"`
	Callers int     `json:"callers"`
	Bad     int     `json:"bad"`
}

var errKept = errors.New("not a tracker that was written by this program")

// MarshalBinary returns what the tracker knows in a form to be kept: the evidence, the callers of
// the step, and what was found. Stable's latency and the current minute are not in it.
func (t *Tracker) MarshalBinary() ([]byte, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.step.Load()
	kept := keptTracker{Version: codecVersion, Step: s.number, Percent: s.percent, Since: s.since, First: t.first}
	for arm := range s.callers {
		kept.Callers[arm] = s.callers[arm].bytes()
	}
	for i, sig := range t.signals {
		one := keptSignal{Line: sig.guard.Line, Latched: t.latched[i]}
		switch {
		case sig.evidence != nil:
			one.Evidence, _ = sig.evidence.MarshalBinary()
			failing := sig.failing.Load()
			one.Failing = [2][]byte{failing[Control].bytes(), failing[Canary].bytes()}
		case sig.guard.IsMeasured():
			one.Limits = []keptLimit{sig.limits[Control].kept(), sig.limits[Canary].kept()}
		}
		kept.Signals = append(kept.Signals, one)
	}
	return json.Marshal(kept)
}

// UnmarshalBinary takes over what MarshalBinary returned of a tracker of the same attempt. Guards
// that the plan did not have then, or measures otherwise now, start afresh. An error changes
// nothing.
func (t *Tracker) UnmarshalBinary(data []byte) error {
	var kept keptTracker
	if err := json.Unmarshal(data, &kept); err != nil || kept.Version != codecVersion {
		return errKept
	}
	at := &step{number: kept.Step, percent: kept.Percent, least: LeastCallers(t.plan, kept.Step), since: kept.Since}
	for arm := range at.callers {
		if !at.callers[arm].setBytes(kept.Callers[arm]) {
			return errKept
		}
	}
	evidence := make([]*Evidence, len(kept.Signals))
	failing := make([][2]Callers, len(kept.Signals))
	for i, one := range kept.Signals {
		if one.Evidence == nil {
			continue
		}
		evidence[i] = &Evidence{}
		if err := evidence[i].UnmarshalBinary(one.Evidence); err != nil {
			return err
		}
		for arm := range failing[i] {
			if !failing[i][arm].setBytes(one.Failing[arm]) {
				return errKept
			}
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.first = kept.First
	for i, one := range kept.Signals {
		for j, sig := range t.signals {
			if sig.guard.Line == one.Line && sig.restore(evidence[i], &failing[i], one.Limits) {
				t.latched[j] = one.Latched
			}
		}
	}
	t.step.Store(at)
	return nil
}

// restore takes over what was known, if it was measured alike.
func (sig *signal) restore(e *Evidence, failing *[2]Callers, limits []keptLimit) bool {
	if sig.evidence != nil {
		if e == nil || e.tolerance != sig.evidence.tolerance {
			return false
		}
		sig.evidence.replace(e)
		sig.failing.Store(failing)
		return true
	}
	if !sig.guard.IsMeasured() {
		return true
	}
	if len(limits) != len(sig.limits) {
		return false
	}
	for arm, l := range sig.limits {
		if !limits[arm].isSound() {
			return false
		}
		l.restore(limits[arm])
	}
	return true
}

func (l *limit) kept() keptLimit {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := &l.process
	return keptLimit{Copies: p.copies, Events: p.events, Sum: p.sum, Copied: p.copied, Callers: l.callers, Bad: l.bad}
}

func (k *keptLimit) isSound() bool {
	for i := range k.Sum {
		if math.IsNaN(k.Sum[i]+k.Copied[i]) || math.IsInf(k.Sum[i]+k.Copied[i], 0) {
			return false
		}
	}
	return k.Copies >= 0 && k.Events >= 0 && k.Callers >= 0 && k.Bad >= 0 && k.Bad <= k.Callers
}

func (l *limit) restore(k keptLimit) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.process = process{copies: k.Copies, events: k.Events, sum: k.Sum, copied: k.Copied}
	l.callers = k.Callers
	l.bad = k.Bad
	l.minute = positions{}
}

func (c *Callers) bytes() []byte {
	data := make([]byte, 0, registers)
	for i := range c.ranks {
		data = binary.LittleEndian.AppendUint32(data, c.ranks[i].Load())
	}
	return data
}

func (c *Callers) setBytes(data []byte) bool {
	if len(data) != registers {
		return false
	}
	for i := range c.ranks {
		c.ranks[i].Store(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return true
}

// Merge adds what another tracker of the same attempt knows: its evidence against stable and, if it
// is at the same step, its callers. A caller of both counts once. Counted says how many callers of
// the other's guards were added before, by the guards' lines, and is brought up to date: what is
// merged again and again counts once. See Hear for what limits measure.
func (t *Tracker) Merge(other *Tracker, counted map[string]int) {
	to, from := t.step.Load(), other.step.Load()
	isSameStep := to.number == from.number && to.percent == from.percent
	if isSameStep {
		merge(&to.callers, &from.callers)
	}
	for _, sig := range t.signals {
		for _, more := range other.signals {
			if sig.evidence == nil || more.evidence == nil || sig.guard.Line != more.guard.Line {
				continue
			}
			list, all := more.evidence.Since(counted[sig.guard.Line])
			if all < counted[sig.guard.Line] { // it has begun again
				list, all = more.evidence.Since(0)
			}
			counted[sig.guard.Line] = all
			for _, b := range list {
				sig.evidence.Add(b)
			}
			t.raise(len(list) > 0 && sig.evidence.Counts().Highest >= t.threshold)
			if isSameStep {
				merge(sig.failing.Load(), more.failing.Load())
			}
		}
	}
}

func merge(to, from *[2]Callers) {
	for arm := range to {
		to[arm].Merge(&from[arm])
	}
}
