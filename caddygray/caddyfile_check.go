package caddygray

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/jwt"
	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/core/source"
)

// here adds the file and line to an error. It returns nil for nil.
func (p *parser) here(err error) error {
	if err == nil {
		return nil
	}
	return p.d.WrapErr(err)
}

// check checks the policy before it is loaded, so that problems are reported with file and line. It
// reads no files, and values with placeholders are checked later, when the placeholders have been
// replaced.
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
	if jwt.IsFile(policy.Cookie.Secret) {
		policy.Cookie.Secret = ""
	}
	if policy.Tester != nil && jwt.IsFile(policy.Tester.Secret) {
		policy.Tester = &core.Tester{Secret: strings.Repeat("x", 32), Lifetime: policy.Tester.Lifetime}
	}
	engine, err := core.NewOn(host, &policy)
	problems = append(problems, problem.Of(err)...)
	if err == nil && p.handler.Source == nil {
		p.warn(engine.Warnings())
	}
	problems = append(problems, live.CheckDiscovery(withoutDiscoveryOfTheMachine(policy.Versions))...)
	if p.handler.Source != nil {
		problems = append(problems, live.CheckBase(policy.Versions)...)
	}
	return p.placed(problems)
}

// checkUpstreams checks the upstreams, except for placeholders.
func (p *parser) checkUpstreams() error {
	judged := map[string]core.Version{}
	for name, v := range p.handler.Versions {
		upstreams := slices.Clone(v.Upstreams)
		for i, text := range upstreams {
			if globalPlaceholder.MatchString(text) {
				upstreams[i] = fmt.Sprintf("placeholder-%d", i) // like no other
			}
		}
		judged[name] = core.Version{Upstreams: upstreams}
	}
	return p.placed(checkUpstreams(judged))
}

// ofTheMachine matches what depends on the environment or on files of the machine that the
// Caddyfile is for.
var ofTheMachine = regexp.MustCompile(`\$\{|_file|` + globalPlaceholder.String())

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

// checkSource checks the source of the policy, except for what depends on the machine.
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
	return p.placed(problem.Of(err).Under("source"))
}

// logWarning logs what the adapter has to say of a valid Caddyfile, where Caddy's own directives
// do.
var logWarning = func(text string) { caddy.Log().Named("caddyfile").Warn(text) }

// warn logs warnings with file and line.
func (p *parser) warn(warnings problem.List) {
	for _, one := range warnings {
		at := p.place(one.Path)
		logWarning(at.WrapErr(errors.New(one.String())).Error())
	}
}

// placed adds the file and line to each problem.
func (p *parser) placed(problems problem.List) error {
	var all []error
	for _, one := range problems {
		at := p.place(one.Path)
		all = append(all, at.WrapErr(errors.New(one.String())))
	}
	return errors.Join(all...)
}

// place returns where the part of the policy at a path was read, or the nearest part around it.
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
