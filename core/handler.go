package core

import "net/http"

// Handler is the middleware for any net/http gateway: it decides, passes the decision on in the request (see Pass), sets the
// cookie that the policy may want, and calls next, which finds the version in the request's header of Engine.Header.
//
// The response is not touched but for that cookie, and its writer not wrapped.
func Handler(e *Engine, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &Caller{Request: r}
		Pass(e, c, w.Header(), Decide(e, c))
		next.ServeHTTP(w, r)
	})
}

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
