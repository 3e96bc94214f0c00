//go:build yaegi
// +build yaegi

package core

import (
	"crypto/sha256"
	"net/http"
)

// Handler is what handler.go documents, written for the interpreter that runs it in Traefik; the shared cases hold both to the
// same decisions.
//
// There a call costs hundreds of nanoseconds, a method call two thousand, and every local of a function is allocated when the
// function is entered, reached or not. So the way that most requests take, on which no rule matches, is written out here over
// prepared values, and everybody who may match goes the long way from there.
func Handler(e *Engine, client func(*http.Request) string, next http.Handler) http.Handler {
	p := newPlan(e, client)
	switch {
	case p.last.decision == nil:
		return bucketHandler(p, next)
	case len(p.middle) > 0:
		return screenHandler(p, next)
	case p.lead != nil:
		return leadHandler(p, next)
	default:
		return constantHandler(p, next)
	}
}

// constantHandler serves a policy that asks nothing: it is switched off, or has no rules.
func constantHandler(p *plan, next http.Handler) http.Handler {
	d := p.last.decision
	name, value, baggage := p.engine.header, d.header, d.baggage
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := r.Header
		if h["Baggage"] == nil {
			h["Baggage"] = baggage
			h[name] = value
			next.ServeHTTP(w, r)
			return
		}
		serveFrom(p, p.last, next, w, r)
	})
}

// leadHandler serves a policy that asks for one header's value and nothing else.
func leadHandler(p *plan, next http.Handler) http.Handler {
	d := p.last.decision
	name, value, baggage := p.engine.header, d.header, d.baggage
	key, exits := p.lead.key, p.lead.exits
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := r.Header
		for _, v := range h[key] {
			if exits[v] != nil {
				serveFrom(p, p.lead, next, w, r)
				return
			}
		}
		if h["Baggage"] == nil {
			h["Baggage"] = baggage
			h[name] = value
			next.ServeHTTP(w, r)
			return
		}
		serveFrom(p, p.last, next, w, r)
	})
}

// screenHandler serves a policy whose conditions all have a screen.
func screenHandler(p *plan, next http.Handler) http.Handler {
	d := p.last.decision
	name, value, baggage := p.engine.header, d.header, d.baggage
	lead, middle := p.lead, p.middle
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := r.Header
		if s := firstHit(lead, middle, r); s != nil {
			serveFrom(p, s, next, w, r)
			return
		}
		if h["Baggage"] == nil {
			h["Baggage"] = baggage
			h[name] = value
			next.ServeHTTP(w, r)
			return
		}
		serveFrom(p, p.last, next, w, r)
	})
}

// bucketHandler serves any other policy: on the quick way when it ends in a bucket of callers whom a cookie identifies.
func bucketHandler(p *plan, next http.Handler) http.Handler {
	name, cookie, prefix, limit, in, out := p.engine.header, p.cookie, p.prefix, p.limit, p.in, p.out
	key, exits := "", map[string]*step{}
	if p.lead != nil {
		key, exits = p.lead.key, p.lead.exits
	}
	middle, screened := p.middle, len(p.middle) > 0
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := r.Header
		for _, v := range h[key] {
			if exits[v] != nil {
				serveFrom(p, p.lead, next, w, r)
				return
			}
		}
		if screened {
			if s := firstHit(nil, middle, r); s != nil {
				serveFrom(p, s, next, w, r)
				return
			}
		}
		c, _ := r.Cookie(cookie)
		if c == nil || c.Value == "" || len(c.Value) > maxValue {
			serveFrom(p, p.last, next, w, r)
			return
		}
		d := out
		sum := sha256.Sum256([]byte(prefix + c.Value))
		if string(sum[:8]) < limit {
			d = in
		}
		h[name] = d.header
		if h["Baggage"] == nil {
			h["Baggage"] = d.baggage
		} else {
			addBaggage(h, d.baggage[0])
		}
		next.ServeHTTP(w, r)
	})
}

// firstHit is the first step whose condition may hold, nil when none can.
func firstHit(lead *step, middle []*screen, r *http.Request) *step {
	h := r.Header
	if lead != nil {
		for _, v := range h[lead.key] {
			if lead.exits[v] != nil {
				return lead
			}
		}
	}
	for _, s := range middle {
		if s.peer {
			if s.pattern.MatchString(r.RemoteAddr) {
				return s.step
			}
			continue
		}
		for _, v := range h[s.key] {
			if s.pattern.MatchString(v) {
				return s.step
			}
		}
	}
	return nil
}

// serveFrom goes the rest of the way from a step of the plan.
func serveFrom(p *plan, s *step, next http.Handler, w http.ResponseWriter, r *http.Request) {
	c := &Caller{Request: r}
	if p.client != nil {
		c.Client = p.client(r)
	}
	Pass(p.engine, c, w.Header(), decideFrom(p.engine, c, s))
	next.ServeHTTP(w, r)
}
