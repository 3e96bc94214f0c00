package core

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/grayrelease/gray/core/problem"
)

// parseIdentity reads one line of a policy's identity.
func parseIdentity(line string) (*attribute, *lineError) {
	a, end, err := parseAttribute(line, 0)
	if err != nil {
		return &a, err
	}
	w, _, err := nextWord(line, end)
	if err != nil {
		return &a, err
	}
	if !w.isEnd() {
		message := "nothing may follow the attribute of an identity"
		if kindOf(w) >= 0 || isPlaceholder(w) {
			message = problem.Quote(w.text) + " begins another source: separate sources by commas"
		}
		return &a, &lineError{w.at, message}
	}
	if !attributes[a.kind].isIdentity {
		words := strings.Join(identityWords(), ", ")
		return &a, &lineError{0, a.text + " does not say who the caller is (use one of " + words + ")"}
	}
	return &a, err
}

// isSent reports whether an identity is read from a header that a client may send on another's
// behalf. Cookies and query parameters are always the client's own.
func isSent(a *attribute) bool { return a.kind == fromHeader || a.kind == fromBaggage }

// identityWords returns the words of the attributes that may be an identity.
func identityWords() []string {
	var words []string
	for _, spec := range attributes {
		if spec.isIdentity && spec.word != "" {
			words = append(words, spec.word)
		}
	}
	return words
}

// identity is who the caller is: the first non-empty value along the chain, or "".
func identity(e *Engine, c *Caller) string {
	id, _ := identify(e, c)
	return id
}

// identify also returns which attribute of the chain it was.
func identify(e *Engine, c *Caller) (string, *attribute) {
	for _, a := range e.identity {
		if id := firstIdentity(e, c, a); id != "" {
			return id, a
		}
	}
	return "", nil
}

// firstIdentity is the attribute's first value that can be an identity. Of cookies, one that
// net/http takes for a cookie comes before one that it does not: the service behind sees that one
// too.
func firstIdentity(e *Engine, c *Caller, a *attribute) string {
	odd := ""
	var at cursor
	for {
		id, ok := nextValue(e, c, a, &at)
		if !ok {
			return odd
		}
		if id == "" || len(id) > maxValue {
			continue
		}
		isPlain := a.kind == fromCookie && isPlainCookie(id) // which is ASCII
		if !isPlain && !utf8.ValidString(id) {
			continue
		}
		if isSigned(e, a) {
			if id = signedID(e, id); id != "" {
				return id
			}
			continue
		}
		if a.kind != fromCookie || isPlain {
			return id
		}
		if odd == "" {
			odd = id
		}
	}
}

// bucketID is the identity that percentages go by: the caller's own, or what the policy gives a
// caller without; "" is nobody.
func bucketID(e *Engine, c *Caller) string {
	if id := identity(e, c); id != "" {
		return id
	}
	return anonymousID(e, c)
}

// anonymousID is the identity of a caller who has none, as the policy wants it: "", a random one,
// or one to be remembered in a cookie. A preflight has none to remember: browsers send no cookies
// with it and take none from it, so it would be somebody new each time.
func anonymousID(e *Engine, c *Caller) string {
	if e.anonymous == anonymousStable || e.anonymous == anonymousCookie && isPreflight(c.Request) {
		return ""
	}
	if c.random == "" && e.anonymous == anonymousCookie {
		c.random = rememberedID(e, c)
		if c.random == "" && e.cookieOnPages && !mayOpenPage(c.Request) {
			return ""
		}
	}
	if c.random == "" {
		c.random = newID()
		c.isNew = e.anonymous == anonymousCookie
	}
	return c.random
}

// isPreflight reports whether a browser asks what it may ask: Fetch standard, section 4.8
// ("CORS-preflight fetch").
func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header["Origin"] != nil && r.Header["Access-Control-Request-Method"] != nil
}

// mayOpenPage reports whether a browser may be opening a page: W3C Fetch Metadata, section 2.2.
func mayOpenPage(r *http.Request) bool {
	mode := r.Header["Sec-Fetch-Mode"]
	return len(mode) == 0 || mode[0] == "navigate"
}

// rememberedID returns the random identity in the caller's cookie, "" if there is none.
func rememberedID(e *Engine, c *Caller) string {
	var at cursor
	for {
		id, ok := nextOnLines(c.Request.Header["Cookie"], e.cookieName, &at)
		if !ok {
			return ""
		}
		if len(id) > maxValue || !utf8.ValidString(id) {
			id = ""
		}
		if len(e.cookieKeys) == 0 {
			return id
		}
		if id = signedID(e, id); id != "" {
			return id
		}
	}
}

// newID is 128 random bits: enough that no two callers share one.
func newID() string {
	var b [16]byte
	// rand.Read does not fail on any supported system: it ends the process rather than return weak
	// bytes.
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
