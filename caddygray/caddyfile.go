package caddygray

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/jwt"
	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/core/source"
)

// parseDirective is the directive `gray`.
func parseDirective(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	handler := &Handler{}
	return handler, handler.UnmarshalCaddyfile(h.Dispenser)
}

// UnmarshalCaddyfile sets up the handler from Caddyfile tokens. Syntax:
//
//	gray [<matcher>] [<service>] {
//		stable  <version>
//		version <name> [<upstreams...>] {
//			upstreams <upstreams...>
//			discover  <url>
//			health_uri      <path>
//			health_interval <duration>
//			health_timeout  <duration>
//			health_status   <status>
//		}
//		enabled true|false
//		off
//
//		identity  <source>, <source>...
//		anonymous stable|random|cookie
//		cookie    [<name>] [<lifetime>] {
//			name     <name>
//			lifetime <duration>
//		}
//
//		rule [<name>] <version> {
//			when    <condition>
//			percent <number>
//			salt    <text>
//		}
//		list <name> [<values...>] {
//			<values...>
//		}
//
//		header <name>
//		trust  <addresses...>
//		jwt {
//			header|cookie|query <name>
//			secret|key|jwks|oidc <text>
//			plaintext
//			algorithms <names...>
//			issuer     <text>
//			audience   <texts...>
//			leeway     <duration>
//			verify     true|false
//		}
//
//		policy <file>
//		source <url> {
//			<option> <value>
//		}
//		cache <folder>
//
//		debug_header [<name>]
//		vary [<headers...>]
//	}
//
// A condition is the rest of its line, as everywhere (see Rule in the package core), with these words of the Caddyfile's own:
// blanks outside of quotes count as one; where a line is hard to write (it holds {, }, # or a leading <<) it may stand as a whole
// in backticks. A rule with one argument has no name of its own. `off` is `enabled false`.
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	p := &parser{d: d, handler: h, places: map[string]caddyfile.Dispenser{}}
	return p.directive()
}

const defaultDebugHeader = "X-Gray-Decision"

// parser fills a handler from a `gray` directive.
type parser struct {
	d       *caddyfile.Dispenser
	handler *Handler
	places  map[string]caddyfile.Dispenser // where the parts of the policy were read
}

// words are the subdirectives of a block, and what reads each. Each may be there once, but for those that are repeatable.
type words map[string]func() error

func (p *parser) directive() error {
	p.d.Next() // consume the directive's name
	p.mark("")
	if p.d.NextArg() {
		p.handler.Service = p.d.Val()
		p.mark("service")
	}
	if p.d.NextArg() {
		return p.d.ArgErr()
	}
	policy := &p.handler.Policy
	err := p.block(words{
		"stable":       p.text("stable", &policy.Stable),
		"version":      p.version,
		"enabled":      p.enabled,
		"off":          p.off,
		"identity":     p.identity,
		"anonymous":    p.text("anonymous", &policy.Anonymous),
		"cookie":       p.cookie,
		"rule":         p.rule,
		"list":         p.list,
		"header":       p.text("header", &policy.Header),
		"trust":        p.texts("trust", &policy.Trust),
		"jwt":          p.jwt,
		"policy":       p.text("", &p.handler.PolicyFile),
		"source":       p.source,
		"cache":        p.text("", &p.handler.Cache),
		"debug_header": p.debugHeader,
		"vary":         p.vary,
	}, "version", "rule", "list")
	if err != nil {
		return err
	}
	return p.check()
}

// block reads a block of subdirectives. An absent block is an empty one.
func (p *parser) block(known words, repeatable ...string) error {
	seen := map[string]bool{}
	last := ""
	for nesting := p.d.Nesting(); p.d.NextBlock(nesting); {
		word := p.d.Val()
		if word == "{" {
			return p.noBlock(last)
		}
		last = word
		read := known[word]
		if read == nil {
			return unknown(p.d, word, slices.Sorted(maps.Keys(known)))
		}
		if seen[word] && !slices.Contains(repeatable, word) {
			return p.d.Errf("%s already specified", word)
		}
		seen[word] = true
		if err := read(); err != nil {
			return err
		}
	}
	return nil
}

