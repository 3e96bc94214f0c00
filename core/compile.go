package core

import (
	"sort"
)

// step is one question to a request, and where each answer leads; the one without a question is
// where the rules end, in a decision. All rules of a policy become one such graph, in which a
// request goes forward only.
type step struct {
	kind     stepKind
	key      string           // header, canonical
	exits    map[string]*step // by the header's value
	many     *step            // for a header that is there several times
	cond     *condition
	bucket   *bucket
	split    *split
	yes      *step
	no       *step // also for a header that is absent, or has a value without an exit
	decision *Decision
}

type stepKind int

const (
	stepDecision  stepKind = iota
	stepHeader             // which value has the header?
	stepCondition          // does the condition hold?
	stepBucket             // is the caller in the bucket?
	stepSplit              // in which range of the split is the caller?
)

// compile makes the graph of an engine's rules.
//
// Consecutive rules that each want certain values of the same header become one step with an exit
// for each value, so that ten thousand of them cost what one costs.
func compile(e *Engine) *step {
	if e.force != "" {
		return &step{decision: newDecision(e.force, "", e.stable.Version)}
	}
	end := &step{decision: e.stable}
	var rules []*rule
	for _, r := range e.rules {
		if r.percent > 0 && !r.withdrawn { // a rule that takes nobody needs no steps
			rules = append(rules, r)
		}
	}
	next := end
	for last := len(rules); last > 0; {
		first, key := run(rules[:last])
		if key == "" {
			next = oneByOne(rules[first:last], next)
		} else {
			next = indexed(rules[first:last], key, next)
		}
		last = first
	}
	return next
}

// run finds where the longest run of rules that ends with the last one begins, and the header that
// all its rules test for certain values; a rule that tests none is a run of its own, without a
// header.
func run(rules []*rule) (int, string) {
	first, key := len(rules)-1, ""
	for _, c := range rules[first].conditions {
		if !isExact(c) {
			continue
		}
		i := len(rules) - 1
		for i > 0 && exactOn(rules[i-1], c.attribute.key) != nil {
			i--
		}
		if key == "" || i < first {
			first, key = i, c.attribute.key
		}
	}
	return first, key
}

// isExact reports whether a condition wants certain values of a header. A named list keeps its one
// shared set instead of an exit for each of its values.
func isExact(c *condition) bool {
	return c.set != nil && !c.list && !c.negated && c.attribute.kind == fromHeader && !c.attribute.vouched
}

func exactOn(r *rule, key string) *condition {
	for _, c := range r.conditions {
		if isExact(c) && c.attribute.key == key {
			return c
		}
	}
	return nil
}

// indexed makes the step of a run of rules on one header.
func indexed(rules []*rule, key string, next *step) *step {
	s := &step{kind: stepHeader, key: key, exits: map[string]*step{}, no: next, many: oneByOne(rules, next)}
	for i := len(rules) - 1; i >= 0; i-- {
		known := exactOn(rules[i], key)
		shared := map[*step]*step{} // values after which the same steps follow share this rule's too
		for v := range known.set {
			after := s.exits[v]
			if after == nil {
				after = next
			}
			if shared[after] == nil {
				shared[after] = steps(rules[i], known, after)
			}
			s.exits[v] = shared[after]
		}
	}
	return s
}

func oneByOne(rules []*rule, next *step) *step {
	for i := len(rules) - 1; i >= 0; i-- {
		next = steps(rules[i], nil, next)
	}
	return next
}

// steps makes the steps of one rule but for a condition already known to hold: the cheap questions
// first, the bucket last.
func steps(r *rule, known *condition, no *step) *step {
	s := &step{decision: r.decision}
	if r.bucket != nil {
		s = &step{kind: stepBucket, bucket: r.bucket, yes: s, no: no}
	}
	if r.split != nil {
		s = &step{kind: stepSplit, split: r.split, no: no}
	}
	dearestFirst := make([]*condition, 0, len(r.conditions))
	for _, c := range r.conditions {
		if c != known {
			dearestFirst = append(dearestFirst, c)
		}
	}
	sort.SliceStable(dearestFirst, func(i, j int) bool { return cost(dearestFirst[i]) > cost(dearestFirst[j]) })
	for _, c := range dearestFirst {
		s = conditionStep(c, s, no)
	}
	return s
}

func conditionStep(c *condition, yes, no *step) *step {
	if c.negated {
		yes, no = no, yes
	}
	return &step{kind: stepCondition, cond: c, yes: yes, no: no}
}

// cost ranks conditions: 0 for those that look something up, more for those that read or compute.
func cost(c *condition) int {
	read := attributes[c.attribute.kind].cost
	if read == 0 && (c.op == "matches" || c.op == "semver") {
		return 1
	}
	return read
}
