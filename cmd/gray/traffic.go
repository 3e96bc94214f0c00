package main

import (
	"math"
	"time"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/internal/accesslog"
)

// reached is the traffic that the rule of a rollout asks its percentage about: its requests, and
// how many of them each caller of a sample has sent. One goroutine uses it.
type reached struct {
	engine           *core.Engine
	requests, failed int64
	counts           map[uint64]uint32 // by the caller's position
	mask             uint64            // callers are in the sample if these bits of their hash are zero
	span             time.Duration     // of the log; set when all is read
}

// mostSampled is how many callers a sample has.
const mostSampled = 1 << 16

// newReached asks about all callers, as the rule does at any percentage between 0 and 100.
func newReached(e *core.Engine) *reached {
	const asking = 50
	o := core.Overlay{Percent: map[string]float64{e.Rollout().Rule: asking}}
	return &reached{engine: e.With(o), counts: map[uint64]uint32{}}
}

func (t *reached) take(r *accesslog.Record, _ spot) {
	c := &core.Caller{Request: &r.Request, Client: r.Client}
	position, _, isAsked := core.Ramped(t.engine, c, core.Decide(t.engine, c))
	if !isAsked {
		return
	}
	t.requests++
	if r.Status >= 500 {
		t.failed++
	}
	t.add(position, 1)
}

func (t *reached) add(position uint64, n uint32) {
	if mix(position)&t.mask != 0 {
		return
	}
	t.counts[position] += n
	for len(t.counts) > mostSampled {
		t.thin(t.mask<<1 | 1)
	}
}

// thin makes the sample smaller.
func (t *reached) thin(mask uint64) {
	t.mask = mask
	for position := range t.counts {
		if mix(position)&mask != 0 {
			delete(t.counts, position)
		}
	}
}

func (t *reached) merge(other *reached) {
	t.requests += other.requests
	t.failed += other.failed
	if other.mask > t.mask {
		t.thin(other.mask)
	}
	for position, n := range other.counts {
		t.add(position, n)
	}
}

// Callers implements forecast.Traffic: by rarefaction for times shorter than the log. After it new
// callers are taken to come as fast as at its end, where the share of requests from new ones is
// that of the callers who came once (Good and Turing).
func (t *reached) Callers(within time.Duration) float64 {
	if t.span <= 0 {
		return 0
	}
	logs := within.Seconds() / t.span.Seconds()
	seen, once := 0.0, 0.0
	for _, n := range t.counts {
		seen += 1 - math.Pow(1-min(logs, 1), float64(n))
		if n == 1 {
			once++
		}
	}
	return (seen + once*max(logs-1, 0)) * float64(t.mask+1)
}

// perSecond is how many requests come each second.
func (t *reached) perSecond() float64 { return float64(t.requests) / t.span.Seconds() }

// failing is the share of requests that fail, at least one in 10,000.
func (t *reached) failing() float64 {
	const least = 0.0001
	return max(least, float64(t.failed)/float64(t.requests))
}
