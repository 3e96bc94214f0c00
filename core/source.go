package core

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/grayrelease/gray/core/jwt"
	"github.com/grayrelease/gray/core/problem"
)

// Bounds on what a caller sends. A longer value, or a longer query to look for values in, counts as absent, so that no value can make a
// condition expensive. How many there are is bounded by how much of a header the gateway reads.
const (
	maxValue = 8192
	maxQuery = 65536
)

// sourceWords are the sources of a condition line, by sourceKind.
var sourceWords = []string{"header", "cookie", "query", "claim", "baggage", "ip", "path", "host", "method", "identity"}

type sourceKind int

const (
	fromHeader sourceKind = iota
	fromCookie
	fromQuery
	fromClaim
	fromBaggage
	fromIP
	fromPath
	fromHost
	fromMethod
	fromIdentity
	fromAuthority // header Host, which net/http keeps apart from the other headers
)

// source is where values come from: a source word and, for those that have one, its key.
type source struct {
	kind  sourceKind
	text  string   // as written, for explanations
	key   string   // of header (canonical), cookie, query and baggage
	claim jwt.Path // of claim
	// vouched: only a trusted peer's values count. True of what a gateway passes on: its header, its baggage member, and the header
	// that this member stands in.
	vouched bool
}

// parseSource reads a source and its key from byte `at`. It serves conditions and identities alike.
func parseSource(line string, at int) (source, int, *lineError) {
	var s source
	w, end, err := nextWord(line, at)
	if err != nil {
		return s, end, err
	}
	if w.text == "" && !w.quoted {
		return s, end, &lineError{w.at, "source missing (one of " + strings.Join(sourceWords, ", ") + ")"}
	}
	kind := indexOf(sourceWords, w.text)
	if w.quoted || kind < 0 {
		return s, end, &lineError{w.at, "unknown source " + problem.Quote(w.text) + problem.Suggest(w.text, sourceWords)}
	}
	s.kind = sourceKind(kind)
	s.text = w.text
	switch s.kind {
	case fromIP, fromPath, fromHost, fromMethod, fromIdentity:
		return s, end, nil
	}
	k, end, err := nextWord(line, end)
	if err != nil {
		return s, end, err
	}
	if k.text == "" {
		return s, end, &lineError{k.at, "name of the " + w.text + " missing"}
	}
	s.text = strings.TrimSpace(line[w.at:end])
	s.key = k.text
	switch s.kind {
	case fromHeader:
		if !isToken(s.key) {
			return s, end, &lineError{k.at, problem.Quote(s.key) + " is no header name"}
		}
		s.key = http.CanonicalHeaderKey(s.key)
		if s.key == "Host" {
			s.kind = fromAuthority
		}
	case fromCookie:
		if strings.ContainsAny(s.key, ";=") || strings.Trim(s.key, " \t") != s.key {
			return s, end, &lineError{k.at, problem.Quote(s.key) + " is no cookie name"}
		}
	case fromBaggage:
		if !isToken(s.key) {
			return s, end, &lineError{k.at, problem.Quote(s.key) + " is no key of a baggage member"}
		}
	case fromClaim:
		path, problem := jwt.ParsePath(s.key)
		if problem != nil {
			return s, end, &lineError{k.at, problem.Error()}
		}
		s.claim = path
	}
	return s, end, nil
}

// cursor is how far the values of one source have been read for one caller.
type cursor struct {
	line, at      int
	members, size int      // of baggage, which is read within bounds
	claims        []string // of claim
}

// nextValue is the source's next value for the caller, if there is one left. The rules of each source, and what
// makes a value count as absent, stand in the documentation of Policy.
func nextValue(e *Engine, c *Caller, s *source, at *cursor) (string, bool) {
	if s.vouched && !trusted(e, c) {
		return "", false
	}
	switch s.kind {
	case fromHeader:
		return nextLine(c.Request.Header[s.key], at)
	case fromCookie:
		return nextOnLines(c.Request.Header["Cookie"], s.key, at)
	case fromQuery:
		return nextParameter(c.Request.URL.RawQuery, s.key, at)
	case fromBaggage:
		return nextBaggage(c.Request.Header["Baggage"], s.key, at)
	case fromClaim:
		if at.line == 0 {
			at.claims = jwt.Values(claims(e, c), s.claim)
		}
		return nextLine(at.claims, at)
	}
	if at.line > 0 {
		return "", false
	}
	at.line = 1
	switch s.kind {
	case fromIP:
		addr, ok := clientAddr(c)
		if !ok {
			return "", false
		}
		return addr.String(), true
	case fromPath:
		return c.Request.URL.Path, true
	case fromHost:
		return hostname(c.Request.Host), true
	case fromMethod:
		return c.Request.Method, true
	case fromAuthority:
		return c.Request.Host, true
	default: // fromIdentity
		value := identity(e, c)
		return value, value != ""
	}
}

func nextLine(lines []string, at *cursor) (string, bool) {
	if at.line >= len(lines) {
		return "", false
	}
	at.line++
	return lines[at.line-1], true
}

func nextOnLines(lines []string, name string, at *cursor) (string, bool) {
	for at.line < len(lines) {
		value, next := nextCookie(lines[at.line], name, at.at)
		if next >= 0 {
			at.at = next
			return value, true
		}
		at.line++
		at.at = 0
	}
	return "", false
}

// clientAddr is the caller's address: what the host resolved, or else the peer's.
func clientAddr(c *Caller) (netip.Addr, bool) {
	if c.Client != "" {
		return cleanAddr(c.Client)
	}
	return peerAddr(c.Request)
}

func peerAddr(r *http.Request) (netip.Addr, bool) {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return cleanAddr(r.RemoteAddr)
	}
	return peer.Addr().Unmap().WithZone(""), true
}

// trusted reports whether the peer is one whose own gray header and baggage member are believed.
func trusted(e *Engine, c *Caller) bool {
	if e.trust == nil {
		return false
	}
	addr, ok := peerAddr(c.Request)
	return ok && e.trust.contain(addr)
}

// hostname is a host without its port and without the brackets of an IPv6 address.
func hostname(host string) string {
	if strings.HasPrefix(host, "[") {
		if end := strings.IndexByte(host, ']'); end > 0 {
			return host[1:end]
		}
		return host
	}
	if colon := strings.IndexByte(host, ':'); colon >= 0 && strings.IndexByte(host[colon+1:], ':') < 0 {
		return host[:colon]
	}
	return host
}

// isToken reports whether s can be the name of a header (RFC 9110, section 5.6.2).
func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !(c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0) {
			return false
		}
	}
	return s != ""
}

func indexOf(words []string, word string) int {
	for i, w := range words {
		if w == word {
			return i
		}
	}
	return -1
}
