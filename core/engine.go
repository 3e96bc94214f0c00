package core

import (
	"context"
	"net/http"
	"sort"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/grayrelease/gray/core/discover"
	"github.com/grayrelease/gray/core/jwt"
	"github.com/grayrelease/gray/core/problem"
)

// Engine is a policy made ready to decide. It is immutable and safe for any number of requests at once; another policy is
// another Engine.
type Engine struct {
	policy   *Policy
	service  string
	versions map[string]Version
	written  []*rule // as the policy has them
	rules    []*rule // written, as an overlay changes them

	start  *step     // of the compiled rules
	stable *Decision // what nobody's rule gives

	// The two parts of the overlay, each with its reason.
	force, forceReason string
	percent            map[string]float64
	withdrawn          []string
	changeReason       string

	identity       []*source
	anonymous      string
	cookieName     string
	cookieLifetime time.Duration
	header         string
	trust          *networks
	verifier       *jwt.Verifier // nil where no claim is used
}

// rule is a Rule with its lines read.
type rule struct {
	name       string
	conditions []*condition
	percent    float64
	salt       string
	bucket     *bucket // nil at 0 and 100 percent, where nobody's bucket matters
	decision   *Decision
	withdrawn  bool // the version is, so that the rule does not match
}

// list is a named list, prepared once for all conditions that share it.
type list struct {
	values []string
	set    map[string]bool
	nets   *networks // the values as addresses; nil until a condition on ip wants them
}

// New checks a policy and makes it ready. It reads the files that the policy names and does no network I/O; keys that a URL names are
// fetched once Start is called.
//
// The error is a problem.List: everything that is wrong with the policy.
func New(p *Policy) (*Engine, error) {
	b := &builder{policy: p, engine: &Engine{}}
	b.basics()
	b.caller()
	b.token()
	b.rules()
	if len(b.problems) > 0 {
		return nil, b.problems
	}
	e := b.engine
	e.policy = withoutLists(p)
	e.rules = e.written
	return e.With(ownOverlay(p)), nil
}

// Load reads a policy document and makes it ready: ParsePolicy and New in one, with the problems of both.
func Load(document []byte) (*Engine, error) {
	p := &Policy{}
	problems := decodeStrict(document, p)
	e, err := New(p)
	if len(problems) == 0 {
		return e, err
	}
	if more, ok := err.(problem.List); ok {
		problems = addUnseen(problems, more)
	}
	return nil, problems
}

// addUnseen leaves out what is only the consequence of a problem at the same place or around it: a field of the wrong type is
// not missing too, nor is what stands in it.
func addUnseen(problems, more problem.List) problem.List {
	seen := map[string]bool{}
	for _, p := range problems {
		seen[p.Path] = true
	}
	if seen[""] {
		return problems // what was not read cannot be judged
	}
	for _, p := range more {
		if !seenAround(seen, p.Path) {
			problems = append(problems, p)
		}
	}
	return problems
}

func seenAround(seen map[string]bool, path string) bool {
	for path != "" {
		if seen[path] {
			return true
		}
		end := strings.LastIndexAny(path, ".[")
		if end < 0 {
			return false
		}
		path = path[:end]
	}
	return false
}

// withoutLists is a copy of a policy for those who want to know what it says: lists may be large, and are sets by now.
func withoutLists(p *Policy) *Policy {
	slim := &Policy{}
	*slim = *p
	slim.Lists = nil
	return slim
}

// Policy is the policy that the engine was made of, but for its lists. The caller must not change it.
func (e *Engine) Policy() *Policy { return e.policy }

// Service is the policy's service.
func (e *Engine) Service() string { return e.service }

// Enabled reports whether the policy is enabled. An overlay does not count.
func (e *Engine) Enabled() bool { return isEnabled(e.policy) }

// Stable is the name of the stable version.
func (e *Engine) Stable() string { return e.stable.Version }

// Versions are the policy's versions by name. The caller must not change them.
func (e *Engine) Versions() map[string]Version { return e.versions }

// Header is the canonical name of the request header that carries the decision.
func (e *Engine) Header() string { return e.header }

// RuleNames are the names of the rules in order.
func (e *Engine) RuleNames() []string {
	names := make([]string, 0, len(e.rules))
	for _, r := range e.rules {
		names = append(names, r.name)
	}
	return names
}

// Start keeps the keys of the policy's `jwt` fresh in the background until ctx is done or Close is called.
func (e *Engine) Start(ctx context.Context) {
	if e.verifier != nil {
		e.verifier.Start(ctx)
	}
}

