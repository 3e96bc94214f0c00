package core

import "net/http"

// Pass tells everybody who comes after about a decision. The request's header says the version, whatever the client sent under
// its name; its W3C baggage says so to services further in, the client's other members kept as they are. The response gains the
// cookie of a caller who was given an identity.
func Pass(e *Engine, c *Caller, response http.Header, d *Decision) {
	h := c.Request.Header
	h[e.header] = d.header
	if h["Baggage"] == nil {
		h["Baggage"] = d.baggage
	} else {
		addBaggage(h, d.baggage[0])
	}
	if c.isNew {
		setCookie(e, c, response)
	}
}
