package core

import (
	"strconv"

	"github.com/grayrelease/gray/core/problem"
)

// Explanation is a decision with its reasons, for people.
type Explanation struct {
	Service string `json:"service"`
	Version string `json:"version"`
	// Rule that decided; empty when none did.
	Rule string `json:"rule,omitempty"`
	// Reason in one line: why this version.
	Reason string `json:"reason"`
	// Identity is who the caller counts as. IdentitySource is where that came from: one of the
	// policy's identities, or "anonymous" for a random one. Both are empty for a caller without an
	// identity.
	Identity       string `json:"identity,omitempty"`
	IdentitySource string `json:"identity_source,omitempty"`
	// Claims is the result of checking the caller's token, as TokenResult returns it. Empty if the
	// policy has no `jwt`.
	Claims string `json:"claims,omitempty"`
	// Rules has each rule up to the one that decided.
	Rules []RuleTrace `json:"rules,omitempty"`
}

// RuleTrace is what one rule said of the caller.
type RuleTrace struct {
	Rule string `json:"rule"`
	// Version that the rule gives; of a split, the one whose range the caller is in, empty if that
	// is none.
	Version string `json:"version"`
	Matched bool   `json:"matched"`
	// Failed is the first condition, as written, that did not hold.
	Failed string `json:"failed,omitempty"`
	// Withdrawn reports that the rule would have matched, if an overlay had not withdrawn its
	// version.
	Withdrawn bool `json:"withdrawn,omitempty"`
	// Bucket is where the caller is relative to the percentage or the split. Absent at 100 percent
	// and if a condition failed.
	Bucket *BucketTrace `json:"bucket,omitempty"`
}

// BucketTrace is a caller's position between 0 and 2^64, and the threshold: callers under it are
// taken. A split has ranges in place of the threshold.
type BucketTrace struct {
	Percent float64 `json:"percent"`
	Salt    string  `json:"salt,omitempty"`
	// Position and Threshold are decimal numbers in strings, since JSON readers round integers of
	// 64 bits. Both are empty at 0 percent; Position is empty for a caller without an identity.
	Position  string `json:"position,omitempty"`
	Threshold string `json:"threshold,omitempty"`
	// Ranges are those of a split.
	Ranges []RangeTrace `json:"ranges,omitempty"`
}

// RangeTrace is the range of one version of a split: positions from From up to, not including, To.
// Both are decimal numbers in strings, To at most 2^64.
type RangeTrace struct {
	Version string  `json:"version"`
	Percent float64 `json:"percent"`
	From    string  `json:"from"`
	To      string  `json:"to"`
}

// Explain decides as Decide does and returns the reasons. Unlike Decide it goes through the rules
// in the order of the policy, condition by condition, and allocates. Call it before Pass changes
// the request; Reason and Asked describe a decision afterwards.
//
// An explanation holds what the caller sent: show it only to those who may read requests.
func Explain(e *Engine, c *Caller) *Explanation {
	x := &Explanation{Service: e.policy.Service, Version: e.stable.Version}
	id, from := identify(e, c)
	if from != nil {
		x.Identity, x.IdentitySource = id, from.text
	}
	if e.verifier != nil {
		claims(e, c)
		x.Claims = TokenResult(c)
	}
	if e.force != "" {
		x.Version = e.force
		x.Reason = reason(e, "")
		return x
	}
	if e.tester != nil {
		if d := testerDecision(e, c); d != nil {
			x.Version, x.Rule = d.Version, d.Rule
			x.Reason = reason(e, d.Rule)
			return x
		}
	}
	for _, r := range e.rules {
		trace := explainRule(e, c, r)
		x.Rules = append(x.Rules, trace)
		if trace.Matched {
			x.Version, x.Rule = trace.Version, r.name
			break
		}
	}
	x.Reason = reason(e, x.Rule)
	if x.Identity == "" && c.random != "" {
		x.Identity, x.IdentitySource = c.random, "anonymous"
	}
	return x
}

func explainRule(e *Engine, c *Caller, r *rule) RuleTrace {
	trace := RuleTrace{Rule: r.name, Version: r.decision.Version}
	for _, cond := range r.conditions {
		if holds(e, c, cond) == cond.negated {
			trace.Failed = cond.text
			return trace
		}
	}
	if r.split != nil {
		explainSplit(e, c, r, &trace)
		return trace
	}
	taken := r.percent == 100
	if !taken {
		trace.Bucket, taken = explainBucket(e, c, r)
	}
	trace.Matched, trace.Withdrawn = taken && !r.withdrawn, taken && r.withdrawn
	return trace
}

// explainSplit completes the trace of a rule with a split.
func explainSplit(e *Engine, c *Caller, r *rule, trace *RuleTrace) {
	trace.Bucket = &BucketTrace{Percent: r.percent, Salt: r.split.bucket.salt}
	for _, p := range r.split.portions {
		trace.Bucket.Ranges = append(trace.Bucket.Ranges, RangeTrace{
			Version: p.decision.Version, Percent: p.percent, From: p.begin.String(), To: p.end.String(),
		})
	}
	id := bucketID(e, c)
	if id == "" {
		return
	}
	trace.Bucket.Position = strconv.FormatUint(position(r.split.bucket, id), 10)
	if p := portionOf(r.split, id); p != nil {
		trace.Version = p.decision.Version
		trace.Matched, trace.Withdrawn = !p.withdrawn, p.withdrawn
	}
}

// explainBucket also reports whether a rule's percentage takes the caller.
func explainBucket(e *Engine, c *Caller, r *rule) (*BucketTrace, bool) {
	trace := &BucketTrace{Percent: r.percent}
	if r.bucket == nil {
		return trace, false
	}
	trace.Salt = r.bucket.salt
	trace.Threshold = strconv.FormatUint(r.bucket.threshold, 10)
	id := bucketID(e, c)
	if id == "" {
		return trace, false
	}
	trace.Position = strconv.FormatUint(position(r.bucket, id), 10)
	return trace, takes(r.bucket, id)
}

// Reason returns in one line why the engine made a decision: which rule matched, or which part of
// the overlay decided.
func Reason(e *Engine, d *Decision) string { return reason(e, d.Rule) }

func reason(e *Engine, rule string) string {
	if e.force != "" {
		return e.forceReason
	}
	if rule == "" {
		return "no rule matched: the stable version"
	}
	if rule == TesterRule && e.tester != nil {
		return "a tester's link chose the version"
	}
	matched := "rule " + problem.Quote(rule) + " matched"
	if _, changed := e.percent[rule]; changed && e.changeReason != "" {
		return matched + " (" + e.changeReason + ")"
	}
	return matched
}

// Asked returns who the caller counted as in the last percentage that Decide asked about, and the
// position of that identity between 0 and 2^64. It reports false if Decide asked about none, or the
// caller had no identity.
func Asked(c *Caller) (id string, at uint64, ok bool) {
	if c.asked == nil || c.id == "" {
		return "", 0, false
	}
	return c.id, position(c.asked, c.id), true
}

// Identity returns who the caller counts as by the present state of the request, "" for a caller
// without an identity.
func Identity(e *Engine, c *Caller) string { return identity(e, c) }

// KnownIdentity returns the identity by which a percentage took or would take the caller, without
// giving a new one: what Asked returns, or else Identity, or else the random identity in the
// caller's cookie, if the policy has such a cookie. It is "" for a caller without an identity.
func KnownIdentity(e *Engine, c *Caller) string {
	if c.id != "" {
		return c.id
	}
	id := identity(e, c)
	if id == "" && e.anonymous == anonymousCookie {
		return rememberedID(e, c)
	}
	return id
}
