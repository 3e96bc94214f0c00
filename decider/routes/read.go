package routes

import (
	"fmt"
	"math/big"
	"slices"
	"strconv"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/problem"
)

// Given is what was read of the routes of a mesh or a gateway.
type Given struct {
	Service string
	// Stable is the version served when no rule matches. Default: the version with the largest
	// weight in the route that matches everything.
	Stable string
	// Versions are all that there are.
	Versions []string
	Routes   []GivenRoute
	// Missing says what requests get that no route matches.
	Missing string
}

// GivenRoute is a route that was read.
type GivenRoute struct {
	Path string // in the document, for findings
	Name string
	// Matches are alternatives. None match every request.
	Matches []GivenMatch
	Shares  []Share
}

// GivenMatch is one alternative of a route.
type GivenMatch struct {
	Path  string
	Match *Match
	// Refused says why the match cannot be a rule, "" if it can.
	Refused string
}

// Finding is a part of a document that a policy does not say.
type Finding struct {
	// Path of the part, such as http[0].match[1].port.
	Path string `json:"path"`
	// Message says what became of it.
	Message string `json:"message"`
	// LeftOut reports that the rule was left out. Who it is for gets another version for that.
	LeftOut bool `json:"left_out,omitempty"`
}

// String returns the finding as people read it.
func (f Finding) String() string { return f.Path + ": " + f.Message }

// reader makes a policy of routes.
type reader struct {
	given    *Given
	last     int // the route that matches everything, -1 if none does
	policy   *core.Policy
	findings []Finding
	names    map[string]bool
}

// Read makes a policy of routes, and says what of them it does not say.
func Read(g *Given) (*core.Policy, []Finding, error) {
	r := &reader{given: g, names: map[string]bool{}, policy: &core.Policy{
		Service: g.Service, Stable: g.Stable, Versions: map[string]core.Version{}}}
	for _, version := range g.Versions {
		r.policy.Versions[version] = core.Version{}
	}
	r.last = slices.IndexFunc(g.Routes, isForAll)
	if err := r.stable(); err != nil {
		return nil, nil, err
	}
	for i := range g.Routes {
		if r.last >= 0 && i > r.last {
			r.find(g.Routes[i].Path, "is never reached, since a route before it matches every request", false)
			continue
		}
		r.route(i)
	}
	if r.last < 0 {
		r.find("", "requests that no route matches get "+r.policy.Stable+" from gray, and "+g.Missing, false)
	}
	if _, err := core.New(r.policy); err != nil {
		return nil, nil, fmt.Errorf("what was read is not a valid policy:\n%w", err)
	}
	return r.policy, r.findings, nil
}

func (r *reader) find(path, message string, leftOut bool) {
	r.findings = append(r.findings, Finding{path, message, leftOut})
}

func isForAll(route GivenRoute) bool {
	for _, m := range route.Matches {
		if m.Refused == "" && m.Match.IsAny() {
			return true
		}
	}
	return len(route.Matches) == 0
}

// stable chooses the stable version.
func (r *reader) stable() error {
	if r.policy.Stable == "" && r.last >= 0 {
		var most Share
		for _, share := range r.given.Routes[r.last].Shares {
			if most.Version == "" || share.Weight > most.Weight {
				most = share
			}
		}
		r.policy.Stable = most.Version
	}
	if r.policy.Stable == "" {
		return fmt.Errorf("no route with versions matches every request: say which version is stable")
	}
	if _, known := r.policy.Versions[r.policy.Stable]; !known {
		return fmt.Errorf("no route leads to the stable version %s", problem.Quote(r.policy.Stable))
	}
	return nil
}

// route makes the rules of a route.
func (r *reader) route(i int) {
	route := &r.given.Routes[i]
	if len(route.Shares) == 0 {
		return // what it does instead is noted
	}
	matches := route.Matches
	if isForAll(*route) {
		matches = []GivenMatch{{Path: route.Path, Match: &Match{}}}
	}
	for _, m := range matches {
		if m.Refused != "" {
			r.find(m.Path, m.Refused, true)
			continue
		}
		lines, lost, reason := Lines(m.Match)
		if reason != "" {
			r.find(m.Path, reason, true)
			continue
		}
		for _, text := range lost {
			r.find(m.Path, text, false)
		}
		r.rules(i, m.Match, lines)
	}
}

