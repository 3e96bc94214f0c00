//go:build yaegi
// +build yaegi

package core

import (
	"crypto/sha256"
	"net/http"
	"net/netip"
	"strings"
	"unicode/utf8"
)

// Handler is what handler.go documents, written for the interpreter that runs it in Traefik; the shared cases hold both to the
// same decisions.
//
// There a call costs hundreds of nanoseconds, a method call two thousand, and every local of a function is allocated when the
// function is entered, reached or not. So the way that most requests take, to the stable version because no rule matches, is
// written out here over prepared values, and everybody else goes the long way from there.
//
// What it saves besides: requests for stable share the slices of their headers, and a client may name these headers in Connection so
// that a proxy drops them. The service then does not hear that it is stable, which is what it takes itself for anyway.
func Handler(e *Engine, client func(*http.Request) string, next http.Handler) http.Handler {
	p := newPlan(e, client)
	switch {
	case p.out == nil || p.out.Version != e.stable.Version:
		return stepHandler(p, next)
	case len(p.claims) > 0 || p.claim != "":
		return claimHandler(p, next)
	case p.last.decision == nil && len(p.middle) > 0:
		return screenBucketHandler(p, next)
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

// stepHandler serves what has no quick way.
func stepHandler(p *plan, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { serveFrom(p, p.engine.start, next, w, r) })
}

// constantHandler serves a policy that asks nothing: it is switched off, or has no rules.
func constantHandler(p *plan, next http.Handler) http.Handler {
	name, value, baggage, last := p.engine.header, p.out.header, p.out.baggage, p.last
	member := "Baggage" // a variable is read faster than a constant
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := r.Header
		if h[member] == nil {
			h[member] = baggage
			h[name] = value
			next.ServeHTTP(w, r)
			return
		}
		serveFrom(p, last, next, w, r)
	})
}

// leadHandler serves a policy that asks for one header's value and nothing else.
func leadHandler(p *plan, next http.Handler) http.Handler {
	name, value, baggage, lead, last := p.engine.header, p.out.header, p.out.baggage, p.lead, p.last
	key, known := leadOf(p)
	member := "Baggage" // a variable is read faster than a constant
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := r.Header
		for _, v := range h[key] {
			if known[v] {
				serveFrom(p, lead, next, w, r)
				return
			}
		}
		if h[member] == nil {
			h[member] = baggage
			h[name] = value
			next.ServeHTTP(w, r)
			return
		}
		serveFrom(p, last, next, w, r)
	})
}

// screenHandler serves a policy whose conditions all have a screen.
func screenHandler(p *plan, next http.Handler) http.Handler {
	name, value, baggage, begin, last := p.engine.header, p.out.header, p.out.baggage, p.begin, p.last
	key, known := leadOf(p)
	lead, middle := p.lead, p.middle
	member := "Baggage" // a variable is read faster than a constant
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := r.Header
		for _, v := range h[key] {
			if known[v] {
				serveFrom(p, lead, next, w, r)
				return
			}
		}
		for _, s := range middle {
			if s.peer {
				if s.pattern.MatchString(r.RemoteAddr) {
					serveFrom(p, begin, next, w, r)
					return
				}
				continue
			}
			for _, v := range h[s.key] {
				if s.pattern.MatchString(v) {
					serveFrom(p, begin, next, w, r)
					return
				}
			}
		}
		if h[member] == nil {
			h[member] = baggage
			h[name] = value
			next.ServeHTTP(w, r)
			return
		}
		serveFrom(p, last, next, w, r)
	})
}

