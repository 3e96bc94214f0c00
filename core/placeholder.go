package core

import (
	"strings"

	"github.com/grayrelease/gray/core/problem"
)

// Host is what a gateway offers to policies beyond the requests themselves. The zero value offers
// nothing.
type Host struct {
	// Placeholders says that the gateway reads placeholders, by Caller.Placeholder.
	Placeholders bool
}

// isPlaceholder reports whether a word is a placeholder of the host, such as {http.auth.user.id}.
func isPlaceholder(w word) bool {
	return !w.quoted && len(w.text) > 2 && w.text[0] == '{' && strings.IndexByte(w.text, '}') == len(w.text)-1
}

// setPlaceholder makes an attribute of a placeholder.
func setPlaceholder(a *attribute, text string) {
	a.kind = fromPlaceholder
	a.key = text[1 : len(text)-1]
}

// sameAs are placeholders that attributes of their own read, with and without a key.
var sameAs = []struct{ placeholder, attribute string }{
	{"http.request.header.", "header "},
	{"http.request.cookie.", "cookie "},
	{"http.request.uri.query.", "query "},
	{"http.request.uri.path", "path"},
	{"http.request.host", "host"},
	{"http.request.method", "method"},
	{"http.vars.client_ip", "ip"},
}

// checkPlaceholder accepts a placeholder that says something about the request, if the host reads
// such. One that an attribute reads is refused: the attribute is read everywhere, and its values
// are not believed where a client may have made them up.
func checkPlaceholder(e *Engine, a *attribute) string {
	text := problem.Quote(a.text)
	for _, same := range sameAs {
		rest := strings.TrimPrefix(a.key, same.placeholder)
		isKeyed := strings.HasSuffix(same.placeholder, ".")
		if rest != a.key && (rest != "") == isKeyed {
			return text + " is an attribute of its own: write " + same.attribute + rest
		}
	}
	switch first, _, _ := strings.Cut(a.key, "."); {
	case !e.host.Placeholders:
		return text + " is a placeholder of Caddy, which no other gateway can read: " +
			"use header, cookie, claim or another attribute that all have"
	case first == "env" || first == "file" || first == "system" || first == "time":
		return text + " says nothing about the request"
	case strings.HasPrefix(a.key, "http.request.body"):
		return text + " would have the gateway read the whole body before it decides"
	}
	return ""
}

// heldValue is the value of a placeholder as it was read.
type heldValue struct {
	text    string
	isThere bool
}

// placeholder reads a placeholder, once for each caller.
func placeholder(c *Caller, name string) (string, bool) {
	v, isKnown := c.held[name]
	if !isKnown && c.Placeholder != nil {
		v.text, v.isThere = c.Placeholder(c.Request, name)
		if c.held == nil {
			c.held = map[string]heldValue{}
		}
		c.held[name] = v
	}
	return v.text, v.isThere && v.text != ""
}
