package api

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// Traffic is what has been counted of a service's requests since its gateways started. A number
// that falls has begun again.
type Traffic struct {
	// At is when it was counted; that of several gateways is the mean.
	At        time.Time   `json:"at,omitzero"`
	Decisions []Decisions `json:"decisions"`
	Responses []Responses `json:"responses"`
}

// Decisions counts requests by the version decided on and the rule that decided, "" if none did.
type Decisions struct {
	Version string  `json:"version"`
	Rule    string  `json:"rule"`
	Count   float64 `json:"count"`
}

// Responses counts what a version has answered.
type Responses struct {
	Version string `json:"version"`
	// Count of responses, and how many of them Failed: those of the class 5xx, and fallbacks to
	// stable.
	Count  float64 `json:"count"`
	Failed float64 `json:"failed"`
	// Latency is the histogram of the seconds until the response's header.
	Latency []Bucket `json:"latency,omitempty"`
}

// Bucket counts responses that took at most so many seconds, as Prometheus' histograms do. The
// longest are in Count of Responses only.
type Bucket struct {
	Seconds float64 `json:"seconds"`
	Count   float64 `json:"count"`
}

// Sum adds up what gateways have counted, nil if there are none.
func Sum(all []*Traffic) *Traffic {
	if len(all) == 0 {
		return nil
	}
	t := &Traffic{At: all[0].At}
	later := time.Duration(0)
	for _, one := range all {
		later += one.At.Sub(t.At) / time.Duration(len(all))
		t.add(one)
	}
	t.At = t.At.Add(later)
	t.sort()
	return t
}

func (t *Traffic) add(other *Traffic) {
	for _, d := range other.Decisions {
		t.decisions(d.Version, d.Rule).Count += d.Count
	}
	for _, r := range other.Responses {
		of := t.responses(r.Version)
		of.Count += r.Count
		of.Failed += r.Failed
		for i, b := range r.Latency {
			if i == len(of.Latency) {
				of.Latency = append(of.Latency, Bucket{Seconds: b.Seconds})
			}
			of.Latency[i].Count += b.Count
		}
	}
}

// maxRows bounds the versions and rules that are told apart.
const maxRows = 64

func (t *Traffic) decisions(version, rule string) *Decisions {
	for i := range t.Decisions {
		if d := &t.Decisions[i]; d.Version == version && d.Rule == rule {
			return d
		}
	}
	if len(t.Decisions) == maxRows {
		return &Decisions{}
	}
	t.Decisions = append(t.Decisions, Decisions{Version: version, Rule: rule})
	return &t.Decisions[len(t.Decisions)-1]
}

func (t *Traffic) responses(version string) *Responses {
	for i := range t.Responses {
		if r := &t.Responses[i]; r.Version == version {
			return r
		}
	}
	if len(t.Responses) == maxRows {
		return &Responses{}
	}
	t.Responses = append(t.Responses, Responses{Version: version})
	return &t.Responses[len(t.Responses)-1]
}

// sort sorts by version and rule, so that the same traffic is the same JSON.
func (t *Traffic) sort() {
	slices.SortFunc(t.Decisions, func(a, b Decisions) int {
		return cmp.Or(cmp.Compare(a.Version, b.Version), cmp.Compare(a.Rule, b.Rule))
	})
	slices.SortFunc(t.Responses, func(a, b Responses) int { return cmp.Compare(a.Version, b.Version) })
}

// answered is what a version has answered, zero if it is not there.
func (t *Traffic) answered(version string) Responses {
	for _, r := range t.Responses {
		if r.Version == version {
			return r
		}
	}
	return Responses{}
}

// since returns how much a counter has grown: one that has fallen has begun again.
func since(now, before float64) float64 {
	if now < before {
		return now
	}
	return now - before
}

// since returns what a version has answered after an earlier look.
func (r *Responses) since(old *Responses) Responses {
	if r.Count < old.Count {
		old = &Responses{}
	}
	grown := Responses{Version: r.Version, Count: since(r.Count, old.Count), Failed: since(r.Failed, old.Failed)}
	for i, b := range r.Latency {
		was := 0.0
		if i < len(old.Latency) {
			was = old.Latency[i].Count
		}
		grown.Latency = append(grown.Latency, Bucket{b.Seconds, since(b.Count, was)})
	}
	return grown
}

// quantile estimates a quantile of the latency in seconds as Prometheus' histogram_quantile does:
// evenly within a bucket. NaN if there were no responses.
func (r *Responses) quantile(q float64) float64 {
	if r.Count == 0 || len(r.Latency) == 0 {
		return math.NaN()
	}
	rank := q * r.Count
	from, below := 0.0, 0.0
	for _, b := range r.Latency {
		if b.Count >= rank {
			if b.Count == below {
				return from
			}
			return from + (b.Seconds-from)*(rank-below)/(b.Count-below)
		}
		from, below = b.Seconds, b.Count
	}
	return r.Latency[len(r.Latency)-1].Seconds
}
