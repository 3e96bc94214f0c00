// The interpreter reads a package's files in order of their names and follows imports at once. So the line that has it choose
// the files written for it must stand in the first file of the first package.
//
// yaegi:tags yaegi

package traefikgray

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"reflect"
	"strings"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/jwt"
)

// Modes of the plugin.
const (
	modeHeader = "header"
	modeProxy  = "proxy"
)

// Config is the middleware's configuration: the policy document, field by field as core.Policy describes it, and what only
// this host has. Traefik matches names without case and drops those that it does not know; a policy in a file of its own, which
// Policy names, is read strictly.
type Config struct {
	// Mode is "header" (the request goes on with a header that says the version, and child routers match it) or "proxy" (requests
	// for other versions than stable are forwarded to their upstreams by the plugin itself). Default: header.
	Mode string `json:"mode,omitempty"`
	// Policy is the path of a JSON file with the policy document. The fields from Service on must be absent then. It is read when
	// Traefik applies a configuration. Default: none.
	Policy string `json:"policy,omitempty"`
	// IPStrategy says which address is the client's, as in Traefik's own middlewares. Default: the connection's peer.
	IPStrategy *core.IPStrategy `json:"ipStrategy,omitempty"`

	Service string `json:"service,omitempty"`
	Enabled *bool  `json:"enabled,omitempty"`
	Stable  string `json:"stable,omitempty"`
	// Versions are read by readVersions: what says nothing but a version's name reaches plugins as an empty string.
	Versions  map[string]interface{} `json:"versions,omitempty"`
	Identity  []string               `json:"identity,omitempty"`
	Anonymous string                 `json:"anonymous,omitempty"`
	Cookie    core.Cookie            `json:"cookie,omitempty"`
	Rules     []core.Rule            `json:"rules,omitempty"`
	Lists     map[string][]string    `json:"lists,omitempty"`
	Header    string                 `json:"header,omitempty"`
	Trust     []string               `json:"trust,omitempty"`
	JWT       *jwt.Config            `json:"jwt,omitempty"`
}

// setup is what both modes are made of.
type setup struct {
	ctx      context.Context
	name     string // of the middleware
	engine   *core.Engine
	clientIP func(*http.Request) string // nil: the connection's peer
}

// newSetup reads the configuration. The error has a line for each problem.
func newSetup(ctx context.Context, config *Config, name string) (*setup, error) {
	s := &setup{ctx: ctx, name: name}
	var problems []string
	if config.Mode != "" && config.Mode != modeHeader && config.Mode != modeProxy {
		problems = append(problems, fmt.Sprintf("mode: unknown word %q (one of header, proxy)", config.Mode))
	}
	clientIP, err := core.NewClientIP(config.IPStrategy)
	if err != nil {
		problems = append(problems, "ipStrategy."+strings.ReplaceAll(err.Error(), "\n", "\nipStrategy."))
	}
	s.clientIP = clientIP
	engine, err := newEngine(config)
	if err != nil {
		problems = append(problems, err.Error())
	}
	if len(problems) > 0 {
		return nil, errors.New(strings.Join(problems, "\n"))
	}
	s.engine = engine
	engine.Start(ctx)
	return s, nil
}

func newEngine(config *Config) (*core.Engine, error) {
	versions, problems := readVersions(config.Versions)
	policy := inlinePolicy(config, versions)
	if config.Policy == "" {
		return withProblems(problems, policy)
	}
	if !reflect.DeepEqual(policy, &core.Policy{}) {
		return nil, fmt.Errorf("policy: the document is in %q, so none of its fields may be given beside it", config.Policy)
	}
	document, err := os.ReadFile(config.Policy)
	if err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	engine, err := core.Load(document)
	if err != nil {
		return nil, errors.New("policy " + strings.ReplaceAll(err.Error(), "\n", "\npolicy "))
	}
	return engine, nil
}

// withProblems makes the engine unless there were problems already, and has all problems in its error.
func withProblems(problems []string, policy *core.Policy) (*core.Engine, error) {
	engine, err := core.New(policy)
	if len(problems) == 0 {
		return engine, err
	}
	if err != nil {
		problems = append(problems, err.Error())
	}
	return nil, errors.New(strings.Join(problems, "\n"))
}

func inlinePolicy(c *Config, versions map[string]core.Version) *core.Policy {
	return &core.Policy{
		Service: c.Service, Enabled: c.Enabled, Stable: c.Stable, Versions: versions,
		Identity: c.Identity, Anonymous: c.Anonymous, Cookie: c.Cookie,
		Rules: c.Rules, Lists: c.Lists, Header: c.Header, Trust: c.Trust, JWT: c.JWT,
	}
}
