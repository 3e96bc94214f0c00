package caddygray

import (
	"errors"
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/grayrelease/gray/core"
)

// Matcher matches requests by the decision of a `gray` handler, so that any other handler can
// differ by version. The `gray` handler must run first; a request without a decision does not
// match.
//
// All fields that are set must match.
type Matcher struct {
	// Service names the decision, if a request passes several `gray` handlers. Default: the last
	// decision.
	Service string `json:"service,omitempty"`
	// Versions lists versions, one of which must have been chosen. Default: any.
	Versions []string `json:"versions,omitempty"`
	// Rules lists rules, one of which must have decided. Default: any, or none.
	Rules []string `json:"rules,omitempty"`

	configuration *configuration
}

// CaddyModule returns the Caddy module information.
func (Matcher) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.matchers.gray",
		New: func() caddy.Module { return new(Matcher) },
	}
}

// UnmarshalJSON reads the matcher's JSON strictly.
func (m *Matcher) UnmarshalJSON(data []byte) error { return core.Decode(data, m) }

// Provision has the names looked for in the policies of the configuration.
func (m *Matcher) Provision(ctx caddy.Context) (err error) {
	if m.configuration, err = joinConfiguration(ctx); err != nil {
		return err
	}
	m.configuration.refer(reference{of: "matcher gray", service: m.Service, versions: m.Versions, rules: m.Rules,
		logger: ctx.Logger()})
	return nil
}

// Cleanup leaves the configuration.
func (m *Matcher) Cleanup() error {
	if m.configuration != nil {
		m.configuration.leave()
	}
	return nil
}

// Validate refuses a matcher that is empty.
func (m *Matcher) Validate() error {
	if len(m.Versions) == 0 && len(m.Rules) == 0 {
		return errors.New("the gray matcher wants versions, rules, or both")
	}
	return nil
}

// MatchWithError reports whether the request's decision matches. It never fails.
func (m *Matcher) MatchWithError(r *http.Request) (bool, error) {
	d := stateOf(r).of(m.Service)
	if d == nil {
		return false, nil
	}
	if !d.active.handler.proxies.areThere.Load() {
		d.use()
	}
	return anyOf(m.Versions, d.decision.Version) && anyOf(m.Rules, d.decision.Rule), nil
}

func anyOf(words []string, word string) bool {
	return len(words) == 0 || slices.Contains(words, word)
}

// UnmarshalCaddyfile sets up the matcher from Caddyfile tokens. Syntax:
//
//	gray [<versions...>] {
//		service <name>
//		version <names...>
//		rule    <names...>
//	}
func (m *Matcher) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	for d.Next() { // the same matcher may be given several times in a set
		m.Versions = append(m.Versions, d.RemainingArgs()...)
		for d.NextBlock(0) {
			word := d.Val()
			args := d.RemainingArgs()
			if len(args) == 0 || word == "service" && len(args) > 1 {
				return d.ArgErr()
			}
			switch word {
			case "service":
				if m.Service != "" {
					return d.Err("service already specified")
				}
				m.Service = args[0]
			case "version":
				m.Versions = append(m.Versions, args...)
			case "rule":
				m.Rules = append(m.Rules, args...)
			default:
				return unknown(d, word, []string{"service", "version", "rule"})
			}
		}
	}
	if len(m.Versions) == 0 && len(m.Rules) == 0 {
		return d.Err("the gray matcher wants versions, rules, or both")
	}
	return nil
}

// Interface guards
var (
	_ caddy.Provisioner                 = (*Matcher)(nil)
	_ caddy.CleanerUpper                = (*Matcher)(nil)
	_ caddy.Validator                   = (*Matcher)(nil)
	_ caddyhttp.RequestMatcherWithError = (*Matcher)(nil)
	_ caddyfile.Unmarshaler             = (*Matcher)(nil)
)
