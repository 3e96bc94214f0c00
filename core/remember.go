package core

import (
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/grayrelease/gray/core/problem"
)

// Words of Cookie.SameSite, Cookie.Secure and Cookie.Draw.
const (
	sameSiteLax    = "lax"
	sameSiteStrict = "strict"
	sameSiteNone   = "none"
	secureAuto     = "auto"
	secureAlways   = "always"
	drawAny        = "any"
	drawNavigation = "navigation"
)

// cookie checks the cookie of random identities.
func (c *checker) cookie() {
	e, cookie := c.engine, &c.policy.Cookie
	e.cookieName = orDefault(cookie.Name, defaultCookie)
	if !isToken(e.cookieName) {
		c.note("cookie.name", problem.Quote(e.cookieName)+" is not a valid cookie name")
	}
	lifetime := orDefault(cookie.Lifetime, defaultLifetime)
	d, err := parseDuration(lifetime)
	if err != nil || d < time.Second {
		c.note("cookie.lifetime", problem.Quote(lifetime)+notLifetime)
	}
	e.cookieLifetime = d
	e.cookieDomain = cookie.Domain
	if cookie.Domain != "" && !isCookieDomain(cookie.Domain) {
		c.note("cookie.domain",
			problem.Quote(cookie.Domain)+" is not a domain that browsers take (write it as in example.com)")
	}
	e.cookiePath = orDefault(cookie.Path, "/")
	if !isCookiePath(e.cookiePath) {
		c.note("cookie.path", problem.Quote(e.cookiePath)+" is not a path (one begins with /, and has no ; in it)")
	}
	c.sameSite(orDefault(cookie.SameSite, sameSiteLax))
	secure := orDefault(cookie.Secure, secureAuto)
	e.cookieSecure = secure == secureAlways
	words := []string{secureAuto, secureAlways}
	if indexOf(words, secure) < 0 {
		c.note("cookie.secure", "unknown word "+problem.Quote(secure)+" (one of auto, always)"+problem.Suggest(secure, words))
	}
	c.cookiePrefix()
	draw := orDefault(cookie.Draw, drawAny)
	e.cookieOnPages = draw == drawNavigation
	words = []string{drawAny, drawNavigation}
	if indexOf(words, draw) < 0 {
		c.note("cookie.draw", "unknown word "+problem.Quote(draw)+" (one of any, navigation)"+problem.Suggest(draw, words))
	}
	e.cookieKeys = c.secrets("cookie.secret", cookie.Secret)
}

// sameSite checks that option, and that browsers will keep such a cookie.
func (c *checker) sameSite(word string) {
	e := c.engine
	switch word {
	case sameSiteLax:
		e.cookieSameSite = http.SameSiteLaxMode
	case sameSiteStrict:
		e.cookieSameSite = http.SameSiteStrictMode
	case sameSiteNone:
		e.cookieSameSite = http.SameSiteNoneMode
		if c.policy.Cookie.Secure != secureAlways {
			c.note("cookie.same_site", "none requires secure always: browsers drop such a cookie that is not Secure")
		}
	default:
		words := []string{sameSiteLax, sameSiteStrict, sameSiteNone}
		c.note("cookie.same_site",
			"unknown word "+problem.Quote(word)+" (one of lax, strict, none)"+problem.Suggest(word, words))
	}
}

// cookiePrefix checks what browsers ask of a cookie whose name begins with a prefix of theirs: RFC
// 6265bis, section 4.1.3.
func (c *checker) cookiePrefix() {
	e := c.engine
	name := strings.ToLower(e.cookieName)
	isHostOnly := strings.HasPrefix(name, "__host-")
	if !e.cookieSecure && (isHostOnly || strings.HasPrefix(name, "__secure-")) {
		c.note("cookie.name", problem.Quote(e.cookieName)+" requires secure always: browsers drop it otherwise")
	}
	if isHostOnly && (e.cookieDomain != "" || e.cookiePath != "/") {
		c.note("cookie.name", problem.Quote(e.cookieName)+" allows no domain, and no path but /: browsers drop it otherwise")
	}
}

// isCookieDomain reports whether net/http writes the domain, and browsers take it.
func isCookieDomain(domain string) bool {
	domain = strings.TrimPrefix(domain, ".")
	if domain == "" || len(domain) > 253 || net.ParseIP(domain) != nil {
		return false
	}
	for _, label := range strings.Split(domain, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := 0; i < len(label); i++ {
			if !strings.ContainsRune(hostBytes, rune(label[i])) {
				return false
			}
		}
	}
	return true
}

const hostBytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-"

func isCookiePath(path string) bool {
	for i := 0; i < len(path); i++ {
		if path[i] < ' ' || path[i] > '~' || path[i] == ';' {
			return false
		}
	}
	return strings.HasPrefix(path, "/")
}

// newCookie remembers a new random identity in the caller's browser, and only when the decision
// needed it, because a Set-Cookie keeps responses out of caches.
//
// The request has the cookie from now on, so that whoever decides next, for another service, does
// not make the caller another identity.
func newCookie(e *Engine, c *Caller) (request, response string) {
	value := c.random
	if len(e.cookieKeys) > 0 {
		value += "." + signature(e.cookieKeys[0], e.cookieName, c.random)
	}
	cookie := e.cookieFor(c, e.cookieName, value)
	cookie.MaxAge = int(e.cookieLifetime / time.Second)
	request = e.cookieName + "=" + value
	if lines := c.Request.Header["Cookie"]; len(lines) > 0 {
		request = strings.Join(lines, "; ") + "; " + request
	}
	return request, cookie.String()
}

// cookieFor is a cookie of the policy's for a caller.
func (e *Engine) cookieFor(c *Caller, name, value string) *http.Cookie {
	return &http.Cookie{
		Name: name, Value: value, Domain: e.cookieDomain, Path: e.cookiePath,
		HttpOnly: true, SameSite: e.cookieSameSite, Secure: e.cookieSecure || isSecure(e, c),
	}
}
