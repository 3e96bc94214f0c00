package gatewayapi

import (
	"cmp"
	"slices"

	"github.com/grayrelease/gray/decider/routes"
)

// Bounds of an HTTPRoute.
const (
	maxRules   = 16
	maxMatches = 64  // of a rule
	maxAll     = 128 // of all rules
)

// rank is what the Gateway API goes by to choose among the matches that hold of a request: a whole
// path is before the beginnings of paths, and the longer one before the shorter; then a method;
// then the number of headers, and of query parameters. Only then comes the order of the rules.
func rank(m *routes.Match) []int {
	r := []int{0, 1, 0, len(m.Headers), len(m.Query)} // without a path it is that below /
	if m.Path != nil {
		r[1] = len(m.Path.Value)
		if m.Path.Kind == routes.Exact {
			r[0] = 1
		}
	}
	if m.Method != nil {
		r[2] = 1
	}
	return r
}

func compareRanks(a, b *routes.Match) int { return slices.Compare(rank(a), rank(b)) }

// entry is a match of a rule.
type entry struct {
	rule  int
	match *routes.Match
}

// inOrder returns matches by which the first of some rules decides, as it does in a policy,
// although the Gateway API prefers narrower matches. Where a later match would be preferred to an
// earlier one, the earlier rule gets a further match for the requests of both, which is narrower
// than either. The first match of each rule is its own. It reports what keeps the rules from having
// such matches.
func inOrder(given []*routes.Match) ([][]*routes.Match, string) {
	var all []entry
	for i, m := range given {
		all = append(all, entry{i, m})
	}
	isNew := func(rule int, m *routes.Match) bool {
		return !slices.ContainsFunc(all, func(e entry) bool { return e.rule == rule && e.match.Equal(m) })
	}
	if len(given) > maxRules {
		return nil, "an HTTPRoute has 16 rules at most"
	}
	for i := 0; i < len(all); i++ {
		for k := 0; k < len(all); k++ {
			early, late := all[i], all[k]
			if early.rule >= late.rule {
				early, late = late, early
			}
			if early.rule == late.rule || compareRanks(late.match, early.match) <= 0 {
				continue
			}
			both, isPossible, err := routes.And(early.match, late.match)
			if err != nil {
				return nil, "an HTTPRoute prefers narrower matches, and " + err.Error()
			}
			if isPossible && isNew(early.rule, both) {
				all = append(all, entry{early.rule, both})
			}
			if len(all) >= maxAll {
				return nil, "an HTTPRoute prefers narrower matches, and it would take more than 128 of them"
			}
		}
	}
	matches := make([][]*routes.Match, len(given))
	slices.SortStableFunc(all, func(a, b entry) int { return cmp.Compare(a.rule, b.rule) })
	for _, e := range all {
		matches[e.rule] = append(matches[e.rule], e.match)
	}
	for _, of := range matches {
		if len(of) > maxMatches {
			return nil, "an HTTPRoute prefers narrower matches, and a rule has 64 of them at most"
		}
		if slices.ContainsFunc(of, func(m *routes.Match) bool { return len(m.Headers) > maxRules }) {
			return nil, "a match of an HTTPRoute has 16 headers at most"
		}
	}
	return matches, ""
}