// bucketHandler serves a policy that ends in a bucket, and begins with the values of one header if with anything.
func bucketHandler(p *plan, next http.Handler) http.Handler {
	name, value, baggage, cookie, start, open := p.engine.header, p.out.header, p.out.baggage, p.cookie, startOf(p), openBytes(p)
	key, known := leadOf(p)
	lead, last, out := p.lead, p.last, p.out
	member, sum256 := "Baggage", sha256.Sum256 // variables are read faster than constants
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := r.Header
		for _, v := range h[key] {
			if known[v] {
				serveFrom(p, lead, next, w, r)
				return
			}
		}
		c, _ := r.Cookie(cookie)
		if c == nil {
			c = laterID(p, r)
		}
		id := c.Value
		if len(id) > maxValue {
			serveFrom(p, last, next, w, r)
			return
		}
		if open[sum256(append(start, id...))[0]] {
			serveSum(p, id, next, w, r)
			return
		}
		if h[member] == nil {
			h[member] = baggage
			h[name] = value
			next.ServeHTTP(w, r)
			return
		}
		serveDecided(p, out, next, w, r)
	})
}

// screenBucketHandler serves a policy that ends in a bucket, after conditions that all have a screen.
func screenBucketHandler(p *plan, next http.Handler) http.Handler {
	name, value, baggage, cookie, start, open := p.engine.header, p.out.header, p.out.baggage, p.cookie, startOf(p), openBytes(p)
	key, known := leadOf(p)
	lead, middle, begin, last, out := p.lead, p.middle, p.begin, p.last, p.out
	member, sum256 := "Baggage", sha256.Sum256 // variables are read faster than constants
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := r.Header
		for _, v := range h[key] {
			if known[v] {
				serveFrom(p, lead, next, w, r)
				return
			}
		}
		for _, s := range middle {
			if s.peer {
				if s.pattern.MatchString(r.RemoteAddr) {
					serveFrom(p, begin, next, w, r)
					return
				}
				continue
			}
			for _, v := range h[s.key] {
				if s.pattern.MatchString(v) {
					serveFrom(p, begin, next, w, r)
					return
				}
			}
		}
		c, _ := r.Cookie(cookie)
		if c == nil {
			c = laterID(p, r)
		}
		id := c.Value
		if len(id) > maxValue {
			serveFrom(p, last, next, w, r)
			return
		}
		if open[sum256(append(start, id...))[0]] {
			serveSum(p, id, next, w, r)
			return
		}
		if h[member] == nil {
			h[member] = baggage
			h[name] = value
			next.ServeHTTP(w, r)
			return
		}
		serveDecided(p, out, next, w, r)
	})
}

// claimHandler serves a policy that asks for claims: on the quick way when their token is remembered.
func claimHandler(p *plan, next http.Handler) http.Handler {
	name, value, baggage, claims := p.engine.header, p.out.header, p.out.baggage, p.claims
	claim, cookie, start, ramped := p.claim, p.cookie, startOf(p), p.last.decision == nil
	open := openBytes(p)
	key, known := leadOf(p)
	lead, begin, last, out := p.lead, p.begin, p.last, p.out
	middle, screened := p.middle, len(p.middle) > 0
	token, lock, seen, until := p.memory.Header, p.memory.Lock, p.memory.Seen, p.memory.Until
	member, sum256 := "Baggage", sha256.Sum256 // variables are read faster than constants
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := r.Header
		for _, v := range h[key] {
			if known[v] {
				serveFrom(p, lead, next, w, r)
				return
			}
		}
		lines := h[token]
		if len(lines) != 1 {
			serveTokenless(p, lines == nil, next, w, r)
			return
		}
		if screened {
			if hits(middle, r) {
				serveFrom(p, begin, next, w, r)
				return
			}
		}
		lock.RLock()
		set := seen[lines[0]]
		lock.RUnlock()
		if set == nil {
			serveFrom(p, begin, next, w, r)
			return
		}
		if until(set.Expires) <= 0 {
			serveFrom(p, begin, next, w, r)
			return
		}
		for _, c := range claims {
			for _, v := range set.ByPath[c.path] {
				if c.values[v] {
					serveFrom(p, begin, next, w, r)
					return
				}
			}
		}
		if ramped {
			id := ""
			if claim == "" {
				if c, _ := r.Cookie(cookie); c != nil {
					id = c.Value
				}
			} else {
				for _, v := range set.ByPath[claim] {
					id = v
					break
				}
			}
			if len(id) > maxValue {
				serveFrom(p, last, next, w, r)
				return
			}
			if open[sum256(append(start, id...))[0]] {
				serveSum(p, id, next, w, r)
				return
			}
		}
		if h[member] == nil {
			h[member] = baggage
			h[name] = value
			next.ServeHTTP(w, r)
			return
		}
		serveDecided(p, out, next, w, r)
	})
}

