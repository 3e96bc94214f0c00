package core

import (
	"net/http"
	"strings"
)

// Effects are what a decision changes. They are told first, and applied then: a host that has the
// request in its hands applies them by Pass; one that answers another proxy (ext_authz,
// auth_request) sends them.
type Effects struct {
	// Header is the request header that carries the version. Version takes the place of whatever the
	// client sent under that name; "" removes the header.
	Header, Version string
	// Remove names the headers to remove: other spellings of Header, with _ for -. Servers that map
	// both to one name (CGI, and what follows it) would take what the client sent there for Version.
	Remove []string
	// Baggage takes the place of the request's W3C baggage: the client's other members, as they
	// are, and the decision's, which that for the stable version does not have. "" removes the
	// header.
	Baggage string
	// Connection takes the place of the request's Connection header, so that a client which names
	// the headers above there does not have them dropped. nil leaves it as it is.
	Connection []string
	// Cookie takes the place of the request's Cookie header, and SetCookie is added to the response's
	// headers, where the caller is given an identity; see KeepPrivate. "" leaves them as they are.
	Cookie, SetCookie string
	// TesterCookie is added to the response's headers where a tester's link begins or ends; see
	// KeepPrivate. "" adds nothing.
	TesterCookie string
}

// EffectsOf tells what a decision changes for its caller. It changes nothing itself.
func EffectsOf(e *Engine, c *Caller, d *Decision) Effects {
	h := c.Request.Header
	x := Effects{
		Header: e.header, Version: d.Version, Remove: e.spellings, Baggage: d.baggage, TesterCookie: c.testing,
	}
	if lines := h["Baggage"]; lines != nil {
		x.Baggage = withOwn(lines, x.Baggage)
	}
	if options := h["Connection"]; options != nil && !onlyKeepsAlive(options) {
		x.Connection = endToEnd(options, e.header)
	}
	if c.isNew {
		x.Cookie, x.SetCookie = newCookie(e, c)
	}
	return x
}

// Pass tells everybody who comes after about a decision: it applies its effects to the caller's
// request and to the headers of the response. A response with a cookie of ours starts as private;
// see KeepPrivate.
func Pass(e *Engine, c *Caller, response http.Header, d *Decision) {
	x := EffectsOf(e, c, d)
	h := c.Request.Header
	c.passed = [2]string{x.Version, x.Baggage}
	for _, name := range x.Remove {
		delete(h, name)
	}
	h[x.Header] = c.passed[:1:1]
	setBaggage(h, c.passed[1:])
	if x.Connection != nil {
		h["Connection"] = x.Connection
	}
	if x.SetCookie != "" {
		h["Cookie"] = []string{x.Cookie}
	}
	if x.SetCookie != "" || x.TesterCookie != "" {
		Respond(&x, response)
	}
}

// Respond adds to the headers of a response what effects have for the client: the cookies, and with
// them that no shared cache stores the response. It adds nothing where there is no cookie.
func Respond(x *Effects, response http.Header) {
	if x.SetCookie != "" {
		response.Add("Set-Cookie", x.SetCookie)
	}
	if x.TesterCookie != "" {
		response.Add("Set-Cookie", x.TesterCookie)
	}
	if x.SetCookie != "" || x.TesterCookie != "" {
		startPrivate(response)
	}
}

// Told is what a request says of decisions: the version in the engine's header, and that in the
// baggage, which may be of another service's decision; see Decision.Baggage.
type Told struct{ Header, Baggage string }

// Repass corrects what a request says, when another version serves it in the end, as when no
// upstream of the decided one is usable: whoever gets the request is told of the version now. What
// says something else than was told was changed on purpose by somebody in between, and stays.
func Repass(e *Engine, r *http.Request, told Told, now string) {
	h := r.Header
	if values := h[e.header]; len(values) == 1 && values[0] == told.Header {
		h[e.header] = []string{now}
	}
	lines := h["Baggage"]
	if ownIn(lines) != ownMember(told.Baggage, "") {
		return
	}
	setBaggage(h, []string{withOwn(lines, ownMember(now, e.stable.Version))})
}

// setBaggage makes one line the request's baggage, or removes the header if the line is empty.
func setBaggage(h http.Header, line []string) {
	if line[0] == "" {
		delete(h, "Baggage")
		return
	}
	h["Baggage"] = line
}

// EffectsOfNone tells what to change in a request while there is no policy: what the client claims
// of decisions must not reach anybody who would believe it.
func EffectsOfNone(r *http.Request) Effects {
	return Effects{
		Header: DefaultHeader, Remove: defaultSpellings,
		Baggage: withOwn(r.Header["Baggage"], ""),
	}
}

// PassNothing applies EffectsOfNone.
func PassNothing(r *http.Request) {
	x := EffectsOfNone(r)
	delete(r.Header, x.Header)
	for _, name := range x.Remove {
		delete(r.Header, name)
	}
	setBaggage(r.Header, []string{x.Baggage})
}

// onlyKeepsAlive reports whether a Connection header says what most clients say in it.
func onlyKeepsAlive(options []string) bool {
	return len(options) == 1 && strings.EqualFold(options[0], "keep-alive")
}

// endToEnd returns the lines of a Connection header without the names of the decision's headers.
// Proxies drop what is named there (RFC 9110, section 7.6.1), so a client that names them would
// hide the decision from the service.
func endToEnd(options []string, name string) []string {
	lines := make([]string, 0, len(options))
	for _, line := range options {
		var kept []string
		for _, option := range strings.Split(line, ",") {
			option = strings.Trim(option, " \t")
			if !strings.EqualFold(option, name) && !strings.EqualFold(option, "Baggage") {
				kept = append(kept, option)
			}
		}
		lines = append(lines, strings.Join(kept, ", "))
	}
	return lines
}
