package core

import (
	"net/http"
	"strings"
)

// keepPrivate is what a response starts with that gives the caller an identity.
const keepPrivate = "private"

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
	// What speaks to certain caches only: RFC 9213, and older headers like it.
	for name := range response {
		if strings.HasSuffix(name, "-Cache-Control") || name == "Surrogate-Control" || name == "X-Accel-Expires" {
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