// hits reports whether any condition may hold.
func hits(middle []*screen, r *http.Request) bool {
	h := r.Header
	for _, s := range middle {
		if s.peer {
			if s.pattern.MatchString(r.RemoteAddr) {
				return true
			}
			continue
		}
		for _, v := range h[s.key] {
			if s.pattern.MatchString(v) {
				return true
			}
		}
	}
	return false
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

// serveDecided serves a request whose decision is known.
func serveDecided(p *plan, d *Decision, next http.Handler, w http.ResponseWriter, r *http.Request) {
	c := &Caller{Request: r}
	Pass(p.engine, c, w.Header(), d)
	next.ServeHTTP(w, r)
}

// startOf is what is hashed before the identity, without room behind it: each append makes a slice of its own.
func startOf(p *plan) []byte {
	start := []byte(p.prefix)
	return start[:len(start):len(start)]
}

// openBytes has the first bytes of hashes that do not settle that a caller is outside of the bucket: they may be under the limit, or
// are what an identity without text has, which is none.
func openBytes(p *plan) []bool {
	open := make([]bool, 256)
	if p.limit == "" {
		return open
	}
	for b := 0; b <= int(p.limit[0]); b++ {
		open[b] = true
	}
	nobody := sha256.Sum256([]byte(p.prefix))
	open[nobody[0]] = true
	return open
}

// serveSum serves a caller by the whole hash.
func serveSum(p *plan, id string, next http.Handler, w http.ResponseWriter, r *http.Request) {
	if id == "" {
		serveFrom(p, p.last, next, w, r)
		return
	}
	d := p.out
	sum := sha256.Sum256([]byte(p.prefix + id))
	if string(sum[:8]) < p.limit {
		d = p.in
	}
	c := &Caller{Request: r}
	Pass(p.engine, c, w.Header(), d)
	next.ServeHTTP(w, r)
}

// serveTokenless serves a request that may match before the claims, or has no claims.
func serveTokenless(p *plan, absent bool, next http.Handler, w http.ResponseWriter, r *http.Request) {
	if absent && !hits(p.middle, r) {
		serveFrom(p, p.last, next, w, r)
		return
	}
	serveFrom(p, p.begin, next, w, r)
}

// leadOf is the header that a plan begins with and the values that it has exits for; there is no header without a name.
func leadOf(p *plan) (string, map[string]bool) {
	known := map[string]bool{}
	if p.lead == nil {
		return "", known
	}
	for value := range p.lead.exits {
		known[value] = true
	}
	return p.lead.key, known
}

// laterID is the identity of a caller without the cookie that comes first, in the form of that cookie; without text where it must be
// found the long way.
func laterID(p *plan, r *http.Request) *http.Cookie {
	id := &http.Cookie{}
	for _, s := range p.engine.identity {
		switch {
		case s.kind == fromCookie:
			for _, line := range r.Header["Cookie"] {
				if strings.Contains(line, s.key) {
					return id
				}
			}
		case s.kind == fromHeader && !s.vouched:
			if v := r.Header[s.key]; len(v) > 0 {
				id.Value = onlyID(v)
				return id
			}
		case s.kind == fromIP && p.client == nil:
			id.Value = peerID(r.RemoteAddr)
			return id
		default:
			return id
		}
	}
	return id
}

func onlyID(values []string) string {
	if len(values) > 1 || !utf8.ValidString(values[0]) {
		return ""
	}
	return values[0]
}

// peerID is the address of an IPv4 peer, which is written in one way only.
func peerID(address string) string {
	if _, err := netip.ParseAddrPort(address); err != nil || address[0] == '[' {
		return ""
	}
	return address[:strings.LastIndexByte(address, ':')]
}
