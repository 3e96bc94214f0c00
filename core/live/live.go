// Package live keeps a policy that comes from somewhere else in force: the last good document of a source, the kill switch beside it, and
// the instances that registries list for its versions.
//
// A host calls Use for every place where it needs the policy and Release when that place is gone. However many users there are, a source
// is watched by one goroutine over one connection, and so is each discovery entry; they end when the last user goes.
//
//	user, err := live.Use(live.Config{
//		URL:      "etcd://127.0.0.1:2379/gray/user-service",
//		CacheDir: "/var/lib/gray",
//		Compile:  compile,                              // document in, policy out
//		Notify:   func(v *live.View) { current.Store(v) }, // what requests are decided by
//	})
//	defer user.Release()
//
// What holds, always:
//   - a document that Compile refuses never replaces a good one, and neither does a deleted key or a source that is down;
//   - a view is replaced whole: a request that loads it once never sees a mix of two documents;
//   - epochs of the switch only grow: a switch once seen is never gone back behind, over restarts too when there is a CacheDir;
//   - nothing here runs while a request is served.
package live

import (
	"errors"
	"log/slog"

	"github.com/grayrelease/gray/core/discover"
	"github.com/grayrelease/gray/core/source"
)

// Config says where a policy comes from and who gets it.
type Config struct {
	// URL of the source; see package source. Required without Document.
	URL string
	// Document is a policy that does not change, instead of URL, for its instances' sake. Service is whose it is. What Compile or
	// discovery finds wrong with it is an error of Use.
	Document []byte
	Service  string
	// Options outrank those of the URL: user, password, token, ca_file ... Optional.
	Options map[string]string
	// Variant keeps users apart who would share otherwise, as their Compile differs. Users with equal URL, Options and Variant share
	// one watch and one compiled policy. Default: "".
	Variant string
	// CacheDir is a folder for the last good document, the switch and the instances, with which a gateway starts while the source is down; of a
	// Document, just for the instances. It is made if need be; files are replaced atomically and readable by their owner only. Default: nothing
	// is kept on disk.
	CacheDir string
	// Compile checks a document and makes it ready. Its error keeps the last good one in force. It runs on the watch's goroutine, or in Use
	// for a document that was kept. Required.
	Compile func(document []byte) (*Policy, error)
	// Notify gets the view in force: once from Use, then after every change, in order, one call at a time. It must be quick, must keep no lock
	// that Use or Release is called under, and must not call this package. Required.
	Notify func(*View)
	// Logger gets a line for every change and for every new failure. Default: no log.
	Logger *slog.Logger
}

// Policy is what Compile makes of a document.
type Policy struct {
	// Value is the compiled policy, for the host.
	Value any
	// Service is the document's service, for logs and the state.
	Service string
	// Stable is the version that serves when the switch names a version that the document does not have.
	Stable string
	// Versions are the names of all versions: what a switch may name.
	Versions []string
	// Discover has the discovery URL of each version that has one; see package discover. A URL that is refused makes the document refused.
	Discover map[string]string
	// Start is called when the policy comes into force, with what hears how the fetches of its keys go: an error when they begin to fail, nil
	// when one succeeds after that. Optional.
	Start func(keys func(error))
	// Close is called when the policy is no longer in any view that users were notified of. Requests that loaded an older view may still
	// use it. Optional.
	Close func()
}

// View is what is in force at one moment. It is never changed.
type View struct {
	// Policy is nil as long as there has been no good document, neither from the source nor from the disk.
	Policy *Policy
	// Force is the version that the kill switch sends every request to, whatever the rules say; "" when there is no switch in force. It is always
	// one of the policy's versions, and "" without a policy.
	Force string
	// Upstreams are the instances of each version that has a discovery URL. A version that is in here without any, or whose registry
	// has not answered yet, has no usable upstream.
	Upstreams map[string][]discover.Instance
}

// User is one user of a policy.
type User struct {
	// Ready is closed once there has been a policy in force.
	Ready <-chan struct{}

	release func()
	state   func() State
}

// Use starts to use a policy. It connects to nothing by itself: Notify has the view in force before Use returns, which is that of the users before,
// or what CacheDir holds, or a view without a policy; what the source says follows. The error is about the configuration.
func Use(c Config) (*User, error) {
	if c.Compile == nil || c.Notify == nil {
		return nil, errors.New("live: Compile and Notify are required")
	}
	src, err := open(c)
	if err != nil {
		return nil, err
	}
	m := &member{config: c}
	s, err := acquire(src, m)
	if err != nil {
		return nil, err
	}
	return &User{Ready: s.ready, release: func() { release(s, m) }, state: s.state}, nil
}

func open(c Config) (*source.Source, error) {
	if c.URL == "" && c.Document != nil {
		return source.Fixed(c.Service, c.Document), nil
	}
	return source.Open(c.URL, c.Options)
}

// Release ends the use. The last one ends the watch and closes its connection; when it returns, all is on disk and nobody is notified any more. It may be called
// more than once, but not by Compile or Notify.
func (u *User) Release() { u.release() }

// State tells how the policy stands.
func (u *User) State() State { return u.state() }
