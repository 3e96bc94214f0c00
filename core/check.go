package core

import (
	"net/http"
	"regexp"
	"sort"
	"strings"
	"unicode/utf8"

	"github.com/grayrelease/gray/core/allow"
	"github.com/grayrelease/gray/core/jwt"
	"github.com/grayrelease/gray/core/problem"
)

// checker turns a Policy into an Engine and collects what is wrong on the way. Its rules are in
// rule.go.
type checker struct {
	policy   *Policy
	engine   *Engine
	problems problem.List
	allowed  *allow.List // what the document may have the gateway read and ask; nil: everything
}

func (c *checker) note(path, message string) {
	c.problems = append(c.problems, problem.Problem{Path: path, Message: message})
}

// service checks the service and its versions.
func (c *checker) service() {
	p := c.policy
	if p.Service == "" {
		c.note("service", "required: the service's name is part of every bucket's salt")
	} else if !printable(p.Service) {
		c.note("service", "must be UTF-8 without control characters")
	}
	if len(p.Versions) == 0 {
		c.note("versions", "required: name the service's versions")
	}
	for _, name := range sortedVersions(p.Versions) {
		path := problem.Field("versions", name)
		if !IsVersionName(name) {
			c.note(path, "a version's name has 1 to 63 characters of A-Z a-z 0-9 . _ -")
		}
		c.instances(path, p.Versions[name])
	}
	c.version("stable", p.Stable)
	c.engine.stable = newDecision(p.Stable, "", p.Stable)
}

// instances checks where a version's instances are. Whoever follows a discovery URL checks it.
func (c *checker) instances(path string, v Version) {
	if v.Discover != "" && len(v.Upstreams) > 0 {
		c.note(path, "has both upstreams and discover: keep one of them")
	}
	c.weights(problem.Field(path, "upstreams"), v.Upstreams)
	if c.allowed == nil {
		return
	}
	for i, upstream := range v.Upstreams {
		c.followedUpstream(problem.Index(problem.Field(path, "upstreams"), i), upstream)
	}
	if strings.ContainsAny(strings.ReplaceAll(v.Discover, "${", ""), "{") {
		c.note(problem.Field(path, "discover"), onlyOwnPlaceholders)
	}
}

// followedUpstream checks an upstream of a followed document: whether requests may be sent there.
func (c *checker) followedUpstream(path, upstream string) {
	// A gateway that follows the document may expand what is in braces.
	if strings.ContainsAny(upstream, "{}") {
		c.note(path, onlyOwnPlaceholders)
		return
	}
	address, _, err := SplitWeight(upstream)
	if err != nil {
		return // it is noted already
	}
	if network, socket, found := strings.Cut(address, "/"); found && strings.HasPrefix(network, "unix") {
		err = c.allowed.File(socket)
	} else {
		if _, rest, found := strings.Cut(address, "://"); found {
			address = rest
		}
		address, _, _ = strings.Cut(address, "/")
		err = c.allowed.Upstream(address)
	}
	if err != nil {
		c.note(path, err.Error())
	}
}

// ownPlaceholder matches what gateways expand in their own configuration.
var ownPlaceholder = regexp.MustCompile(`\{(env|file|system)\.[^}]*\}|\$\{[^}]*\}|\{\$[^}]*\}`)

// unexpanded notes a text of a followed document that somebody may take to be expanded: the
// placeholder itself would be the secret, or the address.
func (c *checker) unexpanded(path, text string) {
	if c.allowed != nil && ownPlaceholder.MatchString(text) {
		c.note(path, onlyOwnPlaceholders)
	}
}

const onlyOwnPlaceholders = "placeholders in braces are expanded in the gateway's own configuration only, " +
	"not in a followed document: write the value"

// version checks that a version is one of the policy's.
func (c *checker) version(path, name string) {
	if name == "" {
		c.note(path, "required: one of the versions")
		return
	}
	if _, ok := c.policy.Versions[name]; !ok && len(c.policy.Versions) > 0 {
		names := sortedVersions(c.policy.Versions)
		c.note(path, "version "+problem.Quote(name)+" is not in versions"+problem.OneOf(name, names))
	}
}