// noBlock is the error of a block after a subdirective that has none.
func (p *parser) noBlock(word string) error {
	hint := ""
	if word == "when" {
		hint = "; a condition with { in it stands in backticks as a whole"
	}
	return p.d.Errf("%s takes no block%s", word, hint)
}

// mark remembers where a part of the policy was read.
func (p *parser) mark(path string) { p.places[path] = *p.d }

// text makes the reader of a subdirective with one argument.
func (p *parser) text(path string, into *string) func() error {
	return func() error {
		if !p.d.AllArgs(into) {
			return p.d.ArgErr()
		}
		p.mark(path)
		return nil
	}
}

// texts makes the reader of a subdirective with one or more arguments.
func (p *parser) texts(path string, into *[]string) func() error {
	return func() error {
		for p.d.NextArg() {
			p.mark(path)
			*into = append(*into, p.d.Val())
		}
		if len(*into) == 0 {
			return p.d.ArgErr()
		}
		return nil
	}
}

// flag makes the reader of a subdirective whose argument is true or false.
func (p *parser) flag(path string, into **bool) func() error {
	return func() error {
		var text string
		if !p.d.AllArgs(&text) {
			return p.d.ArgErr()
		}
		if text != "true" && text != "false" {
			return p.d.Errf("%s must be true or false, is %q", path, text)
		}
		value := text == "true"
		*into = &value
		p.mark(path)
		return nil
	}
}

// source reads where the policy is kept, and options of the client that reads it.
func (p *parser) source() error {
	from := &live.Source{}
	p.handler.Source = from
	if err := p.text("source", &from.URL)(); err != nil {
		return err
	}
	for nesting := p.d.Nesting(); p.d.NextBlock(nesting); {
		option, value := p.d.Val(), ""
		if _, there := from.Options[option]; there {
			return p.d.Errf("%s already specified", option)
		}
		if !p.d.AllArgs(&value) {
			return p.d.ArgErr()
		}
		if from.Options == nil {
			from.Options = map[string]string{}
		}
		from.Options[option] = value
		p.mark("source." + option)
	}
	return nil
}

func (p *parser) enabled() error {
	if p.handler.Enabled != nil {
		return p.d.Err("enabled and off exclude each other")
	}
	return p.flag("enabled", &p.handler.Enabled)()
}

func (p *parser) off() error {
	if p.d.NextArg() {
		return p.d.ArgErr()
	}
	if p.handler.Enabled != nil {
		return p.d.Err("enabled and off exclude each other")
	}
	p.handler.Enabled = new(bool)
	return nil
}

func (p *parser) version() error {
	if !p.d.NextArg() {
		return p.d.ArgErr()
	}
	name := p.d.Val()
	if _, ok := p.handler.Versions[name]; ok {
		return p.d.Errf("version %q already specified", name)
	}
	path := problem.Field("versions", name)
	p.mark(path)
	v := core.Version{Upstreams: p.d.RemainingArgs()}
	check := &HealthCheck{}
	err := p.block(words{
		"upstreams": func() error {
			if len(v.Upstreams) > 0 {
				return p.d.Err("upstreams already specified")
			}
			return p.texts(path+".upstreams", &v.Upstreams)()
		},
		"discover":        p.text(path+".discover", &v.Discover),
		"health_uri":      p.text("", &check.URI),
		"health_interval": p.duration(&check.Interval),
		"health_timeout":  p.duration(&check.Timeout),
		"health_status":   p.status(&check.Status),
	})
	if err != nil {
		return err
	}
	if p.handler.Versions == nil {
		p.handler.Versions = map[string]core.Version{}
	}
	p.handler.Versions[name] = v
	return p.health(name, check)
}

func (p *parser) health(version string, check *HealthCheck) error {
	if *check == (HealthCheck{}) {
		return nil
	}
	if p.handler.HealthChecks == nil {
		p.handler.HealthChecks = map[string]*HealthCheck{}
	}
	p.handler.HealthChecks[version] = check
	judged := *check // checking fills in defaults, which stay out of the configuration
	if err := judged.provision(); err != nil {
		return p.d.Errf("health check of version %s: %w", version, err)
	}
	return nil
}

