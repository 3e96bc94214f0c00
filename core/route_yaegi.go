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

// Route is what route.go documents, written for the interpreter that runs it in Traefik; the shared
// cases hold both to the same decisions.
//
// There a call costs hundreds of nanoseconds, a method call two thousand, and every local of a
// function is allocated when the function is entered, reached or not. So the way that most requests
// take, to the stable version because no rule matches, is written out over prepared values: one
// handler for each kind of policy, in ways_yaegi.go. Everybody else goes the long way from there.
//
// What it saves besides: requests for stable share the slices of their headers, and a client may
// name these headers in Connection so that a proxy drops them. The service then does not hear that
// it is stable, which is what it takes itself for anyway.
func Route(
	e *Engine, client *Client, versions map[string]http.Handler, others http.Handler,
) http.Handler {
	p := newPlan(e, client)
	p.versions = versions
	p.others = others
	if e.tester != nil {
		return testerHandler(p, planHandler(p))
	}
	return planHandler(p)
}

// testerHandler serves testers, and leaves all others to the way of the plan.
func testerHandler(p *plan, next http.Handler) http.Handler {
	t := p.engine.tester
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isTesting(t, r) {
			next.ServeHTTP(w, r)
			return
		}
		c := callerOf(p.client, r)
		d := Decide(p.engine, c)
		Pass(p.engine, c, w.Header(), d)
		serveVersion(p, d.Version, w, r)
	})
}

// isTesting reports whether a request may be a tester's. It may say so of others too.
func isTesting(t *tester, r *http.Request) bool {
	if strings.Contains(r.URL.RawQuery, testerParameter+"=") {
		return true
	}
	for _, line := range r.Header["Cookie"] {
		if strings.Contains(line, t.name) {
			return true
		}
	}
	return false
}

// planHandler serves by a plan.
func planHandler(p *plan) http.Handler {
	if p.out == nil || p.out.Version != p.engine.stable.Version {
		return stepHandler(p)
	}
	next := nextOf(p, p.out.Version)
	if all := p.engine.spellings; len(all) > 3 {
		next = removing(all[3:], next)
	}
	switch {
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

// threeSpellings are the first three of the spellings that every way removes, "" for want of one,
// which no header has. Three is what the default name has; a loop would cost more than they do.
func threeSpellings(p *plan) (string, string, string) {
	all := append(append([]string{}, p.engine.spellings...), "", "", "")
	return all[0], all[1], all[2]
}

// removing removes the other spellings of longer names.
func removing(names []string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, name := range names {
			delete(r.Header, name)
		}
		next.ServeHTTP(w, r)
	})
}

// stepHandler serves what has no quick way.
func stepHandler(p *plan) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { serveFrom(p, p.engine.start, w, r) })
}

// hits reports whether any condition may hold.
func hits(middle []*screen, r *http.Request) bool {
	for _, s := range middle {
		if s.peer {
			if s.pattern.MatchString(r.RemoteAddr) {
				return true
			}
			continue
		}
		for _, v := range r.Header[s.key] {
			if s.pattern.MatchString(v) {
				return true
			}
		}
	}
	return false
}

// serveFrom goes the rest of the way from a step of the plan.
func serveFrom(p *plan, s *step, w http.ResponseWriter, r *http.Request) {
	c := callerOf(p.client, r)
	d := decideFrom(p.engine, c, s)
	Pass(p.engine, c, w.Header(), d)
	serveVersion(p, d.Version, w, r)
}

// leadOf is the header that a plan begins with, which of its values have exits, and what serves the
// requests of each; there is no header without a name.
func leadOf(p *plan) (string, map[string]bool, map[string]func(http.ResponseWriter, *http.Request)) {
	known := map[string]bool{}
	exits := map[string]func(http.ResponseWriter, *http.Request){}
	if p.lead == nil {
		return "", known, exits
	}
	for value, s := range p.lead.exits {
		known[value] = true
		exits[value] = newExit(p, s.decision)
	}
	return p.lead.key, known, exits
}

// newExit makes what serves requests whose first header leads to a decision, which is nil if there
// is more to ask.
func newExit(p *plan, d *Decision) func(http.ResponseWriter, *http.Request) {
	if d == nil || len(p.engine.spellings) > 3 {
		return func(w http.ResponseWriter, r *http.Request) { serveFrom(p, p.lead, w, r) }
	}
	next, key := nextOf(p, d.Version), p.lead.key
	name, version, baggage := p.engine.header, d.Version, d.baggage
	member, connection := "Baggage", "Connection" // variables are read faster than constants
	one, two, three := threeSpellings(p)
	return func(w http.ResponseWriter, r *http.Request) {
		h := r.Header
		if h[member] != nil || len(h[key]) > 1 || h[connection] != nil && !onlyKeepsAlive(h[connection]) {
			serveFrom(p, p.lead, w, r)
			return
		}
		delete(h, one)
		delete(h, two)
		delete(h, three)
		if baggage != "" {
			h[member] = []string{baggage} // of its own: who comes after may write to it
		}
		h[name] = []string{version}
		next.ServeHTTP(w, r)
	}
}

// serveDecided serves a request whose decision is known.
func serveDecided(p *plan, d *Decision, w http.ResponseWriter, r *http.Request) {
	c := &Caller{Request: r} // of a decision without a new identity
	Pass(p.engine, c, w.Header(), d)
	serveVersion(p, d.Version, w, r)
}

// serveVersion sends a request to the handler of its version.
func serveVersion(p *plan, version string, w http.ResponseWriter, r *http.Request) {
	nextOf(p, version).ServeHTTP(w, r)
}

// nextOf returns the handler of a version.
func nextOf(p *plan, version string) http.Handler {
	if next := p.versions[version]; next != nil {
		return next
	}
	return p.others
}

// startOf is what is hashed before the identity, without room behind it: each append makes a slice
// of its own.
func startOf(p *plan) []byte {
	start := []byte(p.prefix)
	return start[:len(start):len(start)]
}

// openBytes has the first bytes of hashes that do not settle that a caller is outside of the bucket
// or of all ranges of a split: they may be within, or are what an identity without text has, which
// is none.
func openBytes(p *plan) []bool {
	open := make([]bool, 256)
	if p.prefix == "" {
		return open
	}
	if p.split != nil {
		for _, within := range p.split.portions {
			last := 255
			if within.high != "" {
				last = int(within.high[0])
			}
			for b := int(within.low[0]); b <= last; b++ {
				open[b] = true
			}
		}
	} else {
		for b := 0; b <= int(p.limit[0]); b++ {
			open[b] = true
		}
	}
	nobody := sha256.Sum256([]byte(p.prefix))
	open[nobody[0]] = true
	return open
}

// serveSum serves a caller by the whole hash.
func serveSum(p *plan, id string, w http.ResponseWriter, r *http.Request) {
	if id == "" || p.split != nil {
		serveFrom(p, p.last, w, r)
		return
	}
	d := p.out
	sum := sha256.Sum256([]byte(p.prefix + id))
	if string(sum[:8]) < p.limit {
		d = p.in
	}
	serveDecided(p, d, w, r)
}

// serveTokenless serves a request that may match before the claims, or has no claims.
func serveTokenless(p *plan, absent bool, w http.ResponseWriter, r *http.Request) {
	if absent && !hits(p.middle, r) {
		serveFrom(p, p.last, w, r)
		return
	}
	serveFrom(p, p.begin, w, r)
}

// laterID is the identity of a caller without the cookie that comes first, in the form of that
// cookie; without text where it must be found the long way.
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
		case s.kind == fromIP && p.peerIsClient:
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
