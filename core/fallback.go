package core

import "net/http"

// PassStable corrects what Pass said of a request whose version turned out to have no usable upstream: whoever serves it now is
// told that it is the stable version.
func PassStable(e *Engine, r *http.Request) {
	r.Header[e.header] = e.stable.header
	addBaggage(r.Header, e.stable.baggage[0])
}