// takenHeaders have a meaning to servers and proxies, or are read by conditions as something else.
var takenHeaders = []string{
	"Accept-Encoding", "Authorization", "Baggage", "Connection", "Content-Length", "Content-Type", "Cookie", "Expect",
	"Forwarded", "Host", "Keep-Alive", "Origin", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	"User-Agent", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip",
}

// header checks the request header that carries the decision.
func (c *checker) header() {
	name := orDefault(c.policy.Header, DefaultHeader)
	if !isToken(name) {
		c.note("header", problem.Quote(name)+" is not a valid header name")
	}
	c.engine.header = http.CanonicalHeaderKey(name)
	if indexOf(takenHeaders, c.engine.header) >= 0 {
		c.note("header", c.engine.header+" has a meaning of its own: choose another name")
	}
	if separators(name) > maxSeparators {
		c.note("header", problem.Quote(name)+" has more than 6 dashes and underscores: choose a shorter name")
		return
	}
	c.engine.spellings = headerSpellings(c.engine.header)
}

// identity checks who counts as the caller.
func (c *checker) identity() {
	chain := c.policy.Identity
	if len(chain) == 0 {
		chain = []string{"ip"}
	}
	for i, line := range chain {
		path := problem.Index("identity", i)
		a, err := parseIdentity(line)
		if err != nil {
			c.problems = append(c.problems, err.problem(path, line))
			continue
		}
		c.attribute(a, path)
		if c.policy.Vouch == vouchPeers && isSent(a) {
			a.vouched = true
		}
		c.engine.identity = append(c.engine.identity, a)
	}
}

// attribute checks an attribute against the rest of the policy.
func (c *checker) attribute(a *attribute, path string) {
	if wrong := attributes[a.kind].check(c.engine, a); wrong != "" {
		c.note(path, wrong)
	}
}

// anonymous checks what becomes of callers without an identity.
func (c *checker) anonymous() {
	p, e := c.policy, c.engine
	words := []string{anonymousStable, anonymousRandom, anonymousCookie}
	e.anonymous = orDefault(p.Anonymous, anonymousStable)
	if indexOf(words, e.anonymous) < 0 {
		c.note("anonymous", "unknown word "+problem.Quote(e.anonymous)+" (one of stable, random, cookie)"+
			problem.Suggest(e.anonymous, words))
	}
	c.cookie()
}

// trust checks which peers are believed.
func (c *checker) trust() {
	for i, text := range c.policy.Trust {
		if c.engine.trust == nil {
			c.engine.trust = newNetworks()
		}
		if !c.engine.trust.add(text) {
			c.note(problem.Index("trust", i), problem.Quote(text)+" "+notAddress+addressExamples)
		}
	}
}

// vouch checks who vouches for the headers of identities.
func (c *checker) vouch() {
	words := []string{vouchPeers, vouchGateway}
	word := c.policy.Vouch
	if word != "" && indexOf(words, word) < 0 {
		c.note("vouch", "unknown word "+problem.Quote(word)+" (one of peers, gateway)"+problem.Suggest(word, words))
	}
	if word == vouchPeers && len(c.policy.Trust) == 0 {
		c.note("vouch", `"peers" requires trust, which lists the peers whose identity headers count`)
	}
}

// token makes the verifier of claims.
func (c *checker) token() {
	if c.policy.JWT == nil {
		return
	}
	given := c.policy.JWT
	c.unexpanded("jwt.secret", given.Secret)
	c.unexpanded("jwt.key", given.Key)
	c.unexpanded("jwt.jwks", given.JWKS)
	c.unexpanded("jwt.oidc", given.OIDC)
	verifier, err := jwt.NewWithin(given, c.allowed)
	if err != nil {
		c.problems = append(c.problems, problem.Of(err).Under("jwt")...)
		return
	}
	c.engine.verifier = verifier
}

func orDefault(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// IsVersionName reports whether a text can be the name of a version: 1 to 63 characters of A-Z a-z
// 0-9 . _ -
func IsVersionName(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !(c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c == '.' || c == '_' || c == '-') {
			return false
		}
	}
	return s != "" && len(s) <= 63
}

func printable(s string) bool {
	for _, c := range s {
		if c < ' ' || c == 0x7f || c == utf8.RuneError {
			return false
		}
	}
	return true
}

func sortedVersions(versions map[string]Version) []string {
	names := make([]string, 0, len(versions))
	for name := range versions {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}