// rules makes the rule of a match, and a second one if it has weights: in gray, callers outside of
// a percentage are for the rules after it.
func (r *reader) rules(i int, m *Match, lines []string) {
	route := &r.given.Routes[i]
	rule := core.Rule{When: lines}
	percents, isRounded := percentsOf(route.Shares, r.policy.Stable)
	if isRounded {
		r.find(route.Path, "the weights are rounded to a millionth of a percent", false)
	}
	var total float64
	var canaries []string
	for _, share := range route.Shares {
		if share.Version != r.policy.Stable && !slices.Contains(canaries, share.Version) {
			canaries = append(canaries, share.Version)
			total += percents[share.Version]
		}
	}
	isStableOnly := len(canaries) == 0
	switch {
	case isStableOnly && m.IsAny():
		return // that is what no rule is
	case isStableOnly:
		rule.Version = r.policy.Stable
	case len(canaries) == 1:
		rule.Version = canaries[0]
		if percent := percents[canaries[0]]; percent != 100 {
			rule.Percent = &percent
		}
	default:
		rule.Split = percents
	}
	if len(route.Shares) > 1 && !isStableOnly {
		r.find(route.Path, "a weight is drawn for each request; a percentage keeps callers, by `identity`", false)
	}
	r.add(route.Name, rule)
	if !isStableOnly && (rule.Percent != nil || rule.Split != nil && total < 100) && r.isFollowed(i, m) {
		name := route.Name
		if name != "" {
			name += " (rest)"
		}
		r.add(name, core.Rule{When: lines, Version: r.policy.Stable})
	}
}

// add adds a rule, with the name of its route if it can have that.
func (r *reader) add(name string, rule core.Rule) {
	position := "rule-" + strconv.Itoa(len(r.policy.Rules)+1)
	if len(name) > 100 || !isPlain(name) {
		name = ""
	}
	for n, given := 2, name; name != "" && r.names[name]; n++ {
		name = given + "-" + strconv.Itoa(n)
	}
	if name != "" && name != position {
		rule.Name = name
	}
	if name == "" {
		name = position
	}
	r.names[name] = true
	r.policy.Rules = append(r.policy.Rules, rule)
}

func isPlain(name string) bool {
	for _, c := range name {
		if c < ' ' || c == 0x7f || c == '\uFFFD' {
			return false
		}
	}
	return true
}

// isFollowed reports whether a later route may lead requests of a match to another version than the
// stable one.
func (r *reader) isFollowed(i int, m *Match) bool {
	end := len(r.given.Routes)
	if r.last >= 0 {
		end = r.last + 1
	}
	for k := i + 1; k < end; k++ {
		later := r.given.Routes[k]
		isOther := slices.ContainsFunc(later.Shares, func(s Share) bool {
			return s.Version != r.policy.Stable
		})
		if !isOther {
			if isForAll(later) {
				return false
			}
			continue
		}
		if len(later.Matches) == 0 {
			return true
		}
		for _, other := range later.Matches {
			if other.Refused == "" {
				if _, how := and(m, other.Match); how != never {
					return true
				}
			}
		}
	}
	return false
}

// percentsOf returns the percentage of each version but the stable one, and whether they had to be
// rounded.
func percentsOf(shares []Share, stable string) (map[string]float64, bool) {
	sums := map[string]uint64{}
	var order []string
	var total uint64
	for _, share := range shares {
		if _, seen := sums[share.Version]; !seen {
			order = append(order, share.Version)
		}
		sums[share.Version] += uint64(share.Weight)
		total += uint64(share.Weight)
	}
	if total == 0 && len(order) == 1 {
		return percentsOf([]Share{{order[0], 1}}, stable)
	}
	const unit = 1_000_000 // of a percent
	exact := make([]*big.Rat, len(order))
	isRounded := false
	for i, version := range order {
		exact[i] = new(big.Rat)
		if total > 0 {
			exact[i].SetFrac(new(big.Int).SetUint64(sums[version]), new(big.Int).SetUint64(total))
		}
		isRounded = isRounded || !new(big.Rat).Mul(exact[i], big.NewRat(100*unit, 1)).IsInt()
	}
	if total == 0 {
		return map[string]float64{}, false
	}
	percents := map[string]float64{}
	for i, whole := range inWholes(exact, 100*unit) {
		if order[i] != stable {
			percents[order[i]] = float64(whole) / unit
		}
	}
	return percents, isRounded
}
