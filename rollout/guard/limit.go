package guard

import "sync"

// limit tests whether more than a share of an arm's callers are bad. A caller counts once a minute:
// over a day everybody fails once, and one who fails a thousand times is still one.
type limit struct {
	odds odds // of the limit in place of the share: a bad caller is "canary"

	mu      sync.Mutex
	process process
	callers int // in finished minutes, each caller once a minute
	bad     int
	minute  positions // the bad ones of this minute
}

func newLimit(share float64) *limit { return &limit{odds: newOdds(share, 1)} }

// begin starts a fresh copy of the test.
func (l *limit) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.process.restart()
	l.callers = 0
	l.bad = 0
}

// add counts a bad caller of this minute.
func (l *limit) add(position uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.minute.list) < maxCallers && l.minute.index(position) < 0 {
		l.minute.add(position)
	}
}

// turn ends a minute that had that many callers.
func (l *limit) turn(callers int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	callers = max(callers, len(l.minute.list))
	l.process = l.after(callers)
	l.callers += callers
	l.bad += len(l.minute.list)
	l.minute = positions{}
}

// after returns the process with the current minute, which has that many callers so far.
func (l *limit) after(callers int) process {
	p := l.process
	bad := len(l.minute.list)
	for range bad {
		p.add(&l.odds, true)
	}
	p.bet(&l.odds, false, float64(max(callers-bad, 0)))
	return p
}

// limitCounts are what a limit's test adds up to at one moment.
type limitCounts struct {
	log          float64
	callers, bad int // since the step began
}

func (l *limit) counts(callersNow int) limitCounts {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.after(callersNow)
	callersNow = max(callersNow, len(l.minute.list))
	return limitCounts{log: p.log(), callers: l.callers + callersNow, bad: l.bad + len(l.minute.list)}
}
