// Package source watches the places where teams keep their policies: a file, an HTTP server, etcd,
// Consul, Nacos.
//
// A source holds several documents, see Key: the policy, and beside it, under names made from the
// policy's own, those that stand above it. The switch forces every request to one version, the
// rollout says how far a plan has come:
//
//	file:///etc/gray/user.json                        and /etc/gray/user.json.switch, .rollout
//	https://config.example.com/user.json              and .../user.json.switch, .rollout
//	etcd://host:2379,host2:2379/gray/user             and keys gray/user/switch, /rollout
//	consul://host:8500/gray/user                      and keys gray/user/switch, /rollout
//	nacos://host:8848/user.json?group=G&namespace=N   and dataIds user.json.switch, .rollout
//
// All are watched by one goroutine over one connection. It is the same code in every host, so it
// keeps to the standard library and to what Yaegi interprets.
package source

import (
	"context"
	"sort"

	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/internal/remote"
)

// Key names a document of a source.
type Key string

// The documents of a source.
const (
	Policy  Key = "policy"
	Switch  Key = "switch"
	Rollout Key = "rollout"
	// Notices says which events of the rollout were told, and by whom. No watch reads it.
	Notices Key = "notices"
)

// keys are what a watch reads, in this order: what stands above a document is read before it.
var keys = []Key{Switch, Rollout, Policy}

// separators stand between the policy's own name and the key of a document beside it.
var separators = map[string]string{
	"file": ".", "http": ".", "https": ".", "nacos": ".",
	"etcd": "/", "consul": "/",
}

// Beside returns what a scheme calls the document, where name is what it calls the policy.
func (k Key) Beside(scheme, name string) string {
	if k == Policy {
		return name
	}
	return name + separators[scheme] + string(k)
}

// Document is what a source has under a key.
type Document struct {
	// Data is what the document says, at most 8 MiB. It must not be changed.
	Data []byte
	// Revision names this content: etcd's mod_revision, Consul's ModifyIndex, Nacos' MD5, the ETag of
	// HTTP, the start of a file's SHA-256.
	Revision string
	// Missing says that there is no such document. Data and Revision are zero then.
	Missing bool
	// Settling says that the document changed less than a second ago, and that whoever writes it may
	// not be done. It is reported again once it has settled. Only files settle.
	Settling bool

	order int64 // grows with every write, as far as the source tells; 0 if it does not
}

// Event is what a watch reports.
type Event struct {
	// Err says why the source, or one of its documents, cannot be read. The watch goes on by itself.
	// All else is zero.
	Err error
	// Contact says that the source answered and that nothing has changed. All else is zero.
	Contact bool

	Key Key
	Document
	// Written says that the document was written after the watch had read what was there before. It
	// is false of the first report, and where the source does not tell: a server that is behind, or
	// was restored from a backup, may give older documents.
	Written bool
}

// Source is a place that a policy comes from.
type Source struct {
	// Name is the URL as people may see it, without credentials.
	Name string
	// Identity is equal for two sources that are the same place, read the same way with the same
	// credentials. It shows none of them.
	Identity string

	file string // the path of a file source, "" of others
	open func() (backend, error)
}

// schemes holds what opens a backend. It checks the address, and does no I/O but reading the TLS
// files that the address names.
var schemes = map[string]func(*remote.Address) (backend, error){
	"file":   newFile,
	"http":   newWeb,
	"https":  newWeb,
	"etcd":   newEtcd,
	"consul": newConsul,
	"nacos":  newNacos,
}

// Open checks a source URL, and the options that outrank those in it; it connects to nothing.
// ${NAME} stands for an environment variable. The error is a problem.List: the path is "" for the
// URL, "options.NAME" for an option. It shows no credentials.
func Open(rawURL string, options map[string]string) (*Source, error) {
	address, err := remote.Resolve(rawURL, options, Schemes(), nil)
	if err != nil {
		return nil, err
	}
	open := func() (backend, error) { return schemes[address.Scheme](address) }
	b, err := open()
	if err != nil {
		return nil, problem.Of(err)
	}
	b.close()
	s := &Source{Name: address.Redacted(), Identity: address.Identity(), open: open}
	if address.Scheme == "file" {
		s.file = address.Path
	}
	return s, nil
}

// Schemes returns the schemes that Open knows, sorted.
func Schemes() []string {
	var names []string
	for name := range schemes {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// Watch reports each document of the source, then each change, until ctx ends; it returns only
// then. It reads again after every failure: the first time within 50 ms, then after 100 ms and
// twice as long each time up to 5 s, give or take half of it. Emit is called by one goroutine, and
// holds the watch up for as long as it runs, so that a slow receiver gets the newest document
// instead of a queue of old ones.
func (s *Source) Watch(ctx context.Context, emit func(Event)) {
	remote.Watch(ctx, func() (remote.Watcher, error) {
		b, err := s.open()
		if err != nil {
			return nil, err
		}
		return newFollower(b, emit), nil
	}, func(err error) {
		emit(Event{Err: err})
	})
}

// Read returns one document as the source has it now.
func (s *Source) Read(ctx context.Context, key Key) (Document, error) {
	b, err := s.open()
	if err != nil {
		return Document{}, err
	}
	defer b.close()
	return b.read(ctx, key)
}
