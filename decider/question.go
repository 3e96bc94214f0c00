package decider

import (
	"fmt"
	"net/http"
	"slices"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/decider/exchange"
)

// question is a request as a gateway tells of it.
type question struct {
	request *http.Request // RemoteAddr is who connects to the gateway
	service string        // that the gateway names; "" is that of the host
	secure  bool          // the gateway says that the client came by TLS
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
	chain := slices.Concat(lines, []string{r.RemoteAddr})
	return s.address(&http.Request{Header: http.Header{forwardedFor: chain}})
}

// answer is what a gateway is to change, and what was decided.
type answer struct {
	exchange.Changes
	rule     string           // that decided, "" if none did
	metadata *structpb.Struct // of the decision, nil if there is none
}

// answerOfNone removes what the client claims of decisions, in the header of any policy.
func (s *Server) answerOfNone(r *http.Request) answer {
	a := answer{Changes: exchange.OfNone(r)}
	for _, v := range s.list {
		e := v.handle.Current().Engine
		if e != nil && r.Header[e.Header()] != nil && !slices.Contains(a.Remove, e.Header()) {
			a.Remove = append(a.Remove, e.Header())
		}
	}
	return a
}

// decide answers a question.
func (s *Server) decide(q *question) (answer, result) {
	v := s.services.find(q.service, q.request.Host)
	if v == nil {
		if q.service != "" {
			s.mistaken(fmt.Errorf("no service has the name %.100q", q.service))
		}
		return s.answerOfNone(q.request), resultNoService
	}
	now := v.handle.Current()
	if now.Engine == nil {
		return s.answerOfNone(q.request), resultNoPolicy
	}
	c := &core.Caller{Request: q.request, Client: s.client(q.request)}
	if q.secure {
		c.Secure = exchange.CameByTLS
	}
	d := core.Decide(now.Engine, c)
	ready := v.count(c, d)
	changes := exchange.Of(core.EffectsOf(now.Engine, c, d), q.request)
	return answer{changes, d.Rule, ready.metadata}, resultDecided
}