func (p *parser) duration(into *caddy.Duration) func() error {
	return func() error {
		var text string
		if !p.d.AllArgs(&text) {
			return p.d.ArgErr()
		}
		duration, err := caddy.ParseDuration(text)
		if err != nil || duration <= 0 {
			return p.d.Errf("%q is no duration above zero (as in 10s or 1m)", text)
		}
		*into = caddy.Duration(duration)
		return nil
	}
}

// status reads a status code, or a class as in 2xx.
func (p *parser) status(into *int) func() error {
	return func() error {
		var text string
		if !p.d.AllArgs(&text) {
			return p.d.ArgErr()
		}
		digits := text
		if len(text) == 3 {
			digits = strings.TrimSuffix(text, "xx")
		}
		status, err := strconv.Atoi(digits)
		if err != nil || status == 0 {
			return p.d.Errf("%q is neither a status nor a class of them (as in 200 or 2xx)", text)
		}
		*into = status
		return nil
	}
}

func (p *parser) identity() error {
	line := p.line()
	if line == "" {
		return p.d.ArgErr()
	}
	for i, source := range splitCommas(line) {
		p.mark(problem.Index("identity", i))
		p.handler.Identity = append(p.handler.Identity, strings.TrimSpace(source))
	}
	return nil
}

func (p *parser) cookie() error {
	cookie := &p.handler.Cookie
	p.mark("cookie")
	args := p.d.RemainingArgs()
	switch len(args) {
	case 2:
		cookie.Lifetime = args[1]
		fallthrough
	case 1:
		cookie.Name = args[0]
	case 0:
	default:
		return p.d.ArgErr()
	}
	once := func(path string, into *string) func() error {
		return func() error {
			if *into != "" {
				return p.d.Errf("%s already specified", p.d.Val())
			}
			return p.text(path, into)()
		}
	}
	return p.block(words{
		"name":     once("cookie.name", &cookie.Name),
		"lifetime": once("cookie.lifetime", &cookie.Lifetime),
	})
}

func (p *parser) rule() error {
	i := len(p.handler.Rules)
	path := problem.Index("rules", i)
	p.mark(path)
	args := p.d.RemainingArgs()
	p.mark(path + ".version")
	var r core.Rule
	switch len(args) {
	case 1:
		r.Version = args[0]
	case 2:
		r.Name, r.Version = args[0], args[1]
	default:
		return p.d.Err("a rule has a name and a version: rule <name> <version>")
	}
	err := p.block(words{
		"when": func() error {
			line := p.line()
			p.mark(problem.Index(path+".when", len(r.When)))
			r.When = append(r.When, line)
			return nil
		},
		"percent": func() error { return p.percent(path+".percent", &r.Percent) },
		"salt":    p.text(path+".salt", &r.Salt),
	}, "when")
	p.handler.Rules = append(p.handler.Rules, r)
	return err
}

func (p *parser) percent(path string, into **float64) error {
	var text string
	if !p.d.AllArgs(&text) {
		return p.d.ArgErr()
	}
	percent, err := strconv.ParseFloat(strings.TrimSuffix(text, "%"), 64)
	if err != nil {
		hint := ""
		if strings.HasPrefix(text, "{env.") {
			hint = "; a number can come from the environment as {$NAME}, which is replaced when the Caddyfile is read"
		}
		return p.d.Errf("percent: %q is no number%s", text, hint)
	}
	*into = &percent
	p.mark(path)
	return nil
}

func (p *parser) list() error {
	if !p.d.NextArg() {
		return p.d.ArgErr()
	}
	name := p.d.Val()
	if _, ok := p.handler.Lists[name]; ok {
		return p.d.Errf("list %q already specified", name)
	}
	p.mark(problem.Field("lists", name))
	values := append([]string{}, p.d.RemainingArgs()...)
	for nesting := p.d.Nesting(); p.d.NextBlock(nesting); {
		values = append(values, p.d.Val())
		values = append(values, p.d.RemainingArgs()...)
	}
	if p.handler.Lists == nil {
		p.handler.Lists = map[string][]string{}
	}
	p.handler.Lists[name] = values
	return nil
}

