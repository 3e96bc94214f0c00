package service

import (
	"errors"
	"log/slog"
	"strings"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/discover"
	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/core/problem"
)

// Target says where a service runs that others call, and by whose policy. In URLs, {service} stands
// for the service's name, so that one target can serve for many. Discover with Stable, Source or
// Policy is required.
type Target struct {
	// Discover is the URL by which the registry lists all of the service's instances, of whatever
	// version: consul://127.0.0.1:8500/user-service, nacos://host:8848/user-service,
	// etcd://host:2379/user-service/. The metadata `version` of an instance says which it is; one
	// that says nothing counts as stable. It outranks what a policy says of places, so that one
	// policy, and one switch, can be about several services. Default: the policy says where its
	// versions run.
	Discover string
	// Options of Discover, which outrank those in its URL: user, password, token, TLS and so on.
	// Default: none.
	Options map[string]string
	// Stable is the version that callers get who carry no other. Default: that of the policy.
	Stable string
	// Source is where the service's policy is followed, with the kill switch and the rollout beside
	// it. Of the policy its stable version counts, what its versions are and where they run, and what
	// outranks its rules. The rules themselves decide at the gateway. Default: none.
	Source *live.Source
	// Policy is a policy in place, or beside a Source what serves before the first document. Default:
	// none.
	Policy *core.Policy
	// Cache is a folder where the last good policy and its instances are kept; see live.Options.
	// Default: nothing is kept.
	Cache string
	// Logger gets a line for each change and each new failure. Default: slog.Default().
	Logger *slog.Logger
}

// named returns the target of a service: with its name in the URLs.
func (t Target) named(name string) Target {
	t.Discover = strings.ReplaceAll(t.Discover, "{service}", name)
	if t.Source != nil {
		source := *t.Source
		source.URL = strings.ReplaceAll(source.URL, "{service}", name)
		t.Source = &source
	}
	if t.Logger == nil {
		t.Logger = slog.Default()
	}
	return t
}

// hasPolicy reports whether there is a policy to go by.
func (t Target) hasPolicy() bool { return t.Source != nil || t.Policy != nil }

// Check returns what is wrong with the target of a service, a problem.List with the names of fields
// as paths. What is wrong with a policy, Follow alone says.
func (t Target) Check(name string) error {
	t = t.named(name)
	if err := t.check(); err != nil {
		return err
	}
	_, err := t.registry()
	return err
}

// check returns what is wrong with a target, with the names of fields as paths.
func (t Target) check() error {
	switch {
	case t.Discover == "" && !t.hasPolicy():
		return errors.New("it is not known where the service runs: give Discover and Stable, Source or Policy")
	case t.Stable == "" && !t.hasPolicy():
		return problem.New("Stable", "required without a policy: which version do callers get who carry none?")
	case t.Stable != "" && !core.IsVersionName(t.Stable):
		return problem.New("Stable", "%q is not the name of a version: 1 to 63 characters of A-Z a-z 0-9 . _ -", t.Stable)
	case t.Stable != "" && t.hasPolicy() && t.Discover == "":
		return problem.New("Stable", "the policy says which version is stable: leave it out")
	}
	return nil
}

// registry opens Discover, nil without one.
func (t Target) registry() (*discover.Discovery, error) {
	if t.Discover == "" {
		return nil, nil
	}
	d, err := discover.Open(t.Discover, t.Options, nil)
	if err != nil {
		return nil, problem.Of(err).Under("Discover")
	}
	return d, nil
}
