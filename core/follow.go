package core

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"

	"github.com/grayrelease/gray/core/discover"
	"github.com/grayrelease/gray/core/live"
)

// Source is where a policy document is kept that changes while gateways serve: a file, a web server, etcd, Consul or Nacos.
type Source struct {
	// URL of the document, as package source has them: `file:///etc/gray/user.json`, `https://host/user.json`,
	// `etcd://host:2379/key`, `consul://host:8500/key`, `nacos://host:8848/dataId?group=G&namespace=N`. Required.
	URL string `json:"url"`
	// Options outrank those in the URL: user, password, token, TLS and so on. Default: none.
	Options map[string]string `json:"options,omitempty"`
}

// Current is what is in force at one moment. It is never changed, but replaced whole.
type Current struct {
	// Engine decides. It is nil while there is no policy at all: no good document yet, and nothing to fall back to.
	Engine *Engine
	// Upstreams are the instances of each version that the document has a discovery URL for.
	Upstreams map[string][]discover.Instance
}

// FollowOptions say how a source is followed. The zero value is ready for use.
type FollowOptions struct {
	// Service that the documents must be about. Default: any.
	Service string
	// Base is what serves before the first good document: everything goes to its stable version. Default: nothing does.
	Base *Engine
	// Check says what the gateway cannot make of a policy, which is then refused like one that does not parse. Default: nothing is checked.
	// Users of one source share the check of the newest.
	Check func(*Engine) error
	// Cache is a folder for the last good document, the switch and the instances, with which a gateway starts while the source is down.
	// Default: nothing is kept.
	Cache string
	// Logger gets a line for every change and for every new failure. Default: no log.
	Logger *slog.Logger
}

// Follow keeps the policy at a source in force until the user that it returns is released: notify has what is in force once before
// Follow returns and then after each change, one call at a time.
//
// Many may follow the same source; it is watched once. The error is about the configuration: a source that is down is none.
func Follow(s *Source, o FollowOptions, notify func(*Current)) (*live.User, error) {
	base := o.Base
	if base != nil {
		base = base.forced(base.Stable())
	}
	c := live.Config{URL: s.URL, Options: s.Options, Variant: o.Service, CacheDir: o.Cache, Logger: o.Logger}
	c.Compile = func(document []byte) (*live.Policy, error) { return compileChecked(document, o.Service, o.Check) }
	return use(c, base, notify)
}

// FollowInstances is Follow for a policy that stays as it is, whose versions have discovery URLs. It keeps the instances in cache,
// a folder, or nowhere if that is "".
func FollowInstances(p *Policy, cache string, logger *slog.Logger, notify func(*Current)) (*live.User, error) {
	document, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	base, err := Load(document)
	if err != nil {
		return nil, err
	}
	return use(live.Config{Document: document, CacheDir: cache, Logger: logger, Compile: compileDocument}, base, notify)
}

func use(c live.Config, base *Engine, notify func(*Current)) (*live.User, error) {
	c.Notify = func(v *live.View) { notify(current(v, base)) }
	return live.Use(c)
}

// IsDiscovered reports whether any version's instances are in a registry.
func IsDiscovered(p *Policy) bool {
	for _, v := range p.Versions {
		if v.Discover != "" {
			return true
		}
	}
	return false
}

// compileDocument is what a followed document becomes.
func compileDocument(document []byte) (*live.Policy, error) { return compileChecked(document, "", nil) }

func compileChecked(document []byte, service string, check func(*Engine) error) (*live.Policy, error) {
	e, err := Load(document)
	if err != nil {
		return nil, err
	}
	if service != "" && e.service != service {
		return nil, fmt.Errorf("service: the document is about %q, not %q", e.service, service)
	}
	if check != nil {
		if err := check(e); err != nil {
			return nil, err
		}
	}
	e.Start(context.Background())
	p := &live.Policy{Value: e, Service: e.service, Stable: e.Stable(), Versions: sortedVersions(e.versions), Discover: map[string]string{}, Close: e.Close}
	for name, v := range e.versions {
		if v.Discover != "" {
			p.Discover[name] = v.Discover
		}
	}
	return p, nil
}

func current(v *live.View, base *Engine) *Current {
	if v.Policy == nil {
		return &Current{Engine: base}
	}
	e, ok := v.Policy.Value.(*Engine)
	if !ok {
		return &Current{Engine: base}
	}
	if v.Force != "" {
		e = e.forced(v.Force)
	}
	return &Current{Engine: e, Upstreams: v.Upstreams}
}

// forced is the engine with everybody sent to one version, whatever the rules say. It shares all else, so the original is the one
// to close.
func (e *Engine) forced(version string) *Engine {
	f := &Engine{}
	*f = *e
	f.force = version
	f.start = &step{decision: newDecision(version, "")}
	return f
}

// Forced is the version that a switch sends everybody to, "" without one.
func (e *Engine) Forced() string { return e.force }

// maxRepeats bounds how much more an instance can get than the one with the least weight.
const maxRepeats = 100

// Upstreams are the addresses of a version's instances as a balancer takes them that treats all alike: an instance with three times
// the weight of another is there three times.
func Upstreams(instances []discover.Instance) []string {
	least := 0.0
	for _, i := range instances {
		if i.Weight > 0 && (least == 0 || i.Weight < least) {
			least = i.Weight
		}
	}
	upstreams := make([]string, 0, len(instances))
	for _, i := range instances {
		repeats := 1
		if least > 0 {
			repeats = int(i.Weight/least + 0.5)
		}
		if repeats < 1 {
			repeats = 1
		}
		if repeats > maxRepeats {
			repeats = maxRepeats
		}
		for ; repeats > 0; repeats-- {
			upstreams = append(upstreams, i.URL)
		}
	}
	return upstreams
}