// OnKeys sets a function that hears how the fetches of the policy's keys go: an error when they begin to fail, nil when one succeeds
// after that. It must not block. Call it before Start.
func (e *Engine) OnKeys(report func(error)) {
	if e.verifier != nil {
		e.verifier.OnRefresh(report)
	}
}

// Close ends what Start began. The engine still decides afterwards, with the keys it has.
func (e *Engine) Close() {
	if e.verifier != nil {
		e.verifier.Close()
	}
}

// builder turns a Policy into an Engine and collects what is wrong on the way.
type builder struct {
	policy   *Policy
	engine   *Engine
	problems problem.List
}

func (b *builder) note(path, message string) {
	b.problems = append(b.problems, problem.Problem{Path: path, Message: message})
}

// takenHeaders have a meaning to servers and proxies, or are read by conditions as something else.
var takenHeaders = []string{
	"Accept-Encoding", "Authorization", "Baggage", "Connection", "Content-Length", "Content-Type", "Cookie", "Expect", "Forwarded", "Host", "Keep-Alive",
	"Origin", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "User-Agent", "Via", "X-Forwarded-For", "X-Forwarded-Host",
	"X-Forwarded-Proto", "X-Real-Ip",
}

// basics checks the service, its versions and what carries the decision.
func (b *builder) basics() {
	p, e := b.policy, b.engine
	e.service = p.Service
	e.versions = p.Versions
	if p.Service == "" {
		b.note("service", "missing: the service's name is part of every bucket's salt")
	} else if !printable(p.Service) {
		b.note("service", "has control characters or is no UTF-8")
	}
	if len(p.Versions) == 0 {
		b.note("versions", "missing: name the service's versions")
	}
	for _, name := range sortedVersions(p.Versions) {
		if !isVersionName(name) {
			b.note(problem.Field("versions", name), "a version's name has 1 to 63 characters of A-Z a-z 0-9 . _ -")
		}
		b.discovery(problem.Field("versions", name), p.Versions[name])
	}
	b.version("stable", p.Stable)
	e.header = p.Header
	if e.header == "" {
		e.header = defaultHeader
	}
	if !isToken(e.header) {
		b.note("header", problem.Quote(e.header)+" is no header name")
	}
	e.header = http.CanonicalHeaderKey(e.header)
	if indexOf(takenHeaders, e.header) >= 0 {
		b.note("header", e.header+" has a meaning of its own; choose another name")
	}
	e.stable = newDecision(p.Stable, "")
}

// discovery checks where a version's instances are to be found.
func (b *builder) discovery(path string, v Version) {
	if v.Discover == "" {
		return
	}
	if len(v.Upstreams) > 0 {
		b.note(path, "has upstreams and discover: keep one of the two")
	}
	if _, err := discover.Open(v.Discover, nil); err != nil {
		b.problems = append(b.problems, problem.Of(err).Under(problem.Field(path, "discover"))...)
	}
}

// version checks that a version is one of the policy's.
func (b *builder) version(path, name string) {
	if name == "" {
		b.note(path, "missing: which version?")
		return
	}
	if _, ok := b.policy.Versions[name]; !ok && len(b.policy.Versions) > 0 {
		names := sortedVersions(b.policy.Versions)
		b.note(path, "version "+problem.Quote(name)+" is not in versions"+problem.Suggest(name, names))
	}
}

func newDecision(version, rule string) *Decision {
	return &Decision{Version: version, Rule: rule, header: []string{version}, baggage: []string{baggageKey + "=" + version}}
}

// caller checks who counts as the caller, and which peers are believed.
func (b *builder) caller() {
	p, e := b.policy, b.engine
	chain := p.Identity
	if len(chain) == 0 {
		chain = []string{"ip"}
	}
	for i, line := range chain {
		path := problem.Index("identity", i)
		s, end, err := parseSource(line, 0)
		if err == nil {
			if w, _, more := nextWord(line, end); more != nil || w.text != "" || w.quoted {
				err = &lineError{w.at, "nothing may follow an identity's source"}
			} else if s.kind == fromIdentity {
				err = &lineError{0, "an identity cannot be its own source"}
			} else if s.kind == fromPath || s.kind == fromHost || s.kind == fromMethod || s.kind == fromAuthority {
				err = &lineError{0, s.text + " says nothing about who the caller is (use claim, cookie, header, query, baggage or ip)"}
			}
		}
		if err != nil {
			b.problems = append(b.problems, err.problem(path, line))
			continue
		}
		b.vouch(&s, path)
		e.identity = append(e.identity, &s)
	}
	b.anonymous()
	for i, text := range p.Trust {
		if e.trust == nil {
			e.trust = newNetworks()
		}
		if !e.trust.add(text) {
			b.note(problem.Index("trust", i), problem.Quote(text)+" is no address and no prefix (as in 10.1.2.3, 10.0.0.0/8, 2001:db8::/32)")
		}
	}
}

