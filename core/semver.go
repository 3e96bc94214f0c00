package core

import (
	"strings"

	"github.com/grayrelease/gray/core/problem"
)

// semver is a version as SemVer 2.0 orders it, its numbers kept as digits so that none overflows.
// Build metadata does not count.
type semver struct {
	numbers    [3]string
	prerelease []string
}

// parseSemver reads a version: `1.4.2`, `v1.4.2-rc.1+build`, `1.4` and `1`, where missing numbers
// are 0. It also returns how many numbers were written, which ^ and ~ need, and whether s is a
// version at all.
func parseSemver(s string) (semver, int, bool) {
	v := semver{numbers: [3]string{"0", "0", "0"}}
	written := 0
	s = strings.TrimPrefix(s, "v")
	if plus := strings.IndexByte(s, '+'); plus >= 0 {
		if !semverIdentifiers(s[plus+1:], false) {
			return v, 0, false
		}
		s = s[:plus]
	}
	if dash := strings.IndexByte(s, '-'); dash >= 0 {
		if !semverIdentifiers(s[dash+1:], true) {
			return v, 0, false
		}
		v.prerelease = strings.Split(s[dash+1:], ".")
		s = s[:dash]
	}
	for {
		number, rest, more := strings.Cut(s, ".")
		if written == 3 || !semverNumber(number) {
			return v, 0, false
		}
		v.numbers[written] = number
		written++
		if !more {
			return v, written, true
		}
		s = rest
	}
}

func semverNumber(s string) bool {
	return allDigits(s) && (s == "0" || s[0] != '0')
}

// semverIdentifiers reports whether s is a list of dot-separated identifiers; the numeric ones of a
// pre-release have no leading zeros.
func semverIdentifiers(s string, prerelease bool) bool {
	start := 0
	for i := 0; i <= len(s); i++ {
		if i < len(s) && s[i] != '.' {
			c := s[i]
			if !(c == '-' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z') {
				return false
			}
			continue
		}
		id := s[start:i]
		if id == "" || prerelease && allDigits(id) && !semverNumber(id) {
			return false
		}
		start = i + 1
	}
	return true
}

// compareSemver orders versions by SemVer 2.0, section 11.
func compareSemver(a, b semver) int {
	for i := 0; i < 3; i++ {
		if c := compareDigits(a.numbers[i], b.numbers[i]); c != 0 {
			return c
		}
	}
	if len(a.prerelease) == 0 || len(b.prerelease) == 0 {
		// A version without a pre-release comes after the same one with.
		return len(b.prerelease) - len(a.prerelease)
	}
	for i := 0; i < len(a.prerelease) && i < len(b.prerelease); i++ {
		if c := compareIdentifiers(a.prerelease[i], b.prerelease[i]); c != 0 {
			return c
		}
	}
	return len(a.prerelease) - len(b.prerelease)
}

func compareIdentifiers(a, b string) int {
	an, bn := allDigits(a), allDigits(b)
	switch {
	case an && bn:
		return compareDigits(a, b)
	case an:
		return -1
	case bn:
		return 1
	default:
		return strings.Compare(a, b)
	}
}

// semverBound is one comparison of a constraint: the version must compare with `to` as op says
// ("=", "!=", ">", ">=", "<", "<=").
type semverBound struct {
	op string
	to semver
}

// parseConstraint reads a list of comparisons that must all hold, separated by spaces: `>=2.3.0
// <3`, `^1.4`, `~2.1`, `1.2.3`. ^ and ~ become their two bounds. If it fails, it returns the byte
// where the bad comparison starts, and what is wrong with it.
func parseConstraint(s string) ([]semverBound, int, string) {
	var bounds []semverBound
	at := 0
	for at < len(s) {
		if s[at] == ' ' || s[at] == '\t' {
			at++
			continue
		}
		start := at
		for at < len(s) && strings.IndexByte("=!<>^~", s[at]) >= 0 {
			at++
		}
		op := s[start:at]
		for at < len(s) && (s[at] == ' ' || s[at] == '\t') {
			at++
		}
		end := at
		for end < len(s) && s[end] != ' ' && s[end] != '\t' {
			end++
		}
		v, written, ok := parseSemver(s[at:end])
		if !ok {
			return nil, start, problem.Quote(s[start:end]) + " is not a valid version (as in 1.4.2, 2.0.0-rc.1 or 2)"
		}
		switch op {
		case "", "=":
			bounds = append(bounds, semverBound{"=", v})
		case "!=", ">", ">=", "<", "<=":
			bounds = append(bounds, semverBound{op, v})
		case "^", "~":
			bounds = append(bounds, semverBound{">=", v}, semverBound{"<", semver{numbers: nextNumbers(v, written, op)}})
		default:
			return nil, start, "unknown comparison " + problem.Quote(op) + " (one of = != > >= < <= ^ ~)"
		}
		at = end
	}
	if len(bounds) == 0 {
		return nil, 0, "a version to compare with is required (as in >=2.3.0 <3)"
	}
	return bounds, 0, ""
}

// nextNumbers returns the first release that ^v (same leftmost number that is not 0) or ~v (same
// minor, or major if no minor is written) keeps out.
func nextNumbers(v semver, written int, op string) [3]string {
	keep := 1
	if op == "~" {
		if written > 1 {
			keep = 2
		}
	} else {
		for keep < written && v.numbers[keep-1] == "0" {
			keep++
		}
	}
	next := [3]string{"0", "0", "0"}
	for i := 0; i < keep; i++ {
		next[i] = v.numbers[i]
	}
	next[keep-1] = increment(next[keep-1])
	return next
}

// increment adds one to a whole number of any length.
func increment(s string) string {
	digits := []byte(s)
	for i := len(digits) - 1; i >= 0; i-- {
		if digits[i] != '9' {
			digits[i]++
			return string(digits)
		}
		digits[i] = '0'
	}
	return "1" + string(digits)
}

// satisfies reports whether s is a version within all bounds.
func satisfies(s string, bounds []semverBound) bool {
	v, _, ok := parseSemver(s)
	if !ok {
		return false
	}
	for i := range bounds {
		if !ordered(compareSemver(v, bounds[i].to), bounds[i].op) {
			return false
		}
	}
	return true
}

// ordered reports whether a comparison's result is what the operator asks for.
func ordered(c int, op string) bool {
	switch op {
	case "=":
		return c == 0
	case "!=":
		return c != 0
	case "<":
		return c < 0
	case "<=":
		return c <= 0
	case ">":
		return c > 0
	default: // ">="
		return c >= 0
	}
}
