package decider

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/grayrelease/gray/core"
)

// question is a request as a gateway tells of it.
type question struct {
	request *http.Request // RemoteAddr is who connects to the gateway
	service string        // that the gateway names; "" is that of the host
	secure  bool          // the gateway says that the client came by TLS
}

// newQuestion makes the request of what a gateway tells. Names in the header are canonical.
func newQuestion(method, target, host, peer string, h http.Header) *question {
	return &question{request: &http.Request{
		Method: method, URL: targetURL(target), Host: host, Header: h, RemoteAddr: peer,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}}
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

// clientAddress finds the client's address in X-Forwarded-For.
type clientAddress func(*http.Request) string

const forwardedFor = "X-Forwarded-For"

// client returns the client's address: that of the peer, or behind trusted proxies the rightmost
// in X-Forwarded-For that is none of theirs. "" is the peer's.
func (s *Server) client(r *http.Request) string {
	if s.address == nil {
		return ""
	}
	if len(s.config.TrustedProxies) == 0 {
		return s.address(r) // the peer's subnet
	}
	lines := r.Header[forwardedFor]
	chain := append(lines[:len(lines):len(lines)], r.RemoteAddr)
	return s.address(&http.Request{Header: http.Header{forwardedFor: chain}})
}

// cameByTLS is the Secure of a caller of whom the gateway says so.
func cameByTLS(*http.Request) bool { return true }

// decide answers a question.
func (s *Server) decide(q *question) (answer, result) {
	v := s.services.find(q.service, q.request.Host)
	if v == nil {
		return answerOfNone(q.request), resultNoService
	}
	now := v.handle.Current()
	if now.Engine == nil {
		return answerOfNone(q.request), resultNoPolicy
	}
	c := &core.Caller{Request: q.request, Client: s.client(q.request)}
	if q.secure {
		c.Secure = cameByTLS
	}
	d := core.Decide(now.Engine, c)
	v.count(c, d)
	a := answerOf(core.EffectsOf(now.Engine, c, d), q.request)
	a.service = v.config.Name
	a.version = d.Version
	a.rule = d.Rule
	return a, resultDecided
}
