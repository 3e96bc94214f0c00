package gatewayapi

import (
	"net/http"
	"regexp"
	"slices"
	"strings"

	v1 "sigs.k8s.io/gateway-api/apis/v1"
)

// How the Gateway API says that a request is routed, as far as tests need it. The tests with Istio
// as the gateway are in e2e/istio.

// ruleOf returns the rule for a request, nil if there is none.
func ruleOf(spec *v1.HTTPRouteSpec, r *http.Request) *v1.HTTPRouteRule {
	var best *v1.HTTPRouteRule
	var bestRank []int
	for i := range spec.Rules {
		for _, match := range spec.Rules[i].Matches {
			if rank := rankFor(match); matches(match, r) && (best == nil || slices.Compare(rank, bestRank) > 0) {
				best, bestRank = &spec.Rules[i], rank
			}
		}
	}
	return best
}

func rankFor(m v1.HTTPRouteMatch) []int {
	rank := []int{0, len(*m.Path.Value), 0, len(m.Headers)}
	if *m.Path.Type == v1.PathMatchExact {
		rank[0] = 1
	}
	if m.Method != nil {
		rank[2] = 1
	}
	return rank
}

func matches(m v1.HTTPRouteMatch, r *http.Request) bool {
	path, value := r.URL.EscapedPath(), *m.Path.Value
	isUnder := path == value || strings.HasPrefix(path, strings.TrimSuffix(value, "/")+"/")
	if *m.Path.Type == v1.PathMatchExact && path != value || !isUnder || m.Method != nil && string(*m.Method) != r.Method {
		return false
	}
	for _, header := range m.Headers {
		lines := r.Header.Values(string(header.Name))
		got := strings.Join(lines, ",")
		if len(lines) == 0 || *header.Type == v1.HeaderMatchExact && got != header.Value ||
			*header.Type == v1.HeaderMatchRegularExpression &&
				!regexp.MustCompile("^(?:"+header.Value+")$").MatchString(got) {
			return false
		}
	}
	return true
}
