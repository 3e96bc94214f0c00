package caddygray

import (
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/jwt"
	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/core/problem"
)

// source reads the URL of the policy's source, and its options.
func (p *parser) source() error {
	from := &live.Source{}
	p.handler.Source = from
	if err := p.text("source", &from.URL)(); err != nil {
		return err
	}
	for nesting := p.d.Nesting(); p.d.NextBlock(nesting); {
		option, value := p.d.Val(), ""
		if list := allowing(from, option); list != nil {
			if *list = append(*list, p.d.RemainingArgs()...); len(*list) == 0 {
				return p.d.ArgErr()
			}
			p.mark(problem.Field("source", option))
			continue
		}
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
		p.mark(problem.Field("source.options", option))
	}
	return nil
}

// allowing returns the list that an option of `source` adds to, nil if it is another option.
func allowing(from *live.Source, option string) *[]string {
	switch option {
	case "allow_env":
		return &from.AllowEnv
	case "allow_files":
		return &from.AllowFiles
	case "allow_hosts":
		return &from.AllowHosts
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
	var v core.Version
	if err := p.upstreams(path, &v.Upstreams); err != nil {
		return err
	}
	check := &HealthCheck{}
	err := p.block(words{
		"upstreams": func() error {
			if len(v.Upstreams) > 0 {
				return p.d.Err("upstreams already specified")
			}
			if err := p.upstreams(path+".upstreams", &v.Upstreams); err != nil || len(v.Upstreams) > 0 {
				return err
			}
			return p.d.ArgErr()
		},
		"discover":        p.text(path+".discover", &v.Discover),
		"health_uri":      p.text("", &check.URI),
		"health_interval": p.duration(&check.Interval),
		"health_timeout":  p.duration(&check.Timeout),
		"health_status":   p.status(&check.Status),
		"health_body":     p.text("", &check.Body),
		"health_passes":   p.count(&check.Passes),
		"health_fails":    p.count(&check.Fails),
		"health_method":   p.text("", &check.Method),
		"health_port":     p.count(&check.Port),
		"health_headers":  p.headers(&check.Headers),
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

// upstreams reads addresses, each with its options behind it.
func (p *parser) upstreams(path string, into *[]string) error {
	for p.d.NextArg() {
		word := p.d.Val()
		name, _, isOption := strings.Cut(word, "=")
		if !isOption || strings.ContainsAny(name, "/:.") {
			*into = append(*into, word)
			p.mark(path)
			continue
		}
		last := len(*into) - 1
		if last < 0 {
			return p.d.Errf("%s follows an upstream", word)
		}
		(*into)[last] += " " + word
	}
	return nil
}

func (p *parser) health(version string, check *HealthCheck) error {
	if reflect.ValueOf(check).Elem().IsZero() {
		return nil
	}
	if p.handler.HealthChecks == nil {
		p.handler.HealthChecks = map[string]*HealthCheck{}
	}
	p.handler.HealthChecks[version] = check
	judged := *check // a copy: checking fills in defaults, which must stay out of the configuration
	if err := judged.provision(); err != nil {
		return p.d.Errf("health check of version %s: %w", version, err)
	}
	return nil
}

// count makes the reader of a subdirective whose argument is a number of 1 or more.
func (p *parser) count(into *int) func() error {
	return func() error {
		word, text := p.d.Val(), ""
		if !p.d.AllArgs(&text) {
			return p.d.ArgErr()
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return p.d.Errf("%s: %q is not a number of 1 or more", word, text)
		}
		*into = n
		return nil
	}
}

// headers makes the reader of a block of headers, each with its values.
func (p *parser) headers(into *http.Header) func() error {
	return func() error {
		if err := p.noArgs(); err != nil {
			return err
		}
		*into = http.Header{}
		for nesting := p.d.Nesting(); p.d.NextBlock(nesting); {
			name, values := p.d.Val(), p.d.RemainingArgs()
			if len(values) == 0 {
				return p.d.ArgErr()
			}
			for _, value := range values {
				into.Add(name, value)
			}
		}
		return nil
	}
}

func (p *parser) duration(into *caddy.Duration) func() error {
	return func() error {
		var text string
		if !p.d.AllArgs(&text) {
			return p.d.ArgErr()
		}
		duration, err := caddy.ParseDuration(text)
		if err != nil || duration <= 0 {
			return p.d.Errf("%q is not a valid duration above zero (as in 10s or 1m)", text)
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
		"name":      once("cookie.name", &cookie.Name),
		"lifetime":  once("cookie.lifetime", &cookie.Lifetime),
		"domain":    once("cookie.domain", &cookie.Domain),
		"path":      once("cookie.path", &cookie.Path),
		"same_site": once("cookie.same_site", &cookie.SameSite),
		"secure":    once("cookie.secure", &cookie.Secure),
		"draw":      once("cookie.draw", &cookie.Draw),
		"secret":    once("cookie.secret", &cookie.Secret),
	})
}

func (p *parser) tester() error {
	p.handler.Tester = &core.Tester{}
	args := p.d.RemainingArgs()
	switch len(args) {
	case 2:
		p.handler.Tester.Lifetime = args[1]
		fallthrough
	case 1:
		p.handler.Tester.Secret = args[0]
	default:
		return p.d.ArgErr()
	}
	p.mark("tester")
	return nil
}

func (p *parser) rule() error {
	i := len(p.handler.Rules)
	path := problem.Index("rules", i)
	p.mark(path)
	args := p.d.RemainingArgs()
	p.mark(path + ".version")
	var r core.Rule
	everyone := false
	err := p.block(words{
		"everyone": func() error {
			everyone = true
			p.mark(path)
			return p.noArgs()
		},
		"when": func() error {
			line := p.line()
			p.mark(problem.Index(path+".when", len(r.When)))
			r.When = append(r.When, line)
			return nil
		},
		"percent": func() error { return p.percent(path+".percent", &r.Percent) },
		"split":   func() error { return p.split(path+".split", &r.Split) },
		"salt":    p.text(path+".salt", &r.Salt),
	}, "when")
	if err == nil && everyone {
		if len(r.When) > 0 || r.Percent != nil || r.Split != nil {
			return p.d.Err("everyone stands alone: it is a rule without when, percent and split")
		}
		all := 100.0
		r.Percent = &all
	}
	if err == nil {
		err = nameRule(&r, args, p.places[path])
	}
	p.handler.Rules = append(p.handler.Rules, r)
	return err
}

// nameRule gives a rule what stands behind the word: a name and a version, or the version alone; a
// rule with a split has a name or nothing.
func nameRule(r *core.Rule, args []string, at caddyfile.Dispenser) error {
	switch {
	case r.Split != nil && len(args) > 1:
		return at.Err("split names the versions: rule [<name>]")
	case r.Split != nil:
		r.Name = strings.Join(args, "")
	case len(args) == 1:
		r.Version = args[0]
	case len(args) == 2:
		r.Name, r.Version = args[0], args[1]
	default:
		return at.Err("a rule has a name and a version: rule <name> <version>")
	}
	return nil
}

// split reads versions and their percentages in turns.
func (p *parser) split(path string, into *map[string]float64) error {
	args := p.d.RemainingArgs()
	if len(args) == 0 || len(args)%2 == 1 {
		return p.d.Err("split has versions and their percentages in turns: split v2 33 v3 33")
	}
	*into = map[string]float64{}
	p.mark(path)
	for i := 0; i < len(args); i += 2 {
		if _, there := (*into)[args[i]]; there {
			return p.d.Errf("version %q already specified", args[i])
		}
		percent, err := p.percentage(args[i+1])
		if err != nil {
			return err
		}
		(*into)[args[i]] = percent
	}
	return nil
}

// noArgs returns an error if the subdirective has arguments.
func (p *parser) noArgs() error {
	if p.d.NextArg() {
		return p.d.ArgErr()
	}
	return nil
}

func (p *parser) percent(path string, into **float64) error {
	args := p.d.RemainingArgs()
	if len(args) == 2 && args[1] == "%" {
		return p.d.Errf("percent: write %s%% in one word, or %s", args[0], args[0])
	}
	if len(args) != 1 {
		return p.d.ArgErr()
	}
	percent, err := p.percentage(args[0])
	if err != nil {
		return err
	}
	*into = &percent
	p.mark(path)
	return nil
}

func (p *parser) percentage(text string) (float64, error) {
	percent, err := strconv.ParseFloat(strings.TrimSuffix(text, "%"), 64)
	if err != nil {
		hint := ""
		if strings.HasPrefix(text, "{env.") {
			hint = "; a number can come from the environment as {$NAME}, which is replaced when the Caddyfile is read"
		}
		return 0, p.d.Errf("percent: %q is not a valid number%s", text, hint)
	}
	return percent, nil
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
	c := &jwt.Config{}
	p.handler.JWT = c
	p.mark("jwt")
	known := words{
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
	}
	args := p.d.RemainingArgs()
	switch {
	case len(args) == 0:
		return p.block(known)
	case known[args[0]] != nil:
		return p.d.Errf("jwt takes a block: put %s on a line of its own, within jwt { and }", strings.Join(args, " "))
	}
	return p.d.ArgErr()
}

func (p *parser) debugHeader() error {
	p.handler.DebugHeader = defaultDebugHeader
	if p.d.NextArg() {
		p.handler.DebugHeader = p.d.Val()
	}
	if p.d.NextArg() {
		return p.d.ArgErr()
	}
	return p.here(checkDebugHeader(p.handler.DebugHeader))
}

func (p *parser) vary() error {
	p.handler.Vary = &Vary{Headers: p.d.RemainingArgs()}
	return p.here(p.handler.Vary.check())
}
