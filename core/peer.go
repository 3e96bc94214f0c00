package core

import (
	"net/http"
	"net/netip"
)

// clientText returns what clientAddr reads.
func clientText(c *Caller) string {
	if c.Client != "" {
		return c.Client
	}
	return c.Request.RemoteAddr
}

// clientAddr returns the caller's address: what the host resolved, or else the peer's.
func clientAddr(c *Caller) (netip.Addr, bool) {
	if c.Client != "" {
		return cleanAddr(c.Client)
	}
	return peerAddr(c.Request)
}

// peerAddr returns the address at the other end of the connection.
func peerAddr(r *http.Request) (netip.Addr, bool) {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return cleanAddr(r.RemoteAddr)
	}
	return peer.Addr().Unmap().WithZone(""), true
}

// cleanAddr reads a client's address as conditions and identities see it: IPv4-mapped as IPv4,
// without a zone.
func cleanAddr(text string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}, false
	}
	return addr.Unmap().WithZone(""), true
}

// trusted reports whether the peer is one whose own gray header and baggage member are believed.
func trusted(e *Engine, c *Caller) bool {
	if e.trust == nil {
		return false
	}
	addr, ok := peerAddr(c.Request)
	return ok && e.trust.contain(addr)
}
