package istio

import (
	"net/http"
	"regexp"
	"strings"

	networking "istio.io/api/networking/v1"
)

// How Envoy routes by what Istio makes of a VirtualService, as far as tests need it. The tests with
// the real ones are in e2e/istio.

// routeOf returns the first route for a request, nil if there is none.
func routeOf(service *networking.VirtualService, r *http.Request) *networking.HTTPRoute {
	for _, route := range service.GetHttp() {
		if len(route.GetMatch()) == 0 {
			return route
		}
		for _, match := range route.GetMatch() {
			if matches(match, r) {
				return route
			}
		}
	}
	return nil
}

func matches(m *networking.HTTPMatchRequest, r *http.Request) bool {
	path := r.URL.EscapedPath()
	if m.GetUri() != nil && !holds(m.GetUri(), path) || m.GetMethod() != nil && !holds(m.GetMethod(), r.Method) ||
		m.GetAuthority() != nil && !holds(m.GetAuthority(), r.Host) {
		return false
	}
	for name, text := range m.GetHeaders() {
		value, exists := headerOf(r, name)
		if !exists || !holds(text, value) {
			return false
		}
	}
	for name, text := range m.GetWithoutHeaders() {
		value, exists := headerOf(r, name)
		if isPresence := text.GetMatchType() == nil || text.GetRegex() == "*"; isPresence && exists {
			return false
		} else if !isPresence && holds(text, value) { // an absent one counts as empty
			return false
		}
	}
	return true
}

func headerOf(r *http.Request, name string) (string, bool) {
	switch name {
	case ":path":
		return r.URL.RequestURI(), true
	case ":method":
		return r.Method, true
	case ":authority":
		return r.Host, true
	}
	lines := r.Header.Values(name)
	return strings.Join(lines, ","), len(lines) > 0
}

func holds(text *networking.StringMatch, value string) bool {
	switch t := text.GetMatchType().(type) {
	case *networking.StringMatch_Exact:
		return value == t.Exact
	case *networking.StringMatch_Prefix:
		return strings.HasPrefix(value, t.Prefix)
	case *networking.StringMatch_Regex:
		return t.Regex == "*" || regexp.MustCompile("^(?:"+t.Regex+")$").MatchString(value)
	}
	return true
}
