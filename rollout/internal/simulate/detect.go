package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/grayrelease/gray/rollout/forecast"
	"github.com/grayrelease/gray/rollout/guard"
)

// worse is a release whose canary is worse, where every request has a caller of its own.
type worse struct {
	name    string
	percent float64
	stable  float64 // share of stable's requests that are bad
	ratio   float64 // of the canary's to stable's
	slower  float64 // latency instead: the canary takes that many times as long
	healthy int     // bad callers before the canary turns bad

	isLate bool // after 30 to 35 healthy minutes of lateCallers, who keep their version

	unit   string
	most   int // the median that is promised at tolerance 1
	most25 int // and at tolerance 1.25; 0 is none
}

var releases = []worse{
	{name: "100 times the errors", percent: 1, stable: 0.001, ratio: 100, unit: "canary requests", most: 40, most25: 43},
	{name: "50 times", percent: 5, stable: 0.001, ratio: 50, unit: "canary requests", most: 115, most25: 119},
	{name: "5 times", percent: 5, stable: 0.01, ratio: 5, unit: "canary requests", most: 330, most25: 415},
	{name: "2 times", percent: 5, stable: 0.01, ratio: 2, unit: "canary requests", most: 3400, most25: 6200},
	{name: "1.3 times the latency, p90", percent: 5, slower: 1.3, unit: "canary requests", most: 220},
	{name: "5 times, after 3,000 healthy bad callers", percent: 5, stable: 0.01, ratio: 5, healthy: 3000,
		unit: "bad callers", most: 130, most25: 140},
	{name: "3 times the latency, p90, after 30 healthy minutes", percent: 5, slower: 3, isLate: true,
		unit: "canary requests", most: 1500},
}

const (
	detectionAlpha    = 1e-4
	perSecond         = 100 // requests of all versions, which a minute's window depends on
	lateCallers       = 2000
	lateMinutes       = 30
	mostCanary        = 200000
	latencyDeviations = 0.5 // of the logarithm of the latency
)

// source makes the requests of a release, in order.
type source struct {
	worse
	random    *rand.Rand
	threshold time.Duration // longer is slow
}

func newSource(w worse, random *rand.Rand) *source {
	s := &source{worse: w, random: random}
	if w.slower > 0 {
		baseline := guard.NewLatency()
		for range 10000 {
			baseline.Add(s.latency(1))
		}
		baseline.Turn()
		s.threshold = baseline.Quantile(0.9)
	}
	return s
}

func (s *source) latency(times float64) time.Duration {
	return time.Duration(times * float64(100*time.Millisecond) * math.Exp(latencyDeviations*s.random.NormFloat64()))
}

// next returns the next request: the canary's or not, and whether it is bad.
func (s *source) next(isWorse bool) (canary, bad bool) {
	canary = s.random.Float64()*100 < s.percent
	times := 1.0
	if s.slower > 0 {
		if canary && isWorse {
			times = s.slower
		}
		return canary, s.latency(times) > s.threshold
	}
	if canary && isWorse {
		times = s.ratio
	}
	return canary, s.random.Float64() < s.stable*times
}

// detectLate counts how many canary requests a release takes whose callers have all been slow
// before the canary turns slow.
func detectLate(w worse, tolerance float64, random *rand.Rand) int {
	s := newSource(w, random)
	e := guard.NewEvidence(tolerance)
	e.Begin()
	positions := make([]uint64, lateCallers)
	for i := range positions {
		positions[i] = random.Uint64()
	}
	const perMinute = 2 * 60 * perSecond
	turns, canaries := lateMinutes*perMinute+random.IntN(5*perMinute), 0
	for n := 0; canaries < mostCanary; n++ {
		if n%perMinute == 0 {
			e.Turn()
		}
		b := guard.Bad{Position: positions[random.IntN(len(positions))], Percent: w.percent}
		times := 1.0
		if isTaken(b.Position, w.percent) {
			b.Arm = guard.Canary
			if n >= turns {
				canaries++
				times = w.slower
			}
		}
		isNew := s.latency(times) > s.threshold && e.Add(b)
		if isNew && canaries > 0 && e.Counts().Log >= -math.Log(detectionAlpha) {
			break
		}
	}
	return canaries
}

