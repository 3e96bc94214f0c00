// Package live keeps a policy in force that may change while requests are served: the last good
// document of a source, the kill switch beside it, and the instances that registries list for its
// versions. A policy that never changes is the simplest case of it, so a host has one way for all.
//
// A host calls Open for every place where it needs the policy, and Close when that place is gone:
//
//	handle, err := live.Open(live.Options{
//		Source: &live.Source{URL: "etcd://127.0.0.1:2379/gray/user-service"},
//		Cache:  "/var/lib/gray",
//	})
//	if err != nil {
//		return err
//	}
//	defer handle.Close()
//	http.ListenAndServe(":8080", live.Handler(handle, nil, next))
//
// However many handles there are, one goroutine watches a source over one connection, and so it is
// for each discovery entry. They end with the last handle. Handles of one source share what it
// holds, compiled once; whether a document suits a handle is that handle's own decision.
//
// What holds, always:
//   - a document that is refused never replaces a good one, and neither does a deleted key or a
//     source that is down;
//   - what is in force is replaced whole: a request never sees a mix of two documents;
//   - epochs of the switch only grow, over restarts too if there is a Cache;
//   - nothing here runs while a request is served.
package live

import (
	"encoding/json"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/allow"
	"github.com/grayrelease/gray/core/discover"
	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/core/source"
)

// Source is where a policy document is kept that changes while gateways serve.
type Source struct {
	// URL of the document, as package source has them: `file:///etc/gray/user.json`,
	// `https://host/user.json`, `etcd://host:2379/key`, `consul://host:8500/key`,
	// `nacos://host:8848/dataId?group=G&namespace=N`. Required.
	URL string `json:"url"`
	// Options outrank those in the URL: user, password, token, TLS and so on. Default: none.
	Options map[string]string `json:"options,omitempty"`

	// AllowEnv lists the environment variables that the documents may use, as ${NAME} in discovery
	// URLs. Default: none.
	AllowEnv []string `json:"allow_env,omitempty" mapstructure:"allow_env"`
	// AllowFiles lists the folders, by absolute paths, whose files the documents may name: keys of
	// `jwt`, TLS files of discovery. Default: none.
	AllowFiles []string `json:"allow_files,omitempty" mapstructure:"allow_files"`
	// AllowHosts lists whom the documents may have the gateway ask for instances and keys: names,
	// *.example.com for all names below, addresses, prefixes. Default: everybody but link-local
	// addresses and the metadata services of clouds.
	AllowHosts []string `json:"allow_hosts,omitempty" mapstructure:"allow_hosts"`
}

// allowed bounds the source's documents.
func (s *Source) allowed() *allow.List {
	return &allow.List{Env: s.AllowEnv, Files: s.AllowFiles, Hosts: s.AllowHosts}
}

// Options say what Open keeps in force. One of Policy, File and Source is required.
type Options struct {
	// Policy is a policy in place. Beside a Source it says which version is stable until there is a
	// first good document, and where the versions run that documents give neither upstreams nor a
	// discovery URL. If it is not enabled then, all requests get the stable version of the source's
	// documents too. Default: none.
	Policy *core.Policy
	// File is the path of a policy document that Open reads, in place of Policy. Default: none.
	File string
	// Source is where the document is kept that is followed. Default: none; nothing changes then
	// except the instances of versions with a discovery URL.
	Source *Source
	// Beside is the URL of a place for what stands above a policy without a Source, the switch and
	// where its rollout is, as package source has them: `file:///var/lib/gray/user.json` keeps them in
	// user.json.switch and user.json.rollout. Files are read before Open returns. Default: none;
	// nothing moves a rollout then.
	Beside string
	// Service that the documents must be about. Default: any; beside a Policy, that policy's.
	Service string
	// Cache is a folder for the last good document, the switch and the instances, with which a
	// gateway starts while their servers are down. It is made if need be; files are replaced
	// atomically, and only their owner can read them. Default: nothing is kept.
	Cache string
	// Host is what the gateway offers to policies. Default: nothing.
	Host core.Host
	// Logger gets a line for every change and for every new failure. Default: no log.
	Logger *slog.Logger
	// Apply puts what is in force to work: once before Open returns, then after every change, one
	// call at a time. Its error refuses the document for this handle, whose last good one stays, and
	// is Open's error where nothing can change. A host that serves the stable version itself refuses
	// one that IsLocated says runs nowhere. Apply must be quick, must keep no lock that Open or
	// Close is called under, and must not call this package. Default: nothing is done; see
	// Handle.Current.
	Apply func(*Current) error
}