func (b *builder) anonymous() {
	p, e := b.policy, b.engine
	e.anonymous = p.Anonymous
	if e.anonymous == "" {
		e.anonymous = anonymousStable
	}
	if words := []string{anonymousStable, anonymousRandom, anonymousCookie}; indexOf(words, e.anonymous) < 0 {
		b.note("anonymous", "unknown word "+problem.Quote(e.anonymous)+" (one of stable, random, cookie)"+problem.Suggest(e.anonymous, words))
	}
	e.cookieName = p.Cookie.Name
	if e.cookieName == "" {
		e.cookieName = defaultCookie
	}
	if !isToken(e.cookieName) {
		b.note("cookie.name", problem.Quote(e.cookieName)+" is no cookie name")
	}
	lifetime := p.Cookie.Lifetime
	if lifetime == "" {
		lifetime = defaultLifetime
	}
	d, err := time.ParseDuration(lifetime)
	if err != nil || d < time.Second {
		b.note("cookie.lifetime", problem.Quote(lifetime)+" is no duration of a second or more (as in 720h or 30m)")
	}
	e.cookieLifetime = d
}

// vouch marks the sources that only trusted peers may fill, and those that need a verifier.
func (b *builder) vouch(s *source, path string) {
	s.vouched = s.kind == fromHeader && (s.key == b.engine.header || s.key == "Baggage") || s.kind == fromBaggage && s.key == baggageKey
	if s.kind == fromClaim && b.policy.JWT == nil {
		b.note(path, "claim wants `jwt` in the policy, which says how tokens are verified")
	}
}

// token makes the verifier of claims.
func (b *builder) token() {
	if b.policy.JWT == nil {
		return
	}
	verifier, err := jwt.New(b.policy.JWT)
	if err != nil {
		b.problems = append(b.problems, problem.Of(err).Under("jwt")...)
		return
	}
	b.engine.verifier = verifier
}

func (b *builder) rules() {
	lists := make(map[string]*list, len(b.policy.Lists))
	for name, values := range b.policy.Lists {
		set := make(map[string]bool, len(values))
		for _, v := range values {
			if possible(v) {
				set[v] = true
			}
		}
		lists[name] = &list{values: values, set: set}
	}
	names := map[string]int{}
	for i := range b.policy.Rules {
		r := &b.policy.Rules[i]
		path := problem.Index("rules", i)
		name := r.Name
		if name == "" {
			name = "rule-" + strconv.Itoa(i+1)
		}
		if first, taken := names[name]; taken {
			b.note(path+".name", problem.Quote(name)+" is the name of "+problem.Index("rules", first)+" too")
		} else {
			names[name] = i
		}
		if !printable(name) || len(name) > 128 {
			b.note(path+".name", "a rule's name has at most 128 bytes of UTF-8 and no control characters")
		}
		b.version(path+".version", r.Version)
		b.engine.written = append(b.engine.written, b.rule(r, path, name, lists))
	}
}

func (b *builder) rule(r *Rule, path, name string, lists map[string]*list) *rule {
	built := &rule{name: name, percent: 100, salt: r.Salt, decision: newDecision(r.Version, name)}
	if built.salt == "" {
		built.salt = b.policy.Service + "/" + r.Version
	}
	for i, line := range r.When {
		at := problem.Index(path+".when", i)
		c, err := parseCondition(line, lists)
		if err != nil {
			b.problems = append(b.problems, err.problem(at, line))
			continue
		}
		b.vouch(&c.source, at)
		built.conditions = append(built.conditions, c)
	}
	if r.Percent == nil {
		return built
	}
	if !isPercent(*r.Percent) {
		b.note(path+".percent", "must be from 0 to 100, is "+strconv.FormatFloat(*r.Percent, 'g', -1, 64))
		return built
	}
	setPercent(built, *r.Percent)
	return built
}

func isPercent(p float64) bool { return p >= 0 && p <= 100 } // NaN is not

// setPercent says which share of callers a rule takes.
func setPercent(r *rule, percent float64) {
	r.percent = percent
	r.bucket = nil
	if percent > 0 && percent < 100 {
		r.bucket = newBucket(r.salt, percent)
	}
}

func isVersionName(s string) bool {
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

func sortedLists(lists map[string]*list) []string {
	names := make([]string, 0, len(lists))
	for name := range lists {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}
