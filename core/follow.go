package core

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"

	"github.com/grayrelease/gray/core/discover"
	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/core/problem"
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
	// Base is what serves before the first good document: everything goes to its stable version. If it is not enabled, everything goes to
	// the stable version of the documents too. Default: nothing serves before.
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
	base, isOff := o.Base, false
	if base != nil {
		isOff = !base.Enabled()
		base = base.With(Overlay{Force: base.Stable(), Reason: "there is no policy document yet: everybody gets the stable version"})
	}
	c := o.config()
	c.URL, c.Options, c.Variant = s.URL, s.Options, o.Service
	c.Notify = func(v *live.View) {
		now := current(v, base)
		if isOff && now.Engine != nil {
			now.Engine = now.Engine.With(Overlay{Force: now.Engine.Stable(), Reason: "the configuration beside the source says off: everybody gets the stable version"})
		}
		notify(now)
	}
	return live.Use(c)
}

// FollowInstances is Follow for a policy that stays as it is, whose versions have discovery URLs. Base has no meaning here. What is wrong
// with the policy is an error.
func FollowInstances(p *Policy, o FollowOptions, notify func(*Current)) (*live.User, error) {
	document, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	c := o.config()
	c.Document, c.Service = document, p.Service
	c.Notify = func(v *live.View) { notify(current(v, nil)) }
	return live.Use(c)
}

func (o FollowOptions) config() live.Config {
	compile := func(document []byte) (*live.Policy, error) { return compileFollowed(document, o) }
	return live.Config{CacheDir: o.Cache, Logger: o.Logger, Compile: compile}
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

// compileFollowed is what a followed document becomes.
func compileFollowed(document []byte, o FollowOptions) (*live.Policy, error) {
	e, err := Load(document)
	if err != nil {
		return nil, err
	}
	if o.Service != "" && e.policy.Service != o.Service {
		return nil, fmt.Errorf("service: the document is about %q, not %q", e.policy.Service, o.Service)
	}
	if o.Check != nil {
		if err := o.Check(e); err != nil {
			return nil, err
		}
	}
	p := &live.Policy{Value: e, Service: e.policy.Service, Stable: e.Stable(), Versions: sortedVersions(e.policy.Versions), Discover: map[string]string{}, Close: e.Close}
	p.Start = func(keys func(error)) {
		e.OnKeys(keys)
		e.Start(context.Background())
	}
	for name, v := range e.policy.Versions {
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
		e = e.With(Overlay{Force: v.Force, Reason: "the switch sends everybody to " + problem.Quote(v.Force)})
	}
	return &Current{Engine: e, Upstreams: v.Upstreams}
}

// Forced is the version that everybody goes to, whatever the rules say: by a switch, before there is a document, or since the configuration
// beside the source is not enabled; "" otherwise.
func (e *Engine) Forced() string { return e.force }

// maxEntries bounds how many more entries than instances a list of upstreams has.
const maxEntries = 256

// Upstreams are the addresses of a version's instances as a balancer takes them that treats all alike: an instance with three times
// the weight of another is there three times. Each is there once at least, and weights that ask for more than maxEntries count less.
func Upstreams(instances []discover.Instance) []string {
	least, sum := math.Inf(1), 0.0
	for _, i := range instances {
		if i.Weight > 0 {
			least = math.Min(least, i.Weight)
			sum += i.Weight
		}
	}
	entries := math.Min(sum/least, maxEntries)
	upstreams := make([]string, 0, len(instances))
	for _, i := range instances {
		upstreams = append(upstreams, i.URL)
		for repeats := i.Weight / sum * entries; repeats >= 1.5; repeats-- {
			upstreams = append(upstreams, i.URL)
		}
	}
	return upstreams
}