// Current is what is in force at one moment. It is never changed, but replaced whole.
type Current struct {
	// Engine decides, with the overlay put on it. It is nil while there is no policy at all: no good
	// document yet, and none in place.
	Engine *core.Engine
	// Overlay is what is put on the engine: by the kill switch, by a policy that is not enabled, or
	// for as long as there is no document.
	Overlay core.Overlay
	// Upstreams are the instances of each version that has a discovery URL. A version that is not
	// in it, or has none, has no usable upstream.
	Upstreams map[string][]discover.Instance
	// StableHeld says that the registry lists no instance of the stable version, and that Upstreams
	// has those that it listed last.
	StableHeld bool
	// Rollout is where the policy's rollout is, nil if it has none or that is not known. The engine
	// has its overlay.
	Rollout *core.RolloutState
	// Origin is "source", "kept" (the last good document, not yet confirmed by the source),
	// "configuration" (a policy in place) or "none".
	Origin string
	// Revision is the document's at its source; of a policy in place, the start of its SHA-256.
	Revision string
	// Since is when the document came into force.
	Since time.Time

	base map[string]core.Version // of the policy beside the source
}

// Handle is one use of a policy.
type Handle struct {
	watch *watch
	user  *user
}

// Open keeps a policy in force until the handle is closed. It connects to nothing by itself: Apply
// gets what other handles of the source have in force, or what Cache holds, or the policy in place,
// before Open returns; what the source says follows. The error is about the configuration: a
// problem.List with paths below `policy`'s fields, `source` or a version's `discover`. A source
// that is down is not an error.
func Open(o Options) (*Handle, error) {
	p, err := policyOf(o)
	if err != nil {
		return nil, err
	}
	if o.Source != nil {
		return openSource(o, p)
	}
	if p == nil {
		return nil, problem.New("", "a policy, the path of one, or a source is required")
	}
	return openPolicy(o, p)
}

// policyOf returns the policy that is given in place or in a file, nil if there is none.
func policyOf(o Options) (*core.Policy, error) {
	if o.File == "" {
		return o.Policy, nil
	}
	return ReadPolicy(o.File)
}

func openSource(o Options, p *core.Policy) (*Handle, error) {
	u := newUser(o, p)
	if p != nil {
		if p.Service != u.service {
			return nil, problem.New("service", "the policy beside the source is about %q, not %q", p.Service, u.service)
		}
		base, err := core.NewOn(o.Host, p)
		if err == nil {
			err = CheckBase(base.Versions()).Err()
		}
		if err != nil {
			return nil, err
		}
		setBase(u, base)
	}
	src, err := source.Open(o.Source.URL, o.Source.Options)
	if err != nil {
		return nil, problem.Of(err).Under("source")
	}
	allowed := o.Source.allowed()
	if field, err := allowed.Check(); err != nil {
		return nil, problem.New(problem.Field("source", "allow_"+field), "%s", err)
	}
	started := newWatch(o.Host, src.Name, src.Identity+" "+o.Cache+allowed.Key())
	started.allowed = allowed
	w, err := acquire(started, src, nil, u)
	if err != nil {
		return nil, err
	}
	return &Handle{w, u}, nil
}

func openPolicy(o Options, p *core.Policy) (*Handle, error) {
	text, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	name, key := "configuration of "+p.Service, "configuration "+fullDigest(text)+" "+o.Cache
	var beside *source.Source
	if o.Beside != "" {
		beside, err = source.Open(o.Beside, nil)
		if err != nil {
			return nil, problem.Of(err).Under("beside")
		}
		key += " " + beside.Identity
	}
	u := newUser(o, p)
	started := newWatch(o.Host, name, key)
	started.isInPlace = true
	w, err := acquire(started, beside, p, u)
	if err != nil {
		return nil, err
	}
	return &Handle{w, u}, nil
}

// Current returns what is in force for this handle.
func (h *Handle) Current() *Current { return h.user.current.Load().(*Current) }

// Ready returns a channel that is closed once a policy has been in force for this handle, other
// than the one beside a source.
func (h *Handle) Ready() <-chan struct{} { return h.user.ready }

// State reports how the policy stands.
func (h *Handle) State() State { return h.watch.state(h.user) }

// Recheck has Apply judge again what is in force, after a change of what the host asks of a policy.
// A document that Apply refuses now is rejected as a new one would be: the last one that all
// handles took serves, or else the policy beside the source. The error is Apply's about what
// nothing can take the place of. Recheck must not be called by Apply.
func (h *Handle) Recheck() error { return h.watch.recheck(h.user) }

// Close ends the use. The last handle ends the watch and its connection. When it returns, all is on
// disk and Apply is not called any more. It may be called more than once, but not by Apply.
func (h *Handle) Close() { release(h.watch, h.user) }

// newCurrent makes the value that holds a Current.
func newCurrent() *atomic.Value {
	v := &atomic.Value{}
	v.Store(&Current{Origin: "none"})
	return v
}
