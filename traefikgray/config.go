// The interpreter reads a package's files in order of their names and follows imports at once. So
// the line that has it choose the files written for it must stand in the first file of the first
// package.
//
// yaegi:tags yaegi

package traefikgray

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"strings"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/jwt"
	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/core/problem"
)

// Modes of the plugin.
const (
	modeHeader = "header"
	modeProxy  = "proxy"
)

// Config is the middleware's configuration: the policy document, field by field as core.Policy
// describes it, and what only this host has. Traefik matches names without case.
type Config struct {
	// Mode is "header" (the request goes on with a header that says the version, and child routers
	// match it) or "proxy" (requests for other versions than stable are forwarded to their upstreams
	// by the plugin itself). Default: proxy if Versions, or the file of Policy, say where a version
	// other than stable runs, else header.
	Mode string `json:"mode,omitempty"`
	// Balance is how mode proxy chooses among a version's upstreams: "turns", or "identity" (a caller
	// stays on one upstream, found by the identity that percentages go by, without a cookie).
	// Default: turns.
	Balance string `json:"balance,omitempty"`
	// Policy is the path of a JSON file with the policy document. The fields from Service on must be
	// absent then. It is read when Traefik applies a configuration. Default: none.
	Policy string `json:"policy,omitempty"`
	// IPStrategy says which address is the client's, as in Traefik's own middlewares. Default: the
	// connection's peer.
	IPStrategy *ipStrategy `json:"ipStrategy,omitempty"`
	// Source is where the policy document is kept that changes without Traefik's configuration. The
	// policy in the fields from Service on then only says which version is stable until there is a
	// first good document. Default: none.
	Source *source `json:"source,omitempty"`
	// Cache is a folder for the last good document, the switch and the instances, with which Traefik
	// starts while their servers are down. Default: none.
	Cache string `json:"cache,omitempty"`
	// StatePath is a path at which the middleware answers with how the policy stands, as JSON, when
	// there is a source or discovery. It shows addresses and errors: put it behind a router with
	// authentication. Default: none.
	StatePath string `json:"statePath,omitempty"`

	Schema  string `json:"$schema,omitempty" mapstructure:"$schema"`
	Service string `json:"service,omitempty"`
	Enabled *bool  `json:"enabled,omitempty"`
	Stable  string `json:"stable,omitempty"`
	// Versions are read by readVersions: what says nothing but a version's name reaches plugins as an
	// empty string.
	Versions  map[string]interface{} `json:"versions,omitempty"`
	Identity  []string               `json:"identity,omitempty"`
	Anonymous string                 `json:"anonymous,omitempty"`
	Cookie    cookie                 `json:"cookie,omitempty"`
	Rules     []rule                 `json:"rules,omitempty"`
	Lists     map[string][]string    `json:"lists,omitempty"`
	Header    string                 `json:"header,omitempty"`
	Trust     []string               `json:"trust,omitempty"`
	Vouch     string                 `json:"vouch,omitempty"`
	JWT       *token                 `json:"jwt,omitempty"`
	Tester    *tester                `json:"tester,omitempty"`
	Rollout   *rollout               `json:"rollout,omitempty"`

	// Rest has the names that are none of the above, each of which is refused.
	Rest map[string]interface{} `json:"-" mapstructure:",remain"`
}

// setup is what both modes are made of.
type setup struct {
	ctx      context.Context
	name     string // of the middleware
	mode     string
	guessed  bool // the mode was not given
	balance  string
	policy   *core.Policy               // nil: the policy is at the source only
	clientIP func(*http.Request) string // nil: the connection's peer
}

// newSetup reads the configuration. The error is a problem.List.
func newSetup(ctx context.Context, config *Config, name string) (*setup, error) {
	s := &setup{ctx: ctx, name: name, mode: config.Mode, balance: config.Balance}
	problems := unknownFields("", reflect.ValueOf(config).Elem())
	unread := readPolicy(s, config)
	problems = append(problems, checkMode(s)...)
	problems = append(problems, checkBalance(s, config.Balance)...)
	clientIP, err := core.NewClientIP(trimmedStrategy(config.IPStrategy))
	problems = append(problems, problem.Of(err).Under("ipStrategy")...)
	s.clientIP = clientIP
	if config.Source != nil && config.Source.URL == "" {
		problems = append(problems, problem.New("source.url",
			"required: the URL of the policy document, as in file:///etc/gray/shop.json")...)
	}
	if config.StatePath != "" && config.StatePath[0] != '/' {
		problems = append(problems, problem.New("statePath", "%q must begin with a slash", config.StatePath)...)
	}
	if unread != nil {
		problems = append(problems, problem.Of(unread)...)
	} else {
		problems = append(problems, checkFollowed(s, config)...)
	}
	if len(problems) == 0 {
		return s, nil
	}
	if s.policy != nil { // else what is wrong with it is found when it is opened
		_, err := core.New(s.policy)
		problems = append(problems, problem.Of(err)...)
	}
	problems = withVersionHint(s, config, problems)
	return nil, problems
}

