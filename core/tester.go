package core

import (
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/grayrelease/gray/core/problem"
)

// TesterRule is the rule that decisions by a tester's link name. No rule of a policy that has
// testers may have this name.
const TesterRule = "tester"

// testerParameter is the query parameter of testers' links.
const testerParameter = "gray"

const defaultTesterLifetime = "12h"

// What tokens are signed for, before the service's name. They differ, so that a cookie is no link
// by which its time could be renewed.
const (
	forLink   = "gray-link "
	forCookie = "gray-tester "
)

// tester is a policy's Tester, made ready.
type tester struct {
	keys         []string // of which the first signs
	link, cookie string   // what the tokens of both are signed for
	name         string   // of the cookie
	lifetime     time.Duration
	decisions    map[string]*Decision // by version, as far as the overlay allows them
}

// tester checks the policy's Tester.
func (c *checker) tester() {
	given := c.policy.Tester
	if given == nil {
		return
	}
	t := &tester{link: forLink + c.policy.Service, cookie: forCookie + c.policy.Service}
	if given.Secret == "" {
		c.note("tester.secret", "required: it signs the tokens of links (as `openssl rand -hex 32` makes it)")
	}
	t.keys = c.secrets("tester.secret", given.Secret)
	t.name = testerCookie(c.policy.Service)
	lifetime := orDefault(given.Lifetime, defaultTesterLifetime)
	d, err := parseDuration(lifetime)
	if err != nil || d < time.Second {
		c.note("tester.lifetime", problem.Quote(lifetime)+notLifetime)
	}
	t.lifetime = d
	for i := range c.policy.Rules {
		if c.policy.Rules[i].Name == TesterRule {
			c.note(problem.Index("rules", i)+".name",
				problem.Quote(TesterRule)+" is what decisions by testers' links are named: choose another name")
		}
	}
	c.engine.tester = t
}

// testerCookie is the name of the cookie of testers of a service.
func testerCookie(service string) string {
	name := []byte("gray_tester_" + service)
	for i := range name {
		if !isToken(string(name[i : i+1])) {
			name[i] = '_'
		}
	}
	return string(name)
}

// allowedTester is the engine's tester under its overlay: no link gives a version other than a
// forced one, or a withdrawn one.
func allowedTester(e *Engine) *tester {
	if e.tester == nil {
		return nil
	}
	t := &tester{}
	*t = *e.tester
	t.decisions = map[string]*Decision{}
	if e.force != "" {
		return t
	}
	for version := range e.policy.Versions {
		if indexOf(e.withdrawn, version) < 0 {
			t.decisions[version] = newDecision(version, TesterRule, e.stable.Version)
		}
	}
	return t
}

// TesterVersions returns the versions that testers' links can give without an overlay, sorted. It
// returns none if the policy has no testers.
func (e *Engine) TesterVersions() []string {
	if e.tester == nil {
		return nil
	}
	return sortedVersions(e.policy.Versions)
}

// testerDecision is the decision by a tester's link, or by the cookie that one has set; nil if
// there is neither, and the rules decide.
func testerDecision(e *Engine, c *Caller) *Decision {
	t := e.tester
	if query := c.Request.URL.RawQuery; strings.Contains(query, testerParameter+"=") {
		var at cursor
		token, there := nextParameter(query, testerParameter, &at)
		if there && token == "" {
			endTesting(e, c)
			return nil
		}
		if d := t.decisions[testedVersion(t, t.link, token)]; d != nil {
			beginTesting(e, c, d.Version)
			return d
		}
	}
	var at cursor
	for {
		token, there := nextOnLines(c.Request.Header["Cookie"], t.name, &at)
		if !there {
			return nil
		}
		if d := t.decisions[testedVersion(t, t.cookie, token)]; d != nil {
			return d
		}
	}
}

// testedVersion returns the version of a token, "" if no secret has signed it or its time is over.
// The form is version.seconds.signature, where the seconds are those of Unix time at its end.
func testedVersion(t *tester, purpose, token string) string {
	if token == "" || len(token) > maxValue {
		return ""
	}
	text := signedText(t.keys, purpose, token)
	dot := strings.LastIndexByte(text, '.')
	if dot <= 0 {
		return ""
	}
	until, err := strconv.ParseInt(text[dot+1:], 10, 64)
	if err != nil || time.Now().Unix() >= until {
		return ""
	}
	return text[:dot]
}

// TesterToken returns the token of a tester's link, which is added to any address of the service as
// ?gray=TOKEN. It is good until a time, in seconds.
func TesterToken(secret, service, version string, until time.Time) string {
	return testerToken(secret, forLink+service, version, until)
}

func testerToken(secret, purpose, version string, until time.Time) string {
	text := version + "." + strconv.FormatInt(until.Unix(), 10)
	return text + "." + signature(secret, purpose, text)
}

// beginTesting has the caller's browser get the cookie of a version. Of a preflight it would not
// take one.
func beginTesting(e *Engine, c *Caller, version string) {
	if isPreflight(c.Request) {
		return
	}
	t := e.tester
	cookie := e.cookieFor(c, t.name, testerToken(t.keys[0], t.cookie, version, time.Now().Add(t.lifetime)))
	cookie.MaxAge = int(t.lifetime / time.Second)
	c.testing = cookie.String()
}

// endTesting takes the cookie back, if there is one.
func endTesting(e *Engine, c *Caller) {
	var at cursor
	if _, there := nextOnLines(c.Request.Header["Cookie"], e.tester.name, &at); !there || isPreflight(c.Request) {
		return
	}
	cookie := e.cookieFor(c, e.tester.name, "")
	cookie.MaxAge = -1
	c.testing = cookie.String()
}

// testedVersions returns the versions that testers can be given now, sorted.
func testedVersions(e *Engine) []string {
	if e.tester == nil {
		return nil
	}
	versions := make([]string, 0, len(e.tester.decisions))
	for version := range e.tester.decisions {
		versions = append(versions, version)
	}
	sort.Strings(versions)
	return versions
}
