package main

import (
	"encoding/json"
	"strings"

	"github.com/invopop/jsonschema"
)

// Patterns, in what ECMAScript and RE2 have in common.
const (
	versionName = `^[A-Za-z0-9._-]{1,63}$`
	token       = "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"
	printable   = `^[^\x00-\x1f\x7f]*$`
	prefix      = `^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$`
	signing     = `^(file:///|.{32})`

	space    = `[ \t]+`
	blank    = `[ \t]*`
	duration = `[+]?(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+`
	percent  = `[+]?0*(100(\.0*)?|[0-9]{1,2}(\.[0-9]*)?|\.[0-9]+)%`
	lifetime = `^([0-9]+d|` + duration + `)$`
	span     = `^(0|` + duration + `)$`

	upstream  = `@|^` + blank + `[^ \t]*(` + space + `weight=0*([1-9][0-9]{0,2}|1000))?` + blank + `$`
	key       = `("([^"\\]|\\.)+"|[^" \t][^ \t]*)`
	braces    = `\{[^{}]+\}` // Caddy's placeholders
	operators = `(=|!=|in|prefix|suffix|contains|matches|<|<=|>|>=|semver)`
	operand   = `("([^"\\]|\\.)*"` + blank + `(,|$)|[^" \t])`
	condition = `^` + blank + `(not` + space + `)?` +
		`((header|cookie|query|claim|baggage)` + space + key + `|ip|path|host|method|identity|` + braces + `)` + space +
		`(exists` + blank + `$|` + operators + space + operand + `)`
	identity = `^` + blank + `((header|cookie|query|claim|baggage)` + space + key + `|ip|` + braces + `)` + blank + `$`

	step = `^` + blank + percent +
		`(` + space + `(for` + space + duration + `|min` + space + `0*[1-9][0-9]*|until` + space + `approved))*` + blank + `$`
	guard = `^` + blank +
		`(none|(errors(` + blank + `<` + blank + percent + `)?` +
		`|latency(` + space + `p[0-9.]+(` + blank + `<` + blank + duration + `)?)?)` +
		`(` + space + `(rollback|pause|watch))?)` + blank + `$`
	moment = `(Sun|Mon|Tue|Wed|Thu|Fri|Sat)` + space + `([01][0-9]|2[0-3]):[0-5][0-9]`
	freeze = `^` + blank + moment + space + `-` + space + moment + `(` + space + `[A-Za-z0-9_+/-]+)?` + blank + `$`
)

type limit func(*jsonschema.Schema)

