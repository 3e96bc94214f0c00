package core

import (
	"net/http"
	"sort"
)

// Vary lists the request headers that a policy's decisions depend on, sorted, as the response header of that name does. It is "*"
// alone when they also depend on what no header tells: the client's address, or chance. Method, host, path and query are part of
// any cache's key already.
//
// The policy is one that New accepts.
func Vary(p *Policy) []string {
	v := &varying{policy: p, headers: map[string]bool{}}
	for _, r := range p.Rules {
		for _, line := range r.When {
			v.condition(line)
		}
		if r.Percent != nil && *r.Percent > 0 && *r.Percent < 100 {
			v.identity()
			v.anonymous()
		}
	}
	if v.anything {
		return []string{"*"}
	}
	names := make([]string, 0, len(v.headers))
	for name := range v.headers {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

type varying struct {
	policy   *Policy
	headers  map[string]bool
	anything bool
}

func (v *varying) condition(line string) {
	at := 0
	if w, end, err := nextWord(line, 0); err == nil && w.text == "not" && !w.quoted {
		at = end
	}
	if s, _, err := parseSource(line, at); err == nil {
		v.source(&s)
	}
}

func (v *varying) source(s *source) {
	switch s.kind {
	case fromHeader:
		v.headers[s.key] = true
	case fromCookie:
		v.headers["Cookie"] = true
	case fromBaggage:
		v.headers["Baggage"] = true
	case fromClaim:
		v.token()
	case fromIP:
		v.anything = true
	case fromIdentity:
		v.identity()
	}
}

func (v *varying) identity() {
	if len(v.policy.Identity) == 0 {
		v.anything = true // the address
	}
	for _, line := range v.policy.Identity {
		if s, _, err := parseSource(line, 0); err == nil {
			v.source(&s)
		}
	}
}

func (v *varying) anonymous() {
	switch v.policy.Anonymous {
	case anonymousRandom:
		v.anything = true
	case anonymousCookie:
		v.headers["Cookie"] = true
	}
}

// token is where claims come from.
func (v *varying) token() {
	c := v.policy.JWT
	switch {
	case c == nil || c.Query != "":
	case c.Cookie != "":
		v.headers["Cookie"] = true
	case c.Header != "":
		v.headers[http.CanonicalHeaderKey(c.Header)] = true
	default:
		v.headers["Authorization"] = true
	}
}
