package live

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sort"
	"time"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/allow"
	"github.com/grayrelease/gray/core/discover"
	"github.com/grayrelease/gray/core/problem"
)

// document is a policy document, compiled. All handles that have it in force share it.
type document struct {
	data   []byte // as the source has it; nil of a policy in place
	engine *core.Engine
	wanted map[string]*discover.Discovery // by version
	feeds  map[string]*feed               // by version, once started

	rollout  *core.RolloutState // the newest state of its plan, nil if none was seen
	origin   string
	revision string
	since    time.Time

	holders int // handles that have it in force, and the watch itself
}

// compileDocument checks a document and makes it ready. A panic on the way is an error.
func compileDocument(h core.Host, data []byte, allowed *allow.List) (*document, error) {
	return guarded(func() (*core.Engine, error) { return core.LoadWithin(h, data, allowed) }, allowed)
}

// Check checks a document as those who follow it do, and returns its engine: core.LoadWithin, and
// the URLs of registries.
//
// The error is a problem.List.
func Check(h core.Host, data []byte, allowed *allow.List) (*core.Engine, error) {
	d, err := compileDocument(h, data, allowed)
	if err != nil {
		return nil, problem.Of(err)
	}
	return d.engine, nil
}

func compilePolicy(h core.Host, p *core.Policy) (*document, error) {
	return guarded(func() (*core.Engine, error) { return core.NewOn(h, p) }, nil)
}

func guarded(compile func() (*core.Engine, error), allowed *allow.List) (d *document, err error) {
	defer func() {
		if p := recover(); p != nil {
			d = nil
			err = errors.New(fmt.Sprint("internal error: ", p))
		}
	}()
	e, err := compile()
	if err != nil {
		return nil, err
	}
	if problems := checkDiscovery(e.Versions(), allowed); len(problems) > 0 {
		e.Close()
		return nil, problems
	}
	d = &document{engine: e, wanted: map[string]*discover.Discovery{}, feeds: map[string]*feed{}}
	for _, version := range discovered(e) {
		entry, err := discover.Open(e.Versions()[version].Discover, nil, allowed)
		if err != nil {
			return nil, err
		}
		d.wanted[version] = entry
	}
	return d, nil
}

// CheckDiscovery returns what is wrong with the discovery URLs of versions, with paths from the
// policy's root. It connects to nothing.
func CheckDiscovery(versions map[string]core.Version) problem.List {
	return checkDiscovery(versions, nil)
}

func checkDiscovery(versions map[string]core.Version, allowed *allow.List) problem.List {
	var problems problem.List
	for _, name := range sortedNames(versions) {
		if url := versions[name].Discover; url != "" {
			_, err := discover.Open(url, nil, allowed)
			path := problem.Field(problem.Field("versions", name), "discover")
			problems = append(problems, problem.Of(err).Under(path)...)
		}
	}
	return problems
}

// discovered returns the versions that have a discovery URL, sorted.
func discovered(e *core.Engine) []string {
	var names []string
	for _, name := range versionsOf(e) {
		if e.Versions()[name].Discover != "" {
			names = append(names, name)
		}
	}
	return names
}

func versionsOf(e *core.Engine) []string { return sortedNames(e.Versions()) }

func sortedNames(versions map[string]core.Version) []string {
	names := make([]string, 0, len(versions))
	for name := range versions {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return string(sum[:])
}

func fullDigest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// close ends what the document runs. Requests that loaded it before may still use it.
func (d *document) close(listener int64) {
	defer func() { _ = recover() }()
	for _, f := range d.feeds {
		unfollow(f, listener)
	}
	d.engine.Close()
}
