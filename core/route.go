//go:build !yaegi
// +build !yaegi

package core

import "net/http"

// Route is Handler with a handler for each version: requests of a version go to the one that
// versions has under its name, or else to others.
func Route(
	e *Engine, client *Client, versions map[string]http.Handler, others http.Handler,
) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := callerOf(client, r)
		d := Decide(e, c)
		Pass(e, c, w.Header(), d)
		if c.SetsCookie() {
			private := &privateWriter{ResponseWriter: w}
			defer private.keepPrivate() // of a response without text
			w = private
		}
		if next := versions[d.Version]; next != nil {
			next.ServeHTTP(w, r)
			return
		}
		others.ServeHTTP(w, r)
	})
}
