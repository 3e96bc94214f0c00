package core

import (
	"net/http"
	"strings"
)

// Client is what a gateway knows of its clients beyond the connection, which may be a balancer's.
type Client struct {
	// Address finds the client's address, without a port, as NewClientIP makes such a function.
	// nil is the connection's peer.
	Address func(*http.Request) string
	// Secure reports whether the client came by TLS, where the connection itself did not, as
	// ForwardedSecurely does for a gateway that lets only trusted peers say so. nil: it did not.
	Secure func(*http.Request) bool
}

// callerOf is the caller of a request. Client may be nil.
func callerOf(client *Client, r *http.Request) *Caller {
	c := &Caller{Request: r}
	if client != nil {
		c.Secure = client.Secure
		if client.Address != nil {
			c.Client = client.Address(r)
		}
	}
	return c
}

// ForwardedSecurely reports whether X-Forwarded-Proto says that the client came by TLS. It believes
// the header; whoever calls it must know that no client wrote it.
func ForwardedSecurely(r *http.Request) bool {
	lines := r.Header["X-Forwarded-Proto"]
	if len(lines) == 0 {
		return false
	}
	first, _, _ := strings.Cut(lines[0], ",")
	first = strings.TrimSpace(first)
	return strings.EqualFold(first, "https") || strings.EqualFold(first, "wss")
}

// isSecure reports whether the client came by TLS: to us, or to whom we believe.
func isSecure(e *Engine, c *Caller) bool {
	if c.Request.TLS != nil || c.Secure != nil && c.Secure(c.Request) {
		return true
	}
	return trusted(e, c) && ForwardedSecurely(c.Request)
}
