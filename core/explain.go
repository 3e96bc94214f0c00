package core

import (
	"strconv"

	"github.com/grayrelease/gray/core/problem"
)

// Explanation is a decision with its reasons, for people: what `explain` answers and a debug log shows.
type Explanation struct {
	Service string `json:"service"`
	Version string `json:"version"`
	// Rule that decided; empty when none did.
	Rule string `json:"rule,omitempty"`
	// Reason in one line: why this version.
	Reason string `json:"reason"`
	// Identity is who the caller counts as, and IdentitySource the source it came from: one of the policy's identities, or
	// "anonymous" for a random one. Both are empty for a caller without identity.
	Identity       string `json:"identity,omitempty"`
	IdentitySource string `json:"identity_source,omitempty"`
	// Claims says how the caller's token fared, such as "none", "expired" or "ok"; empty where the policy has no `jwt`.
	Claims string `json:"claims,omitempty"`
	// Rules tells of each rule up to the one that decided.
	Rules []RuleTrace `json:"rules,omitempty"`
}

// RuleTrace tells how one rule fared.
type RuleTrace struct {
	Rule    string `json:"rule"`
	Version string `json:"version"`
	Matched bool   `json:"matched"`
	// Failed is the first condition, as written, that did not hold.
	Failed string `json:"failed,omitempty"`
	// Withdrawn reports that the rule would have matched, if an overlay had not withdrawn its version.
	Withdrawn bool `json:"withdrawn,omitempty"`
	// Bucket is how the caller stands to the percentage, where the rule has one and its conditions hold.
	Bucket *BucketTrace `json:"bucket,omitempty"`
}

// BucketTrace tells where a caller stands between 0 and 2^64, and under what position callers are taken.
type BucketTrace struct {
	Percent float64 `json:"percent"`
	Salt    string  `json:"salt,omitempty"`
	// Position and Threshold are decimal numbers in strings, since JSON readers round integers of 64 bits. Empty at 0 and 100
	// percent, where no position counts, and for a caller without identity.
	Position  string `json:"position,omitempty"`
	Threshold string `json:"threshold,omitempty"`
}

// Explain decides as Decide does and tells why. Unlike Decide it goes through the rules as they are written, condition by
// condition, and allocates what it tells. It reads the request as it is now: before Pass, or anybody else, has changed it. Reason and
// Asked tell of a decision afterwards.
//
// What it tells holds the caller's own words: it is for those who may read requests.
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
	for _, r := range e.rules {
		trace := explainRule(e, c, r)
		x.Rules = append(x.Rules, trace)
		if trace.Matched {
			x.Version, x.Rule = r.decision.Version, r.name
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
	taken := r.percent == 100
	if !taken {
		trace.Bucket, taken = explainBucket(e, c, r)
	}
	trace.Matched, trace.Withdrawn = taken && !r.withdrawn, taken && r.withdrawn
	return trace
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

// Reason says in a line why a decision of the engine's is what it is: which rule matched, or which part of the overlay
// decided.
func Reason(e *Engine, d *Decision) string { return reason(e, d.Rule) }

func reason(e *Engine, rule string) string {
	if e.force != "" {
		return e.forceReason
	}
	if rule == "" {
		return "no rule matched: the stable version"
	}
	matched := "rule " + problem.Quote(rule) + " matched"
	if _, changed := e.percent[rule]; changed && e.changeReason != "" {
		return matched + " (" + e.changeReason + ")"
	}
	return matched
}

// Asked tells who the caller counted as in the last percentage that Decide asked about, and where that identity stands between 0 and
// 2^64. It is false when none was asked about, or the caller had no identity.
func Asked(c *Caller) (id string, at uint64, ok bool) {
	if c.asked == nil || c.id == "" {
		return "", 0, false
	}
	return c.id, position(c.asked, c.id), true
}

// Identity is who the caller counts as by the request as it is now, or "".
func Identity(e *Engine, c *Caller) string { return identity(e, c) }
