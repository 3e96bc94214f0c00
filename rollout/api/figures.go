package api

import (
	"math"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/grayrelease/gray/core"
)

const (
	// sampleEvery is the time between two samples while there are few.
	sampleEvery = 2 * time.Second
	// maxSamples is how many are kept of a service. When there are more, every second one is
	// dropped, and the time between two doubles.
	maxSamples = 360
)

// sample is how a service stood at one moment. What rates are made of are the sums since the
// gateways started, so that samples between two others may be dropped.
type sample struct {
	at       time.Time
	counted  time.Time // when requests were counted
	plan     *core.RolloutPlan
	attempt  int64
	percent  float64
	guards   []guardSample
	rules    []Decisions
	versions []versionSample
}

// guardSample is what a guard said.
type guardSample struct {
	guard           string
	evidence        float64
	threshold       float64
	canary, control core.RolloutArm
}

// versionSample is what a version had answered, and its latency since the sample before.
type versionSample struct {
	version       string
	count, failed float64
	p50, p90      float64
}

// history holds the samples of a service.
type history struct {
	mu      sync.Mutex
	samples []sample
	every   time.Duration
	traffic Traffic // of the last sample
}

// take adds a sample, unless the last one is too recent. It reports whether it did.
func (h *history) take(s *State, plan *core.RolloutPlan, at time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.every == 0 {
		h.every = sampleEvery
	}
	const slack = sampleEvery / 2 // tickers are not exact
	if n := len(h.samples); n > 0 && at.Sub(h.samples[n-1].at) < h.every-slack {
		return false
	}
	made := sample{at: at, plan: plan}
	if r := s.Rollout; r != nil {
		made.attempt = r.Attempt
		made.percent = r.Percent
		for i := range r.Guards {
			v := &r.Guards[i]
			made.guards = append(made.guards, guardSample{v.Guard, v.Evidence, v.Threshold, v.Canary, v.Control})
		}
	}
	if s.Traffic != nil {
		now := Sum([]*Traffic{s.Traffic})
		made.counted = now.At
		made.rules = now.Decisions
		for i := range now.Responses {
			made.versions = append(made.versions, answered(&now.Responses[i], h.traffic.answered(now.Responses[i].Version)))
		}
		h.traffic = *now
	}
	h.samples = append(h.samples, made)
	h.thin()
	return true
}

// answered is the sample of a version that had answered before what old says.
func answered(r *Responses, old Responses) versionSample {
	grown := r.since(&old)
	return versionSample{r.Version, r.Count, r.Failed, grown.quantile(0.5), grown.quantile(0.9)}
}

// thin drops every second sample if there are too many.
func (h *history) thin() {
	if len(h.samples) <= maxSamples {
		return
	}
	kept := h.samples[:0]
	for i, s := range h.samples {
		if i%2 == 0 {
			kept = append(kept, s)
		}
	}
	clear(h.samples[len(kept):])
	h.samples = kept
	h.every *= 2
}

// Figures are how a service stood over time. Each column has a number for each time in At; null
// where nothing was known.
type Figures struct {
	// At are seconds since 1970.
	At []float64 `json:"at"`
	// Percent of the rollout's rule.
	Percent []Number `json:"percent"`
	// Guards are those of the present attempt.
	Guards []GuardFigures `json:"guards"`
	// Versions are those that have answered requests.
	Versions []VersionFigures `json:"versions"`
	// Decisions are requests a second.
	Decisions []DecisionFigures `json:"decisions"`
}

// GuardFigures are what a guard has said over time.
type GuardFigures struct {
	Guard string `json:"guard"`
	// Evidence is ln E, and Threshold what it must reach for the verdict to be bad.
	Evidence  []Number `json:"evidence"`
	Threshold float64  `json:"threshold"`
	// Canary and Control are the shares of the arms' callers that are bad, since the step began,
	// and Limit is the share that is tolerated of the canary's: the guard's own, or by what
	// control's is.
	Canary  []Number `json:"canary"`
	Control []Number `json:"control"`
	Limit   []Number `json:"limit"`
	// Exposed is how many callers of the canary were compared since the step began.
	Exposed []Number `json:"exposed"`
}

// VersionFigures are how a version has answered between two samples.
type VersionFigures struct {
	Version string `json:"version"`
	// Requests a second, and the share that Failed.
	Requests []Number `json:"requests"`
	Failed   []Number `json:"failed"`
	// P50 and P90 are the latency's quantiles in seconds, as the buckets of a histogram tell them.
	P50 []Number `json:"p50"`
	P90 []Number `json:"p90"`
}

// DecisionFigures are requests a second that a rule has sent to a version.
type DecisionFigures struct {
	Version  string   `json:"version"`
	Rule     string   `json:"rule"`
	Requests []Number `json:"requests"`
}

// Number is a float64 that is null in JSON if it is not a number.
type Number float64

// MarshalJSON implements json.Marshaler.
func (n Number) MarshalJSON() ([]byte, error) {
	f := float64(n)
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return []byte("null"), nil
	}
	const digits = 6 // as many as a chart can show
	return strconv.AppendFloat(nil, f, 'g', digits, 64), nil
}

var unknown = Number(math.NaN())

