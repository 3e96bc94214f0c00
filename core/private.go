package core

import (
	"net/http"
	"strings"
)

// keepPrivate is what a response starts with that gives the caller an identity.
const keepPrivate = "private"

// Headers that certain caches read instead of Cache-Control, and what they are told: RFC 9213 and
// its like by its name, and the older ones of Fastly and Varnish, Akamai, and nginx.
var cacheHeaders = map[string]string{
	"Cdn-Cache-Control": keepPrivate,
	"Surrogate-Control": "no-store",
	"Edge-Control":      "no-store",
	"X-Accel-Expires":   "0",
}

// startPrivate is for hosts that cannot call KeepPrivate: what the service says is added to it, and
// of both a cache goes by the stricter.
func startPrivate(response http.Header) {
	response.Add("Cache-Control", keepPrivate)
	for name, value := range cacheHeaders {
		response.Add(name, value)
	}
}

// KeepPrivate has shared caches not store a response, whatever it says: RFC 9111, section 3. A host
// calls it for a response to which Pass added a cookie, when the header is about to be written. A
// cache that stored it would give everybody the same identity.
//
// Pass says so already where nothing replaces the response's Cache-Control.
func KeepPrivate(response http.Header) {
	directives := []string{keepPrivate}
	for _, line := range response["Cache-Control"] {
		for _, directive := range splitDirectives(line) {
			name, _, _ := strings.Cut(directive, "=")
			switch strings.ToLower(strings.TrimSpace(name)) {
			case "", "private", "public", "s-maxage", "proxy-revalidate":
			default:
				directives = append(directives, directive)
			}
		}
	}
	response["Cache-Control"] = []string{strings.Join(directives, ", ")}
	for name := range response {
		if strings.HasSuffix(name, "-Cache-Control") || cacheHeaders[name] != "" {
			delete(response, name)
		}
	}
}

// splitDirectives splits a line of Cache-Control at commas that are outside of quotes.
func splitDirectives(line string) []string {
	var directives []string
	start, quoted := 0, false
	for i := 0; i <= len(line); i++ {
		if i == len(line) || line[i] == ',' && !quoted {
			directives = append(directives, strings.TrimSpace(line[start:i]))
			start = i + 1
			continue
		}
		switch line[i] {
		case '"':
			quoted = !quoted
		case '\\':
			if quoted && i+1 < len(line) {
				i++
			}
		}
	}
	return directives
}
