package core

import (
	"net/http"

	"github.com/grayrelease/gray/core/jwt"
)

// Caller is one request as the engine sees it, made by a host for each request.
type Caller struct {
	// Request is the request. Deciding reads it and changes nothing.
	Request *http.Request
	// Client is the client's address as the host resolved it, without a port. The engine itself
	// never reads X-Forwarded-For. Default: the host of Request.RemoteAddr.
	Client string
	// Secure reports whether the client came by TLS, where the connection itself did not; see Client.
	// nil: it did not.
	Secure func(*http.Request) bool
	// Placeholder returns the value of a placeholder of the host by its name, and whether there is
	// one; an empty value counts as none. It is called once for each name, and only if the policy
	// asks. nil: the host reads none (see Host).
	Placeholder func(r *http.Request, name string) (value string, ok bool)

	random string // the identity of a caller without one
	isNew  bool   // random is to be remembered in a cookie

	testing string // the Set-Cookie by which a tester's link begins or ends

	claims *jwt.Set             // nil until asked for
	held   map[string]heldValue // of placeholders, nil until asked for

	asked *bucket // the last one that was, nil if none
	id    string  // who the caller counted as there
	ramp  ramping // what the rollout's rule said

	// passed has the values of the headers that Pass sets. They belong to the request, since who
	// comes after may write to them.
	passed [2]string
}

// SetsCookie reports whether Pass sets a cookie for the decision: of an identity that it gave the
// caller, or of a tester. See KeepPrivate.
func (c *Caller) SetsCookie() bool { return c.isNew || c.testing != "" }

// Decision is what a policy says about a request. It is shared by all requests that it applies to.
type Decision struct {
	// Version that serves the request.
	Version string
	// Rule that decided; empty when none did, and Version is the stable one.
	Rule string

	header  []string // the value, ready to be set
	baggage string   // the member, "" for stable
}

func newDecision(version, rule, stable string) *Decision {
	return &Decision{Version: version, Rule: rule, header: []string{version}, baggage: ownMember(version, stable)}
}

// Baggage returns the version that the request's baggage names after Pass: "" for the stable one.
// Absence says stable, which spares most requests a header at each service on their way.
func (d *Decision) Baggage() string {
	if d.baggage == "" {
		return ""
	}
	return d.Version
}

// Decide says which version serves the caller. It always has an answer: what a request sends can at
// worst not match.
//
// It is a function, not a method, because a method call is by far the dearest thing in the
// interpreter that runs it in Traefik.
func Decide(e *Engine, c *Caller) *Decision {
	if e.tester != nil {
		if d := testerDecision(e, c); d != nil {
			return d
		}
	}
	return decideFrom(e, c, e.start)
}

// decideFrom goes on from a step.
func decideFrom(e *Engine, c *Caller, s *step) *Decision {
	for s.decision == nil {
		if s.kind == stepHeader {
			s = headerExit(s, c.Request.Header[s.key])
		} else if s.kind == stepBucket && inBucket(e, c, s.bucket) || s.kind == stepCondition && holds(e, c, s.cond) {
			s = s.yes
		} else if s.kind == stepSplit {
			if taken := inSplit(e, c, s.split); taken != nil {
				return taken.decision
			}
			s = s.no
		} else {
			s = s.no
		}
	}
	return s.decision
}

func headerExit(s *step, values []string) *step {
	if len(values) > 1 {
		return s.many
	}
	if len(values) == 1 {
		if exit := s.exits[values[0]]; exit != nil {
			return exit
		}
	}
	return s.no
}

// holds reports whether any of the attribute's values satisfies the condition, before `not`.
func holds(e *Engine, c *Caller, cond *condition) bool {
	if cond.nets != nil {
		if cond.nets.isFar(clientText(c)) {
			return false
		}
		addr, ok := clientAddr(c)
		return ok && cond.nets.contain(addr)
	}
	var at cursor
	for {
		v, ok := nextValue(e, c, &cond.attribute, &at)
		if !ok {
			return false
		}
		if cond.holdsFor(v) {
			return true
		}
	}
}

// inBucket reports whether the bucket takes the caller.
func inBucket(e *Engine, c *Caller, b *bucket) bool {
	c.asked = b
	c.id = bucketID(e, c)
	if b.isRamp && c.id != "" {
		c.ramp.isAsked = true
		c.ramp.position = position(b, c.id)
		return c.ramp.position < b.threshold
	}
	return c.id != "" && takes(b, c.id)
}