// withVersionHint adds to what is wrong with the stable version how a version without fields is
// written. In YAML, a name with nothing behind its colon never reaches plugins.
func withVersionHint(s *setup, config *Config, problems problem.List) problem.List {
	if config.Policy != "" || s.policy == nil || s.policy.Stable == "" {
		return problems
	}
	if _, known := s.policy.Versions[s.policy.Stable]; known {
		return problems
	}
	hinted := make(problem.List, 0, len(problems))
	for _, p := range problems {
		isMissing := p.Path == "versions" || p.Path == "stable" && !strings.Contains(p.Message, "did you mean")
		if isMissing {
			p.Message += fmt.Sprintf(": in YAML, a version without fields is %q", s.policy.Stable+": {}")
		}
		hinted = append(hinted, p)
	}
	return hinted
}

// checkMode checks the mode, or finds it by what the policy says where versions run.
func checkMode(s *setup) problem.List {
	switch s.mode {
	case modeHeader, modeProxy:
		return nil
	case "":
		s.guessed = true
		s.mode = modeHeader
		if s.policy != nil && areLocated(s.policy) {
			s.mode = modeProxy
		}
		return nil
	}
	words := []string{modeHeader, modeProxy}
	return problem.New("mode", "unknown word %q (one of header, proxy)%s", s.mode, problem.Suggest(s.mode, words))
}

// areLocated reports whether the policy says where a version other than stable runs.
func areLocated(p *core.Policy) bool {
	for name, v := range p.Versions {
		if name != p.Stable && (len(v.Upstreams) > 0 || v.Discover != "") {
			return true
		}
	}
	return false
}

// checkFollowed checks the options that are about a policy with a source or with discovery.
func checkFollowed(s *setup, config *Config) problem.List {
	var problems problem.List
	if isFollowed(s, config) {
		return nil
	}
	if config.StatePath != "" {
		problems = append(problems, problem.New("statePath",
			"the policy has no state: it has neither a source nor discover")...)
	}
	if config.Cache != "" {
		problems = append(problems, problem.New("cache",
			"there is nothing to keep: the policy has neither a source nor discover")...)
	}
	return problems
}

// isFollowed reports whether anything of the policy may change without Traefik's configuration.
func isFollowed(s *setup, config *Config) bool {
	if config.Source != nil {
		return true
	}
	for _, v := range s.policy.Versions {
		if v.Discover != "" {
			return true
		}
	}
	return false
}

// readPolicy finds the policy in the configuration or the file that it names. Opening it judges it.
func readPolicy(s *setup, config *Config) error {
	versions, problems := readVersions(config.Versions)
	policy := inlinePolicy(config, versions)
	given := !reflect.DeepEqual(policy, &core.Policy{Schema: policy.Schema})
	if config.Policy != "" {
		if given {
			return problem.New("policy", "the document is in %q, so none of its fields may be given beside it", config.Policy)
		}
		return readFile(s, config.Policy)
	}
	if !given && config.Source != nil {
		return nil
	}
	s.policy = policy
	return problems.Err()
}

func readFile(s *setup, path string) error {
	policy, err := live.ReadPolicy(path)
	s.policy = policy
	return problem.Of(err).Under("policy").Err()
}

// inlinePolicy is the policy in the configuration's own fields. Where Traefik splits a text at its
// commas, as in labels, it leaves the space after them, which means nothing in these lists. In
// named lists it may.
func inlinePolicy(c *Config, versions map[string]core.Version) *core.Policy {
	policy := &core.Policy{
		Schema: c.Schema, Service: c.Service, Enabled: c.Enabled, Stable: c.Stable, Versions: versions,
		Identity: trimmed(c.Identity), Anonymous: c.Anonymous, Cookie: c.Cookie.Cookie,
		Lists: c.Lists, Header: c.Header, Trust: trimmed(c.Trust), Vouch: c.Vouch,
		JWT: trimmedJWT(c.JWT),
	}
	for _, r := range c.Rules {
		policy.Rules = append(policy.Rules, r.Rule)
	}
	if c.Tester != nil {
		policy.Tester = &c.Tester.Tester
	}
	if c.Rollout != nil {
		policy.Rollout = &c.Rollout.Rollout
	}
	return policy
}

func trimmed(list []string) []string {
	if list == nil {
		return nil
	}
	all := make([]string, 0, len(list))
	for _, text := range list {
		all = append(all, strings.TrimSpace(text))
	}
	return all
}

func trimmedJWT(c *token) *jwt.Config {
	if c == nil {
		return nil
	}
	t := &jwt.Config{}
	*t = c.Config
	t.Algorithms = trimmed(c.Algorithms)
	t.Audience = trimmed(c.Audience)
	return t
}

func trimmedStrategy(s *ipStrategy) *core.IPStrategy {
	if s == nil {
		return nil
	}
	return &core.IPStrategy{Depth: s.Depth, ExcludedIPs: trimmed(s.ExcludedIPs), IPv6Subnet: s.IPv6Subnet}
}
