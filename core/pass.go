package core

import (
	"net/http"
	"strings"
)

// Pass tells everybody who comes after about a decision. The request's header says the version, whatever the client sent under
// its name; its W3C baggage says so to services further in, the client's other members kept as they are. The response gains the
// cookie of a caller who was given an identity.
func Pass(e *Engine, c *Caller, response http.Header, d *Decision) {
	h := c.Request.Header
	c.passed = [2]string{d.Version, d.baggage[0]}
	h[e.header] = c.passed[:1:1]
	if h["Baggage"] == nil {
		h["Baggage"] = c.passed[1:]
	} else {
		addBaggage(h, d.baggage[0])
	}
	if options := h["Connection"]; options != nil && !(len(options) == 1 && strings.EqualFold(options[0], "keep-alive")) {
		keepEndToEnd(h, e.header)
	}
	if c.isNew {
		setCookie(e, c, response)
	}
}

// Repass corrects what Pass said of a request whose version is not the one that serves it in the end, as when no upstream of it is usable:
// whoever gets the request is told of the version now, where the engine's header and the baggage have told of other versions. What says
// something else by now was changed on purpose by somebody in between, and stays.
func Repass(e *Engine, r *http.Request, header, baggage, now string) {
	h := r.Header
	if values := h[e.header]; len(values) == 1 && values[0] == header {
		h[e.header] = []string{now}
	}
	own := baggageKey + "=" + baggage
	var at cursor
	for {
		member, ok := nextMember(h["Baggage"], &at)
		if !ok {
			return
		}
		if member == own {
			addBaggage(h, baggageKey+"="+now)
			return
		}
	}
}

// PassNothing takes out of a request what only decisions say, for as long as there is no policy: what the client claims of them must
// not reach anybody who would believe it.
func PassNothing(r *http.Request) {
	h := r.Header
	delete(h, defaultHeader)
	lines := h["Baggage"]
	if lines == nil {
		return
	}
	kept := foreignMembers(lines, 0)
	if len(kept) == 0 {
		delete(h, "Baggage")
		return
	}
	h["Baggage"] = []string{strings.Join(kept, ",")}
}

// keepEndToEnd takes the decision's headers out of the request's Connection header. Proxies drop what is named there
// (RFC 9110, section 7.6.1), so a client that names them would hide the decision from the service.
func keepEndToEnd(h http.Header, name string) {
	lines := make([]string, 0, len(h["Connection"]))
	for _, line := range h["Connection"] {
		var kept []string
		for _, option := range strings.Split(line, ",") {
			option = strings.Trim(option, " \t")
			if !strings.EqualFold(option, name) && !strings.EqualFold(option, "Baggage") {
				kept = append(kept, option)
			}
		}
		lines = append(lines, strings.Join(kept, ", "))
	}
	h["Connection"] = lines
}
