package core

import "github.com/grayrelease/gray/core/jwt"

// Bounds on what a caller sends. A longer value, or a longer query to look for values in, counts as
// absent, so that no value can make a condition expensive. How many there are is bounded by how
// much of a header the gateway reads.
const (
	maxValue = 8192
	maxQuery = 65536
)

// cursor is how far the values of one attribute have been read for one caller.
type cursor struct {
	line, at      int
	members, size int      // of baggage, which is read within bounds
	claims        []string // of claim
}

// nextValue returns the attribute's next value for the caller, if there is one left. The
// documentation of Policy says what makes a value count as absent.
func nextValue(e *Engine, c *Caller, a *attribute, at *cursor) (string, bool) {
	if a.vouched && !trusted(e, c) {
		return "", false
	}
	switch a.kind {
	case fromHeader:
		return nextLine(c.Request.Header[a.key], at)
	case fromCookie:
		return nextOnLines(c.Request.Header["Cookie"], a.key, at)
	case fromQuery:
		return nextParameter(c.Request.URL.RawQuery, a.key, at)
	case fromBaggage:
		return nextBaggage(c.Request.Header["Baggage"], a.key, at)
	case fromClaim:
		if at.line == 0 {
			at.claims = jwt.Values(claims(e, c), a.claim)
		}
		return nextLine(at.claims, at)
	}
	if at.line > 0 {
		return "", false
	}
	at.line = 1
	switch a.kind {
	case fromIP:
		addr, ok := clientAddr(c)
		if !ok {
			return "", false
		}
		return addr.String(), true
	case fromPath:
		return c.Request.URL.Path, true
	case fromHost:
		return Hostname(c.Request.Host), true
	case fromMethod:
		return c.Request.Method, true
	case fromAuthority:
		return authority(c.Request.Host), true
	case fromPlaceholder:
		return placeholder(c, a.key)
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
