package caddygray

import (
	"maps"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/grayrelease/gray/core/problem"
)

// parseDirective parses the directive `gray`.
func parseDirective(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	handler := &Handler{}
	return handler, handler.UnmarshalCaddyfile(h.Dispenser)
}

// UnmarshalCaddyfile sets up the handler from Caddyfile tokens. Syntax:
//
//	gray [<matcher>] [<service>] {
//		stable  <version>
//		version <name> [<upstream> [weight=<n>]...] {
//			upstreams <upstream> [weight=<n>]...
//			discover  <url>
//			health_uri      <path>
//			health_interval <duration>
//			health_timeout  <duration>
//			health_status   <status>
//			health_body     <regular expression>
//			health_passes   <number>
//			health_fails    <number>
//			health_method   <method>
//			health_port     <port>
//			health_headers {
//				<name> <values...>
//			}
//		}
//		enabled true|false
//		off
//
//		identity  <source>, <source>...
//		anonymous stable|random|cookie
//		cookie    [<name>] [<lifetime>] {
//			name      <name>
//			lifetime  <duration>
//			domain    <domain>
//			path      <path>
//			same_site lax|strict|none
//			secure    auto|always
//			draw      any|navigation
//			secret    <text or file>
//		}
//
//		rule [<name>] <version> {
//			when    <condition>
//			percent <number>
//			salt    <text>
//			everyone
//		}
//		rule [<name>] {
//			when  <condition>
//			split <version> <number> ...
//			salt  <text>
//		}
//		list <name> [<values...>] {
//			<values...>
//		}
//
//		header <name>
//		trust  <addresses...>
//		vouch  peers|gateway
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
//		tester <secret> [<lifetime>]
//
//		rollout <rule> {
//			step      <percentage> [for <duration>] [min <callers>] [until approved]
//			guard     errors|latency [...] [rollback|pause|watch]
//			guard     query <name> <<number> [for <looks>] [rollback|pause|watch]
//			guard     alert <label>=<value> ... [rollback|pause|watch]
//			query     <name> <expression>
//			guard     none
//			alpha     <number>
//			tolerance <number>
//			warmup    <duration>
//			undecided hold|advance|rollback
//			keep      <rules...>
//			build     <text>
//			expires   <duration>
//			freeze    <day> <time> - <day> <time> [<time zone>]
//		}
//
//		policy <file>
//		source <url> {
//			allow_env   <names...>
//			allow_files <folders...>
//			allow_hosts <hosts...>
//			<option> <value>
//		}
//		cache <folder>
//		loop [off] {
//			gateways <number>
//		}
//
//		drain_timeout <duration>
//
//		debug_header [<name>]
//		vary [<headers...>]
//	}
//
// A condition is the rest of its line (see Rule in the package core). Blanks outside of quotes
// count as one. A line that the Caddyfile would read differently ({, }, # or << at the start of a
// word) may be put into backticks as a whole. A rule with one argument has no name of its own,
// unless it has a split.
// `off` is `enabled false`, and `everyone` is `percent 100` in a rule without conditions.
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

// words maps the subdirectives of a block to their readers. Each may occur once, except those that
// are repeatable.
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
		"stable":        p.text("stable", &policy.Stable),
		"version":       p.version,
		"enabled":       p.enabled,
		"off":           p.off,
		"identity":      p.identity,
		"anonymous":     p.text("anonymous", &policy.Anonymous),
		"cookie":        p.cookie,
		"rule":          p.rule,
		"list":          p.list,
		"header":        p.text("header", &policy.Header),
		"trust":         p.texts("trust", &policy.Trust),
		"vouch":         p.text("vouch", &policy.Vouch),
		"jwt":           p.jwt,
		"rollout":       p.rollout,
		"tester":        p.tester,
		"policy":        p.text("", &p.handler.PolicyFile),
		"source":        p.source,
		"cache":         p.text("", &p.handler.Cache),
		"loop":          p.loop,
		"debug_header":  p.debugHeader,
		"vary":          p.vary,
		"drain_timeout": p.duration(&p.handler.DrainTimeout),
	}, "version", "rule", "list")
	if err != nil {
		return err
	}
	return p.check()
}

// block reads a block of subdirectives. A missing block counts as an empty one.
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

// noBlock returns an error if a block follows a subdirective that has none.
func (p *parser) noBlock(word string) error {
	hint := ""
	if word == "when" {
		hint = "; a condition with { in it stands in backticks as a whole"
	}
	return p.d.Errf("%s takes no block%s", word, hint)
}

// mark remembers where a part of the policy was read.
func (p *parser) mark(path string) { p.places[path] = *p.d }

// text returns the reader of a subdirective with one argument.
func (p *parser) text(path string, into *string) func() error {
	return func() error {
		if !p.d.AllArgs(into) {
			return p.d.ArgErr()
		}
		p.mark(path)
		return nil
	}
}

// texts returns the reader of a subdirective with one or more arguments.
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

// flag returns the reader of a subdirective whose argument is true or false.
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

func unknown(d *caddyfile.Dispenser, word string, known []string) error {
	hint := problem.Suggest(word, known)
	if hint == "" {
		hint = " (one of " + strings.Join(known, ", ") + ")"
	}
	return d.Errf("unknown subdirective %q%s", word, hint)
}
