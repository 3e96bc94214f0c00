package core

import "net/http"

//go:generate go run ../internal/routegen

// Handler is the middleware for any net/http gateway: it decides, passes the decision on in the
// request (see Pass), sets the cookie that the policy may want, and calls next, which finds the
// version in the request's header of Engine.Header.
//
// Client says what the gateway knows of the client; nil is what the connection says. The response
// is not touched but for the cookie, and its writer is wrapped for that one only, so that no shared
// cache stores it.
func Handler(e *Engine, client *Client, next http.Handler) http.Handler {
	return Route(e, client, nil, next)
}