// limits are what the fields' types do not say, by the object and the field. What needs more than
// one place of a document to be known, such as whether a version is one of the versions, is beyond
// a schema.
var limits = map[string]limit{
	"Policy.service":   all(nonEmpty, pattern(printable)),
	"Policy.stable":    pattern(versionName),
	"Policy.versions":  all(atLeast(1), names(versionName)),
	"Policy.identity":  items(pattern(identity)),
	"Policy.anonymous": words("stable", "random", "cookie"),
	"Policy.header":    pattern(token),
	"Policy.trust":     items(pattern(prefix)),
	"Policy.vouch":     words("peers", "gateway"),

	"Version": also(`{"not": {"required": ["upstreams", "discover"], "properties": {
		"upstreams": {"minItems": 1}, "discover": {"minLength": 1}}}}`),
	"Version.upstreams": items(pattern(upstream)),
	"Version.discover":  pattern(`^(consul|etcd|nacos|srv)://`),

	"Cookie": also(`{"if": {"required": ["same_site"], "properties": {"same_site": {"const": "none"}}},
		"then": {"required": ["secure"], "properties": {"secure": {"const": "always"}}}}`),
	"Cookie.name":      pattern(token),
	"Cookie.lifetime":  pattern(lifetime),
	"Cookie.domain":    pattern(`^\.?[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*$`),
	"Cookie.path":      pattern(`^/[ -:<-~]*$`),
	"Cookie.same_site": words("lax", "strict", "none"),
	"Cookie.secure":    words("auto", "always"),
	"Cookie.draw":      words("any", "navigation"),
	"Cookie.secret":    pattern(signing),

	"Rule": also(`{"if": {"required": ["split"], "properties": {"split": {"minProperties": 1}}},
		"then": {"not": {"anyOf": [{"required": ["version"]}, {"required": ["percent"]}]}},
		"else": {"required": ["version"]}}`),
	"Rule.name":    all(longest(128), pattern(printable)),
	"Rule.version": pattern(versionName),
	"Rule.when":    items(pattern(condition)),
	"Rule.percent": between("0", "100"),
	"Rule.split": all(names(versionName),
		func(s *jsonschema.Schema) { between("0", "100")(s.AdditionalProperties) }),

	"Tester.secret":   pattern(signing),
	"Tester.lifetime": pattern(lifetime),

	"Rollout.rule":  nonEmpty,
	"Rollout.steps": all(atLeastItems(1), items(pattern(step))),
	"Rollout.guard": all(func(s *jsonschema.Schema) { s.MaxItems = number(20) }, items(pattern(guard))),
	"Rollout.alpha": func(s *jsonschema.Schema) { s.ExclusiveMinimum, s.Maximum = "0", "0.5" },

	"Rollout.tolerance": between("1", "100"),
	"Rollout.warmup":    pattern(span),
	"Rollout.undecided": words("hold", "advance", "rollback"),
	"Rollout.build":     all(longest(256), pattern(printable)),
	"Rollout.expires":   pattern(`^` + duration + `$`),
	"Rollout.freeze":    items(pattern(freeze)),

	"JWT": also(`{"oneOf": [
		{"required": ["secret"]}, {"required": ["key"]}, {"required": ["jwks"]}, {"required": ["oidc"]},
		{"required": ["verify"], "properties": {"verify": {"const": false}}}],
		"not": {"anyOf": [{"required": ["header", "cookie"]}, {"required": ["header", "query"]},
			{"required": ["cookie", "query"]}]}}`),
	"JWT.header": pattern(token),
	"JWT.cookie": pattern(token),
	"JWT.algorithms": items(words("HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512",
		"ES256", "ES384", "ES512", "EdDSA")),
	"JWT.audience": items(nonEmpty),
	"JWT.leeway":   pattern(span),
}

func all(limits ...limit) limit {
	return func(s *jsonschema.Schema) {
		for _, limit := range limits {
			limit(s)
		}
	}
}

func pattern(p string) limit { return func(s *jsonschema.Schema) { s.Pattern = p } }

func nonEmpty(s *jsonschema.Schema) { s.MinLength = number(1) }

func longest(n uint64) limit { return func(s *jsonschema.Schema) { s.MaxLength = number(n) } }

func items(of limit) limit { return func(s *jsonschema.Schema) { of(s.Items) } }

func atLeastItems(n uint64) limit { return func(s *jsonschema.Schema) { s.MinItems = number(n) } }

func atLeast(n uint64) limit { return func(s *jsonschema.Schema) { s.MinProperties = number(n) } }

// names limits the names of a table's entries.
func names(p string) limit {
	return func(s *jsonschema.Schema) { s.PropertyNames = &jsonschema.Schema{Pattern: p} }
}

func words(allowed ...string) limit {
	return func(s *jsonschema.Schema) {
		for _, word := range allowed {
			s.Enum = append(s.Enum, word)
		}
	}
}

func between(low, high json.Number) limit {
	return func(s *jsonschema.Schema) { s.Minimum, s.Maximum = low, high }
}

// also adds a schema that an object must satisfy as well. It panics if the text is none.
func also(text string) limit {
	part := &jsonschema.Schema{}
	decoder := json.NewDecoder(strings.NewReader(text))
	if err := decoder.Decode(part); err != nil {
		panic(err)
	}
	return func(s *jsonschema.Schema) { s.AllOf = append(s.AllOf, part) }
}

func number(n uint64) *uint64 { return &n }
