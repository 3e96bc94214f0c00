package weights

import (
	"fmt"
	"slices"
	"strings"

	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/decider/manifest"
	"github.com/grayrelease/gray/decider/routes"
)

// move sets the weights in a list of routes, and reports whether that changed any. Rules are the
// names of rules by those of routes, where they differ.
func (f form) move(list []any, rules map[string]string, t *Target, w Wanted) (bool, error) {
	name := t.Route
	if name == "" {
		name = w.Rule
	}
	var given []string // the rules of each route
	for _, item := range list {
		route, _ := item.(map[string]any)
		has, _ := route["name"].(string)
		if rule, renamed := rules[has]; renamed {
			has = rule
		}
		if has != name && slices.Contains(strings.Split(has, ", "), name) {
			return false, fmt.Errorf("%s: route %s draws for several rules: only `gray istio export` can say its weights",
				t, problem.Quote(has))
		}
		given = append(given, has)
	}
	if !slices.Contains(given, name) {
		name = manifest.LabelName(name) // which is all that the Gateway API takes
	}
	if name == "" || !slices.Contains(given, name) {
		return false, fmt.Errorf("%s has no route with the name %s", t, problem.Quote(name))
	}
	changed := false
	for i, has := range given {
		if has != name {
			continue
		}
		moved, err := f.moveRoute(list[i].(map[string]any), t, w)
		if err != nil {
			return false, fmt.Errorf("%s: %s[%d]: %w", t, f.list, i, err)
		}
		changed = changed || moved
	}
	return changed, nil
}

// moveRoute sets the weights of a route that leads to both versions.
func (f form) moveRoute(route map[string]any, t *Target, w Wanted) (bool, error) {
	destinations, _ := route[f.backends].([]any)
	shares := routes.SharesOf(w.Percent, w.Canary, w.Stable)
	changed := false
	var given []string
	for _, item := range destinations {
		destination, _ := item.(map[string]any)
		name := f.version(destination)
		at := slices.IndexFunc(shares, func(s routes.Share) bool { return t.isVersion(name, s.Version) })
		if at < 0 || slices.Contains(given, shares[at].Version) {
			return false, fmt.Errorf("destination %s is not the only one of %s or %s", problem.Quote(name),
				problem.Quote(w.Canary), problem.Quote(w.Stable))
		}
		given = append(given, shares[at].Version)
		wanted := int64(shares[at].Weight)
		if f.weightOf(destination) != wanted {
			destination["weight"] = wanted
			changed = true
		}
	}
	if len(given) != 2 {
		return false, fmt.Errorf("the route does not lead to both of %s and %s", problem.Quote(w.Canary),
			problem.Quote(w.Stable))
	}
	return changed, nil
}

func (f form) weightOf(destination map[string]any) int64 {
	switch weight := destination["weight"].(type) {
	case int64:
		return weight
	case float64:
		return int64(weight)
	}
	return f.weight
}

// isVersion reports whether a destination is that of a version.
func (t *Target) isVersion(name, version string) bool {
	if given, is := t.Destinations[version]; is {
		return name == given
	}
	for _, other := range t.Destinations {
		if name == other {
			return false
		}
	}
	label := manifest.LabelName(version)
	return name == version || label != "" && (name == label || strings.HasSuffix(name, "-"+label))
}

// subsetOf is the subset that a destination of Istio names, or its host's first label.
func subsetOf(destination map[string]any) string {
	to, _ := destination["destination"].(map[string]any)
	if subset, _ := to["subset"].(string); subset != "" {
		return subset
	}
	host, _ := to["host"].(string)
	label, _, _ := strings.Cut(host, ".")
	return label
}

// serviceOf is the service that a backend of the Gateway API names.
func serviceOf(backend map[string]any) string {
	name, _ := backend["name"].(string)
	return name
}