func (p *parser) jwt() error {
	if p.d.NextArg() {
		return p.d.ArgErr()
	}
	c := &jwt.Config{}
	p.handler.JWT = c
	p.mark("jwt")
	return p.block(words{
		"header": p.text("jwt.header", &c.Header),
		"cookie": p.text("jwt.cookie", &c.Cookie),
		"query":  p.text("jwt.query", &c.Query),
		"secret": p.text("jwt.secret", &c.Secret),
		"key":    p.text("jwt.key", &c.Key),
		"jwks":   p.text("jwt.jwks", &c.JWKS),
		"oidc":   p.text("jwt.oidc", &c.OIDC),
		"plaintext": func() error {
			c.Plaintext = true
			if p.d.NextArg() {
				return p.d.ArgErr()
			}
			return nil
		},
		"algorithms": p.texts("jwt.algorithms", &c.Algorithms),
		"issuer":     p.text("jwt.issuer", &c.Issuer),
		"audience":   p.texts("jwt.audience", &c.Audience),
		"leeway":     p.text("jwt.leeway", &c.Leeway),
		"verify":     p.flag("jwt.verify", &c.Verify),
	})
}

func (p *parser) debugHeader() error {
	p.handler.DebugHeader = defaultDebugHeader
	if p.d.NextArg() {
		p.handler.DebugHeader = p.d.Val()
	}
	if p.d.NextArg() {
		return p.d.ArgErr()
	}
	return p.here(checkHeaderName("debug_header", p.handler.DebugHeader))
}

func (p *parser) vary() error {
	p.handler.Vary = &Vary{Headers: p.d.RemainingArgs()}
	return p.here(p.handler.Vary.check())
}

// here adds the file and line to an error, if it is one.
func (p *parser) here(err error) error {
	if err == nil {
		return nil
	}
	return p.d.WrapErr(err)
}

// line is the rest of the line as the user wrote it, which the Caddyfile's reader has taken apart.
func (p *parser) line() string {
	var parts []string
	var last caddyfile.Token
	for p.d.NextArg() {
		last = p.d.Token()
		part := written(p.d)
		if number, ok := strings.CutPrefix(part, "<"); ok && isOperatorNext(parts) && isNumber(number) {
			parts = append(parts, "<") // which `caddy fmt` moves to the number
			part = number
		}
		parts = append(parts, part)
	}
	if len(parts) == 1 && last.Quoted() {
		return last.Text // the whole line in quotes
	}
	return strings.Join(parts, " ")
}

