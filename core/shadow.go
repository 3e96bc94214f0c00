package core

import (
	"net/netip"
	"strings"
)

// Which rules can be reached is judged from the conditions alone, and on the safe side: a rule that
// is called unreachable is, but not each one that is unreachable is found.

// Bounds on what is compared: rules by pairs up to so many, and values of a condition.
const (
	maxCompared = 100
	maxValues   = 1000
)

// shadow returns the first rule that takes all callers of a later one, -1 if none does.
func (c *checker) shadow(i int) int {
	rules := c.engine.written
	late := rules[i]
	if late.percent == 0 && !late.isRamp {
		return -1 // it takes nobody for now, on purpose
	}
	for k := 0; k < i; k++ {
		early := rules[k]
		if len(rules) > maxCompared && len(early.conditions) > 0 || early.isRamp {
			continue
		}
		if takesShare(early, late) && impliesAll(late.conditions, early.conditions) {
			return k
		}
	}
	return -1
}

// takesShare reports whether a rule's percentage takes everybody whom another's takes.
func takesShare(early, late *rule) bool {
	if early.split != nil {
		return false
	}
	if early.percent == 100 {
		return true
	}
	return early.bucket != nil && late.bucket != nil && early.salt == late.salt && early.percent >= late.percent
}

// impliesAll reports whether all of one list of conditions hold whenever all of another do.
func impliesAll(given, wanted []*condition) bool {
	for _, want := range wanted {
		found := false
		for _, have := range given {
			found = found || implies(have, want)
		}
		if !found {
			return false
		}
	}
	return true
}

// conflict returns two conditions of a rule that never hold together.
func conflict(r *rule) (first, second *condition) {
	for i, a := range r.conditions {
		for _, b := range r.conditions[:i] {
			opposite := &condition{}
			*opposite = *b
			opposite.negated = !b.negated
			if implies(a, opposite) {
				return b, a
			}
		}
	}
	return nil, nil
}

// implies reports whether b holds whenever a does.
func implies(a, b *condition) bool {
	if a.attribute.kind != b.attribute.kind || a.attribute.key != b.attribute.key {
		return false
	}
	switch {
	case a.negated && b.negated:
		return covers(a, b)
	case a.negated:
		return false
	case b.negated:
		return isSingle(a.attribute.kind) && excludes(a, b)
	}
	return covers(b, a)
}

// isSingle reports whether an attribute has one value at most.
func isSingle(kind attributeKind) bool {
	switch kind {
	case fromPath, fromHost, fromMethod, fromIdentity, fromAuthority, fromPlaceholder:
		return true
	}
	return false
}

// covers reports whether each value that satisfies the operator of narrow satisfies that of wide,
// before any `not`.
func covers(wide, narrow *condition) bool {
	switch {
	case wide.op == "exists":
		return true
	case wide.nets != nil || narrow.nets != nil:
		return wide.nets != nil && narrow.nets != nil && coversNetworks(wide.nets, narrow.nets)
	case narrow.set != nil:
		return holdsForAll(wide, narrow.set, true)
	case wide.op == "suffix" && narrow.op == "suffix":
		return strings.HasSuffix(narrow.operand, wide.operand)
	case wide.op == "prefix" && narrow.op == "prefix":
		return strings.HasPrefix(narrow.operand, wide.operand)
	case wide.op == "contains" && (narrow.op == "contains" || narrow.op == "prefix" || narrow.op == "suffix"):
		return strings.Contains(narrow.operand, wide.operand)
	case wide.op == "matches" && narrow.op == "matches":
		return wide.pattern.String() == narrow.pattern.String()
	}
	return wide.text == narrow.text
}

// excludes reports whether no value satisfies the operators of both.
func excludes(a, b *condition) bool {
	if a.set != nil {
		return holdsForAll(b, a.set, false)
	}
	return b.set != nil && holdsForAll(a, b.set, false)
}

// holdsForAll reports whether the operator has the same answer for all values.
func holdsForAll(c *condition, values map[string]bool, answer bool) bool {
	if len(values) > maxValues || c.nets != nil {
		return false
	}
	for value := range values {
		if c.holdsFor(value) != answer {
			return false
		}
	}
	return true
}

func coversNetworks(wide, narrow *networks) bool {
	if len(narrow.prefixes) > maxValues {
		return false
	}
	for p := range narrow.prefixes {
		if !coversPrefix(wide, p) {
			return false
		}
	}
	return true
}

func coversPrefix(wide *networks, p netip.Prefix) bool {
	for bits := 0; bits <= p.Bits(); bits++ {
		if larger, err := p.Addr().Prefix(bits); err == nil && wide.prefixes[larger] {
			return true
		}
	}
	return false
}
