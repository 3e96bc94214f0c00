package core

import "net/http"

// Handler is the middleware for any net/http gateway: it decides, passes the decision on in the
// request (see Pass), sets the cookie that the policy may want, and calls next, which finds the
// version in the request's header of Engine.Header.
//
// Client is the function that finds the client's address, as NewClientIP makes one; nil is the
// connection's peer. The response is not touched but for the cookie, and its writer not wrapped.
func Handler(e *Engine, client func(*http.Request) string, next http.Handler) http.Handler {
	return Route(e, client, nil, next)
}
