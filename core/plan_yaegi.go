//go:build yaegi
// +build yaegi

package core

import (
	"net/http"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"github.com/grayrelease/gray/core/jwt"
)

// maxAlternatives bounds a screen: a longer list of values is better looked up than searched for.
const maxAlternatives = 32

// plan is the way through an engine's steps on which every answer is no: the values of one header,
// then conditions that have a screen, as far as there are any. From last on, the steps are taken as
// they come.
type plan struct {
	engine *Engine
	client *Client
	// The client's address is the connection's.
	peerIsClient bool
	// Requests of a version go to its handler, or else to others.
	versions map[string]http.Handler
	others   http.Handler

	lead   *step
	middle []*screen
	claims []*claimScreen // asked after middle, though they stand among its steps
	begin  *step          // the first step of middle and claims
	last   *step

	memory jwt.Memory // of tokens, when claims are asked for

	// When last is a bucket or a split: what is hashed before the identity; of a bucket, what the
	// hash must be under. Where a cookie or a claim comes first in the chain of identities, one of
	// both says which.
	prefix, limit string
	split         *split
	cookie        string
	claim         jwt.Path
	// in is the decision for callers in the bucket. Out is the decision when last is one, or else for
	// callers outside of the bucket; nil when there is more to ask.
	in, out *Decision
}

// screen is a regular expression that matches whenever the step's condition can hold: one look at
// the raw text, in compiled code, settles most requests. Where it matches, the condition itself is
// asked.
type screen struct {
	step    *step
	peer    bool   // the text is the peer's address and port, or else
	key     string // each value of this header
	pattern *regexp.Regexp
}

// claimScreen has the values of a claim for which the step's condition holds.
type claimScreen struct {
	path   jwt.Path
	values map[string]bool
}

func newPlan(e *Engine, client *Client) *plan {
	p := &plan{engine: e, client: client, last: e.start}
	p.peerIsClient = client == nil || client.Address == nil
	if p.last.kind == stepHeader {
		p.lead = p.last
		p.last = p.last.no
	}
	p.begin = p.last
	if e.verifier != nil {
		p.memory = jwt.MemoryOf(e.verifier)
	}
	for addScreen(p, p.last) {
		p.last = p.last.no
	}
	s := p.last
	p.out = s.decision
	if s.kind != stepBucket && s.kind != stepSplit {
		return p
	}
	identity := e.identity[0]
	if identity.kind == fromCookie && !isSigned(e, identity) {
		p.cookie = identity.key
	} else if identity.kind == fromClaim && p.memory.Header != "" && !jwt.IsElement(identity.claim) {
		p.claim = identity.claim
	}
	p.out = s.no.decision
	if s.kind == stepSplit {
		p.split = s.split
		p.prefix = s.split.bucket.prefix
		return p
	}
	p.prefix, p.limit = s.bucket.prefix, s.bucket.limit
	p.in = s.yes.decision
	return p
}

// addScreen puts a step on the plan if it has a screen.
func addScreen(p *plan, s *step) bool {
	if isExactClaim(s) && p.memory.Header != "" {
		p.claims = append(p.claims, &claimScreen{path: s.cond.attribute.claim, values: s.cond.set})
		return true
	}
	screen := newScreen(s, p.peerIsClient)
	if screen == nil {
		return false
	}
	p.middle = append(p.middle, screen)
	return true
}

func isExactClaim(s *step) bool {
	if s.kind != stepCondition || s.cond.negated || s.cond.attribute.kind != fromClaim {
		return false
	}
	return s.cond.set != nil && !jwt.IsElement(s.cond.attribute.claim)
}

// newScreen is the screen of a step, nil where it has none.
func newScreen(s *step, peerIsClient bool) *screen {
	if s.kind == stepHeader && len(s.exits) <= maxAlternatives {
		values := make(map[string]bool, len(s.exits))
		for v := range s.exits {
			values[v] = true
		}
		return compileScreen(&screen{step: s, key: s.key}, "^"+alternatives(values)+"$")
	}
	if s.kind != stepCondition || s.cond.negated || s.cond.attribute.vouched {
		return nil
	}
	c := s.cond
	switch c.attribute.kind {
	case fromHeader:
		return compileScreen(&screen{step: s, key: c.attribute.key}, valueScreen(c, "^", "$"))
	case fromCookie:
		pair := regexp.QuoteMeta(c.attribute.key) + `[ \t]*=`
		return compileScreen(&screen{step: s, key: "Cookie"}, pair+valueScreen(c, `[ \t]*"?`, ""))
	case fromIP:
		if peerIsClient && c.nets != nil && len(c.nets.prefixes) <= maxAlternatives {
			return compileScreen(&screen{step: s, peer: true}, peerScreen(c.nets))
		}
	}
	return nil
}

func compileScreen(s *screen, pattern string) *screen {
	compiled, err := regexp.Compile(pattern)
	if err != nil { // too large for the package
		return nil
	}
	s.pattern = compiled
	return s
}

// valueScreen matches text that holds a value for which the condition may hold, where start and end
// match what borders a value. It may match more, never less.
func valueScreen(c *condition, start, end string) string {
	switch c.op {
	case "=", "in":
		if len(c.set) <= maxAlternatives {
			return start + alternatives(c.set) + end
		}
	case "prefix":
		return start + regexp.QuoteMeta(c.operand)
	case "matches":
		if end != "" { // the text is the value
			return c.pattern.String()
		}
	case "contains", "suffix":
		if end != "" {
			return regexp.QuoteMeta(c.operand)
		}
	case "semver", "<", "<=", ">", ">=":
		return start + `[v+-]?[0-9]`
	}
	return ""
}

func alternatives(values map[string]bool) string {
	quoted := make([]string, 0, len(values))
	for v := range values {
		quoted = append(quoted, regexp.QuoteMeta(v))
	}
	return "(?:" + strings.Join(quoted, "|") + ")"
}

// peerScreen matches address:port in the IPv4 prefixes, and everything that is not IPv4: IPv6 has
// too many spellings for a pattern.
func peerScreen(n *networks) string {
	patterns := []string{`\[`, `[0-9A-Fa-f]*:`}
	for p := range n.prefixes {
		if p.Addr().Is4() {
			patterns = append(patterns, prefixScreen(p))
		}
	}
	return "^(?:" + strings.Join(patterns, "|") + ")"
}

// prefixScreen spells an IPv4 prefix: whole octets as they are, the one that the prefix ends in as
// all its values.
func prefixScreen(p netip.Prefix) string {
	octets := p.Addr().As4()
	text := ""
	for i := 0; i < 4; i++ {
		bits := p.Bits() - 8*i
		if bits <= 0 {
			return text
		}
		free := 0
		if bits < 8 {
			free = 8 - bits
		}
		values := make([]string, 0, 1<<uint(free))
		for v := int(octets[i]); v < int(octets[i])+1<<uint(free); v++ {
			values = append(values, strconv.Itoa(v))
		}
		border := `\.`
		if i == 3 {
			border = "(?::|$)"
		}
		text += "(?:" + strings.Join(values, "|") + ")" + border
	}
	return text
}
