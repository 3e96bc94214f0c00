package core

import "net/http"

// Pass tells everybody who comes after about a decision. The request's header says the version, whatever the client sent under
// its name; its W3C baggage says so to services further in, the client's other members kept as they are. The response gains the
// cookie of a caller who was given an identity.
func Pass(e *Engine, c *Caller, response http.Header, d *Decision) {
	h := c.Request.Header
	own := []string{d.Version, d.baggage[0]} // not the decision's: who comes after may write to what it finds in headers
	h[e.header] = own[:1:1]
	if h["Baggage"] == nil {
		h["Baggage"] = own[1:]
	} else {
		addBaggage(h, d.baggage[0])
	}
	if c.isNew {
		setCookie(e, c, response)
	}
}