// figures returns what the samples say, from a time on.
func (h *history) figures(from time.Time) *Figures {
	h.mu.Lock()
	samples := slices.Clone(h.samples)
	h.mu.Unlock()
	f := &Figures{At: []float64{}, Percent: []Number{}, Guards: []GuardFigures{}, Versions: []VersionFigures{},
		Decisions: []DecisionFigures{}}
	if len(samples) == 0 {
		return f
	}
	first := 0
	for first < len(samples) && !samples[first].at.After(from) {
		first++
	}
	before := samples[max(first-1, 0)]
	shown := samples[first:]
	last := &samples[len(samples)-1]
	for i := range shown {
		f.At = append(f.At, float64(shown[i].at.UnixMilli())/1000)
		f.Percent = append(f.Percent, Number(shown[i].percent))
	}
	for i := range last.guards {
		f.Guards = append(f.Guards, guardFigures(shown, last, &last.guards[i]))
	}
	for _, v := range last.versions {
		f.Versions = append(f.Versions, versionFigures(shown, &before, v.version))
	}
	for _, d := range last.rules {
		f.Decisions = append(f.Decisions, decisionFigures(shown, &before, d))
	}
	return f
}

func guardFigures(shown []sample, last *sample, of *guardSample) GuardFigures {
	g := GuardFigures{Guard: of.guard, Threshold: of.threshold, Evidence: []Number{}, Canary: []Number{},
		Control: []Number{}, Limit: []Number{}, Exposed: []Number{}}
	for i := range shown {
		evidence, canary, control, exposed, limit := unknown, unknown, unknown, unknown, unknown
		for _, v := range shown[i].guards {
			if v.guard == of.guard && shown[i].attempt == last.attempt {
				evidence, canary, control = Number(v.evidence), share(v.canary), share(v.control)
				exposed = Number(v.canary.Callers)
				limit = tolerated(shown[i].plan, v.guard, control)
			}
		}
		g.Limit = append(g.Limit, limit)
		g.Evidence = append(g.Evidence, evidence)
		g.Canary = append(g.Canary, canary)
		g.Control = append(g.Control, control)
		g.Exposed = append(g.Exposed, exposed)
	}
	return g
}

// tolerated is the share of the canary's callers that a guard tolerates, by what control's is.
func tolerated(plan *core.RolloutPlan, line string, control Number) Number {
	if plan == nil {
		return unknown
	}
	for i := range plan.Guards {
		g := &plan.Guards[i]
		switch {
		case g.Line != line || !g.IsMeasured():
		case g.Limit > 0:
			return Number(g.Limit)
		default:
			return Number(min(float64(control)*plan.Tolerance, 1))
		}
	}
	return unknown
}

func share(a core.RolloutArm) Number {
	if a.Callers == 0 {
		return unknown
	}
	return Number(float64(a.Bad) / float64(a.Callers))
}

// of returns what a version had answered by then, zero if nothing.
func (s *sample) of(version string) versionSample {
	for _, v := range s.versions {
		if v.version == version {
			return v
		}
	}
	return versionSample{p50: math.NaN(), p90: math.NaN()}
}

// newer returns the sample that the next one is to be compared with: requests may not have been
// counted again since the one before.
func newer(before, s *sample) *sample {
	if s.counted.Equal(before.counted) {
		return before
	}
	return s
}

func versionFigures(shown []sample, before *sample, version string) VersionFigures {
	v := VersionFigures{Version: version, Requests: []Number{}, Failed: []Number{}, P50: []Number{}, P90: []Number{}}
	for i := range shown {
		requests, failed, p50, p90 := unknown, unknown, unknown, unknown
		if elapsed := shown[i].counted.Sub(before.counted).Seconds(); elapsed > 0 {
			now, was := shown[i].of(version), before.of(version)
			if now.count < was.count {
				was = versionSample{}
			}
			count := now.count - was.count
			requests = Number(count / elapsed)
			p50, p90 = Number(now.p50), Number(now.p90)
			if count > 0 {
				failed = Number(min(since(now.failed, was.failed)/count, 1))
			}
		}
		v.Requests = append(v.Requests, requests)
		v.Failed = append(v.Failed, failed)
		v.P50 = append(v.P50, p50)
		v.P90 = append(v.P90, p90)
		before = newer(before, &shown[i])
	}
	return v
}

// decided is how often a rule had sent callers to a version by then.
func (s *sample) decided(version, rule string) float64 {
	for _, d := range s.rules {
		if d.Version == version && d.Rule == rule {
			return d.Count
		}
	}
	return 0
}

func decisionFigures(shown []sample, before *sample, of Decisions) DecisionFigures {
	d := DecisionFigures{Version: of.Version, Rule: of.Rule, Requests: []Number{}}
	for i := range shown {
		requests := unknown
		if elapsed := shown[i].counted.Sub(before.counted).Seconds(); elapsed > 0 {
			now, was := shown[i].decided(of.Version, of.Rule), before.decided(of.Version, of.Rule)
			requests = Number(since(now, was) / elapsed)
		}
		d.Requests = append(d.Requests, requests)
		before = newer(before, &shown[i])
	}
	return d
}