// detect counts how many canary requests, or bad callers, a release takes until it is rolled back.
func detect(w worse, tolerance float64, random *rand.Rand) int {
	if w.slower == 0 && w.healthy == 0 {
		plain := forecast.Worse{Percent: w.percent, Stable: w.stable, Ratio: w.ratio}
		canaries, _ := plain.Find(tolerance, -math.Log(detectionAlpha), mostCanary, random)
		return canaries
	}
	s := newSource(w, random)
	e := guard.NewEvidence(tolerance)
	e.Begin()
	healthy, canaries, bads := 0, 0, 0
	for canaries < mostCanary {
		isWorse := healthy >= w.healthy
		canary, bad := s.next(isWorse)
		canaries += count(canary && isWorse)
		if !bad {
			continue
		}
		if isWorse {
			bads++
		} else {
			healthy++
		}
		b := guard.Bad{Position: random.Uint64(), Percent: w.percent}
		if canary {
			b.Arm = guard.Canary
		}
		e.Add(b)
		if isWorse && e.Counts().Log >= -math.Log(detectionAlpha) {
			break
		}
	}
	if w.healthy > 0 {
		return bads
	}
	return canaries
}

// looked counts canary requests until a window of a minute rolls back, in an hour at the most; 0 if
// it does not.
func looked(w worse, by *window, isWorse bool, random *rand.Rand) int {
	s := newSource(w, random)
	canaries := 0
	for range 60 {
		requests, bads := 0, 0
		for range 60 * perSecond {
			if canary, bad := s.next(isWorse); canary {
				requests++
				bads += count(bad)
			}
		}
		canaries += requests
		if by.look(requests, bads) {
			return canaries
		}
	}
	return 0
}

// detection is the median and the 90th percentile of what a release took.
type detection struct{ median, p90 int }

func runDetection(w worse, tolerance float64, s settings) detection {
	n, run := s.detections, detect
	if w.isLate {
		n, run = max(n/5, 1), detectLate
	}
	took := make([]int, n)
	each(n, func(i int) { took[i] = run(w, tolerance, s.random(i)) })
	slices.Sort(took)
	return detection{took[len(took)/2], took[len(took)*9/10]}
}

// windowed describes what a window does: the median of canary requests of those that it rolls back,
// how many those are, and how many it rolls back that are no different.
func windowed(w worse, by func() *window, s settings) string {
	if w.slower > 0 || w.healthy > 0 {
		return "-"
	}
	n := max(s.detections/10, 1)
	took, wrong := make([]int, n), make([]int, n)
	each(n, func(i int) {
		random := s.random(i)
		took[i] = looked(w, by(), true, random)
		wrong[i] = count(looked(w, by(), false, random) > 0)
	})
	slices.Sort(took)
	missed, _ := slices.BinarySearch(took, 1)
	falls := 0
	for _, one := range wrong {
		falls += one
	}
	said := "never"
	if found := took[missed:]; len(found) > 0 {
		said = fmt.Sprintf("%d (%d %%)", found[len(found)/2], len(found)*100/n)
	}
	return fmt.Sprintf("%s, false %d %%", said, falls*100/n)
}

func reportDetection(p *page, s settings) {
	p.line("## Releases that are worse")
	p.line("")
	p.line("Canary requests (or bad callers of both versions, where it says so) until the rollback, as the")
	p.line("median and the 90th percentile of %d releases, at alpha 0.0001. Every request has a caller of its",
		s.detections)
	p.line("own, except in the last line: there %d callers send %d requests a second.", lateCallers, 2*perSecond)
	p.line("")
	p.line("| canary | share | stable's bad requests | tolerance 1 | tolerance 1.25 " +
		"| success < 99 %% over 1 minute, 5 looks | < 95 %%, 4 looks |")
	p.line("| --- | --- | --- | --- | --- | --- | --- |")
	for _, w := range releases {
		one, more := runDetection(w, 1, s), runDetection(w, 1.25, s)
		stable := fmt.Sprintf("%g %%", w.stable*100)
		if w.slower > 0 {
			stable = "10 %: over its p90"
		}
		p.line("| %s (%s) | %g %% | %s | %d, p90 %d | %d, p90 %d | %s | %s |", w.name, w.unit, w.percent, stable,
			one.median, one.p90, more.median, more.p90, windowed(w, flagger, s), windowed(w, argo, s))
	}
	p.line("")
	p.line("The windows see %d requests a second in all, for an hour: median of canary requests until the", perSecond)
	p.line("rollback, in brackets the share of releases rolled back within the hour, and `false` for the share")
	p.line("rolled back of releases on the same data whose canary is as good as stable. Latency is log-normal,")
	p.line("with a deviation of the logarithm of %g.", latencyDeviations)
}