// written is the current token as it has to stand in a condition.
func written(d *caddyfile.Dispenser) string {
	text := d.Val()
	if token := d.Token(); !token.Quoted() {
		return text
	}
	if !strings.HasPrefix(d.ValRaw(), `"`) { // backticks, which take everything literally, or a heredoc
		text = strings.ReplaceAll(text, `\`, `\\`)
	}
	return `"` + strings.ReplaceAll(text, `"`, `\"`) + `"`
}

// isOperatorNext reports whether a condition's operator can come after these words, since none has come yet.
func isOperatorNext(parts []string) bool {
	if len(parts) == 0 || len(parts) > 3 {
		return false
	}
	switch parts[len(parts)-1] {
	case "=", "!=", "in", "prefix", "suffix", "contains", "matches", "<", "<=", ">", ">=", "semver":
		return false
	}
	return true
}

func isNumber(s string) bool {
	_, err := strconv.ParseFloat(s, 64)
	return err == nil
}

// splitCommas splits at commas that are not in quotes.
func splitCommas(line string) []string {
	var parts []string
	quoted, start := false, 0
	for i := 0; i < len(line); i++ {
		switch {
		case quoted && line[i] == '\\':
			i++
		case line[i] == '"':
			quoted = !quoted
		case line[i] == ',' && !quoted:
			parts = append(parts, line[start:i])
			start = i + 1
		}
	}
	return append(parts, line[start:])
}

// check judges the policy as far as that is possible before it is loaded, so that problems come with file and line. Files are not
// read, and what holds placeholders is judged when they have their values.
func (p *parser) check() error {
	if err := p.checkUpstreams(); err != nil {
		return err
	}
	if err := p.checkSource(); err != nil {
		return err
	}
	if p.handler.PolicyFile != "" {
		if f := firstField(&p.handler.Policy); f != "" {
			return p.d.Errf("%s is given beside the policy file: keep one of the two", f)
		}
		return nil
	}
	policy := p.handler.Policy
	if hasPlaceholders(&policy) || p.handler.Source != nil && firstField(&policy) == "" {
		return nil
	}
	var problems problem.List
	if policy.JWT != nil {
		problems = append(problems, jwt.Check(policy.JWT).Under("jwt")...)
		no := false
		policy.JWT = &jwt.Config{Verify: &no} // any that reads no file
	}
	_, err := core.New(&policy)
	problems = append(problems, problem.Of(err)...)
	problems = append(problems, live.CheckDiscovery(withoutDiscoveryOfTheMachine(policy.Versions))...)
	if p.handler.Source != nil {
		problems = append(problems, checkBase(&policy)...)
	}
	return p.placed(problems)
}

func (p *parser) checkUpstreams() error {
	for _, name := range slices.Sorted(maps.Keys(p.handler.Versions)) {
		upstreams := slices.Clone(p.handler.Versions[name].Upstreams)
		for i, text := range upstreams {
			if globalPlaceholder.MatchString(text) {
				upstreams[i] = fmt.Sprintf("placeholder-%d", i) // like no other
			}
		}
		if _, err := parseUpstreams(upstreams); err != nil {
			return p.placed(problem.Of(err).Under(problem.Field("versions", name)))
		}
	}
	return nil
}

// ofTheMachine is what depends on the environment or on files, which are those of the machine that the Caddyfile is for.
var (
	ofTheMachine = regexp.MustCompile(`\$\{|_file|` + globalPlaceholder.String())
	namedOption  = regexp.MustCompile(`\boption "?(\w+)`)
)

func withoutDiscoveryOfTheMachine(versions map[string]core.Version) map[string]core.Version {
	judged := map[string]core.Version{}
	for name, v := range versions {
		if ofTheMachine.MatchString(v.Discover) {
			v.Discover = ""
		}
		judged[name] = v
	}
	return judged
}

// checkSource judges where the policy is kept, as far as that does not depend on the machine.
func (p *parser) checkSource() error {
	s := p.handler.Source
	if s == nil || ofTheMachine.MatchString(s.URL) {
		return nil
	}
	for option, value := range s.Options {
		if ofTheMachine.MatchString(option) || ofTheMachine.MatchString(value) {
			return nil
		}
	}
	_, err := source.Open(s.URL, s.Options)
	if err == nil {
		return nil
	}
	at := p.place("source")
	if name := namedOption.FindStringSubmatch(err.Error()); name != nil {
		at = p.place("source." + name[1])
	}
	return at.WrapErr(err)
}

// placed adds to each problem the file and line of what it is about.
func (p *parser) placed(problems problem.List) error {
	var all []error
	for _, one := range problems {
		at := p.place(one.Path)
		all = append(all, at.WrapErr(errors.New(one.String())))
	}
	return errors.Join(all...)
}

// place is where the part of the policy at a path was read, or the nearest part around it.
func (p *parser) place(path string) caddyfile.Dispenser {
	for {
		if at, ok := p.places[path]; ok {
			return at
		}
		cut := strings.LastIndexAny(path, ".[")
		if cut < 0 {
			return p.places[""]
		}
		path = path[:cut]
	}
}

func unknown(d *caddyfile.Dispenser, word string, known []string) error {
	hint := problem.Suggest(word, known)
	if hint == "" {
		hint = " (one of " + strings.Join(known, ", ") + ")"
	}
	return d.Errf("unknown subdirective %q%s", word, hint)
}
