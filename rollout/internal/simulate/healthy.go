package main

import (
	"math"
	"math/rand/v2"

	"github.com/grayrelease/gray/rollout/guard"
)

const (
	minutes           = 60
	requestsPerMinute = 3000
	outage            = 30 // the minute in which every request fails
)

// healthy is what was done about one release in which the versions do not differ.
type healthy struct {
	highest         float64 // ln E, the highest of all looks
	highestRequests float64 // the same if every bad request counted, instead of callers
	flagger, argo   bool    // rolled back
}

// plan is the canary's percentage by minute.
type plan struct {
	name    string
	percent func(minute int) float64
	isSlow  bool // every tenth request is bad, as for the guard `latency p90`
}

func constant(name string, percent float64) plan {
	return plan{name: name, percent: func(int) float64 { return percent }}
}

func ramp(minute int) float64 { return []float64{1, 5, 20, 50}[minute*4/minutes] }

var plans = []plan{
	constant("1 %", 1), constant("5 %", 5), constant("20 %", 20), constant("50 %", 50),
	{name: "ramp 1, 5, 20, 50 %", percent: ramp},
	{name: "the ramp, every tenth request bad", percent: ramp, isSlow: true},
}

// runHealthy releases a version that is no different: an hour in which the error rate drifts, and
// one minute in which everything fails.
func runHealthy(p plan, random *rand.Rand) healthy {
	callers := newPopulation(random)
	byCaller, byRequest := guard.NewEvidence(1), guard.NewEvidence(1)
	f, a := flagger(), argo()
	var result healthy
	rate := math.Exp(math.Log(0.001) + random.Float64()*math.Log(5)) // 0.1 to 0.5 %
	percent, taken := 0.0, 0.0
	for minute := range minutes {
		if next := p.percent(minute); next != percent {
			percent, taken = next, callers.taken(next)
			byCaller.Begin()
			byRequest.Begin()
		}
		rate = min(max(rate*math.Exp(0.1*random.NormFloat64()), 0.0002), 0.05)
		if p.isSlow {
			rate = 0.1
		}
		who, failing := callers.failures, poisson(random, rate*requestsPerMinute)
		if minute == outage {
			who, failing = callers.requests, requestsPerMinute
		}
		byCaller.Turn()
		bad := 0
		for range failing {
			b := guard.Bad{Position: callers.positions[who.pick(random)], Percent: percent}
			if isTaken(b.Position, percent) {
				b.Arm = guard.Canary
				bad++
			}
			isNew := byCaller.Add(b)
			b.Position = random.Uint64() // a caller of its own
			byRequest.Add(b)
			if b.Arm == guard.Control {
				continue // which only lowers E
			}
			if isNew {
				result.highest = max(result.highest, byCaller.Counts().Log)
			}
			result.highestRequests = max(result.highestRequests, byRequest.Counts().Log)
		}
		requests := max(bad, poisson(random, taken*requestsPerMinute))
		result.flagger = f.look(requests, bad) || result.flagger
		result.argo = a.look(requests, bad) || result.argo
	}
	return result
}

// falseRollbacks are how many of the releases of a plan were rolled back.
type falseRollbacks struct {
	percent1, permille1 int // alpha 0.01 and 0.001
	requests            int // alpha 0.01, if every bad request counted
	flagger, argo       int
}

func runPlan(p plan, s settings) falseRollbacks {
	results := make([]healthy, s.releases)
	each(s.releases, func(i int) { results[i] = runHealthy(p, s.random(i)) })
	var f falseRollbacks
	for _, r := range results {
		f.percent1 += count(r.highest >= math.Log(100))
		f.permille1 += count(r.highest >= math.Log(1000))
		f.requests += count(r.highestRequests >= math.Log(100))
		f.flagger += count(r.flagger)
		f.argo += count(r.argo)
	}
	return f
}

func count(is bool) int {
	if is {
		return 1
	}
	return 0
}

func reportFalse(p *page, s settings) {
	p.line("## Releases in which the versions do not differ")
	p.line("")
	p.line("%d releases a line, of an hour with %d requests a minute from %d callers who keep their",
		s.releases, requestsPerMinute, callersOfAService)
	p.line("version. Activity is Pareto distributed (shape 1.2), proneness to failures too (1.5); the error rate")
	p.line("starts between 0.1 and 0.5 %% and drifts by about 10 %% a minute, and in minute %d every request", outage)
	p.line("fails.")
	p.line("")
	p.line("Rolled back, of %d:", s.releases)
	p.line("")
	p.line("| share of the canary | guard `errors`, alpha 0.01 (at most %d) | alpha 0.001 (at most %d) "+
		"| every request counted, alpha 0.01 | success < 99 %% over 1 minute, 5 looks | < 95 %%, 4 looks |",
		s.releases/100, s.releases/1000)
	p.line("| --- | --- | --- | --- | --- | --- |")
	for _, plan := range plans {
		f := runPlan(plan, s)
		p.line("| %s | %d | %d | %d | %d | %d |", plan.name, f.percent1, f.permille1, f.requests, f.flagger, f.argo)
	}
	p.line("")
	p.line("The fourth column shows why callers count and not requests; the last two are the examples in the")
	p.line("documentations of Flagger and Argo Rollouts, looking once a minute.")
	p.line("")
}
