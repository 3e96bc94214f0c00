// Package exchange is what passes between a gateway that is not ours and gray: a request as the
// gateway tells of it, and what the gateway is to change in it.
package exchange

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/grayrelease/gray/core"
)

// NewRequest makes the request of what a gateway tells: the method, the target with its query, the
// host, who connects to the gateway, and the header, whose names are canonical.
func NewRequest(method, target, host, peer string, h http.Header) *http.Request {
	return &http.Request{
		Method: method, URL: targetURL(target), Host: host, Header: h, RemoteAddr: peer,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
}

// targetURL reads a request's target as net/http does. One that it would refuse, as for a bad
// escape, is a path that is not decoded.
func targetURL(target string) *url.URL {
	if u, err := url.ParseRequestURI(target); err == nil {
		return u
	}
	path, query, _ := strings.Cut(target, "?")
	return &url.URL{Path: path, RawQuery: query}
}

// CameByTLS is the Secure of a core.Caller of whom the gateway says so.
func CameByTLS(*http.Request) bool { return true }

// Changes are what a gateway is to change for a decision.
type Changes struct {
	Set    [][2]string // request headers and their values, in place of what is there
	Remove []string    // request headers; those that are not there are not among them
	Client http.Header // to be added to the response's headers; nil adds nothing
}

// Of returns what to change in a request for a decision's effects.
func Of(x core.Effects, r *http.Request) Changes {
	var c Changes
	put := func(name, value string) {
		if value != "" {
			c.Set = append(c.Set, [2]string{name, value})
		} else if r.Header[name] != nil {
			c.Remove = append(c.Remove, name)
		}
	}
	put(x.Header, x.Version)
	put("Baggage", x.Baggage)
	for _, name := range x.Remove {
		put(name, "")
	}
	if x.SetCookie != "" {
		put("Cookie", x.Cookie)
	}
	if x.SetCookie != "" || x.TesterCookie != "" {
		c.Client = http.Header{}
		core.Respond(&x, c.Client)
	}
	return c
}

// OfNone returns what to change where nothing is decided: what the client claims is removed.
func OfNone(r *http.Request) Changes { return Of(core.EffectsOfNone(r), r) }
