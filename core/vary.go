package core

import (
	"net/http"
	"sort"
)

// Vary lists the request headers that an engine's decisions depend on, sorted, as the response
// header of that name does. It returns "*" alone if they also depend on something that no header
// carries: the client's address, or chance. Method, host, path and query are part of any cache's
// key already.
//
// What caches hold outlives an overlay. So Force and Withdrawn take nothing off the list, and a
// rule whose percentage an overlay sets depends on who the caller is even at 0 and at 100 percent.
func Vary(e *Engine) []string {
	v := &varying{engine: e, headers: map[string]bool{}}
	if e.tester != nil {
		v.headers["Cookie"] = true
	}
	for _, r := range e.rules {
		for _, c := range r.conditions {
			v.attribute(&c.attribute)
		}
		if _, changed := e.percent[r.name]; changed || r.bucket != nil || r.split != nil {
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

// dependence is what must be equal in two requests for an attribute to have equal values in both.
// One that is not given counts as onClient.
type dependence int

const (
	onClient   dependence = iota + 1 // the address, which no header carries
	onURL                            // method, host, path, query: part of any cache's key
	onHeader                         // the header that the key names
	onCookie                         // Cookie
	onBaggage                        // Baggage
	onToken                          // where the policy's `jwt` has tokens
	onIdentity                       // what the policy's identities depend on
)

// varying collects what decisions depend on.
type varying struct {
	engine   *Engine
	headers  map[string]bool
	anything bool
}

func (v *varying) attribute(a *attribute) {
	switch attributes[a.kind].varies {
	case onURL:
	case onHeader:
		v.headers[a.key] = true
	case onCookie:
		v.headers["Cookie"] = true
	case onBaggage:
		v.headers["Baggage"] = true
	case onToken:
		v.token()
	case onIdentity:
		v.identity()
	default: // onClient, and what nobody has said
		v.anything = true
	}
}

func (v *varying) identity() {
	for _, a := range v.engine.identity {
		v.attribute(a)
	}
}

func (v *varying) anonymous() {
	switch v.engine.anonymous {
	case anonymousRandom:
		v.anything = true
	case anonymousCookie:
		v.headers["Cookie"] = true
	}
}

// token adds where claims come from.
func (v *varying) token() {
	c := v.engine.policy.JWT
	switch {
	case c.Query != "":
	case c.Cookie != "":
		v.headers["Cookie"] = true
	case c.Header != "":
		v.headers[http.CanonicalHeaderKey(c.Header)] = true
	default:
		v.headers["Authorization"] = true
	}
}
