// Package source watches the places where teams keep their policies: a file, an HTTP server, etcd, Consul, Nacos.
//
// A source is a document, and beside it the small switch document that forces every request to one version:
//
//	file:///etc/gray/user.json                             and /etc/gray/user.json.switch
//	https://config.example.com/user.json                   and https://config.example.com/user.json.switch
//	etcd://host:2379,host2:2379/gray/user                  and key gray/user/switch
//	consul://host:8500/gray/user                           and key gray/user/switch
//	nacos://host:8848/user.json?group=G&namespace=N        and dataId user.json.switch
//
// Both are watched by one goroutine over one connection. It is the same code in every host, so it keeps to the standard library
// and to what Yaegi interprets.
package source

import (
	"context"
	"fmt"
	"sort"

	"github.com/grayrelease/gray/internal/remote"
)

// Part tells which of a source's two documents an event is about.
type Part int

// The two documents of a source.
const (
	Policy Part = iota
	Switch
)

// Event is what a watch reports.
type Event struct {
	// Err tells that the source could not be read. The watch goes on by itself. All else is zero.
	Err error
	// Contact tells that the source answered and that nothing changed. All else is zero.
	Contact bool

	Part     Part
	Data     []byte // the document, at most 8 MiB; not to be changed
	Revision string // etcd: revision; Consul: index; Nacos: MD5; HTTP: ETag; file: start of the SHA-256
	Missing  bool   // there is no such document; Data is nil
}

// Source is a place that a policy comes from.
type Source struct {
	// Name is the URL as people may see it, without credentials.
	Name string
	// Identity is equal for two sources that are the same place, read the same way with the same credentials. It shows none of them.
	Identity string

	open func() (watcher, error)
}

// watcher follows one source. Run reads both documents, then reports changes until ctx or an error ends it; called again, it goes on.
type watcher interface {
	run(ctx context.Context, emit func(Event)) error
	close()
}

// schemes holds the constructors: they check the address and do no I/O beyond reading the TLS files that it names.
var schemes = map[string]func(*remote.Address) (watcher, error){
	"file":   newFile,
	"http":   newWeb,
	"https":  newWeb,
	"etcd":   newEtcd,
	"consul": newConsul,
	"nacos":  newNacos,
}

// Open checks a source URL, and the options that outrank those in it; it connects to nothing. ${NAME} stands for an environment variable.
// Errors show no credentials.
func Open(rawURL string, options map[string]string) (*Source, error) {
	address, err := remote.Parse(rawURL, options)
	if err != nil {
		return nil, fmt.Errorf("source: %w", err)
	}
	construct, ok := schemes[address.Scheme]
	if !ok {
		return nil, fmt.Errorf("source: unknown scheme %q: want one of %v", address.Scheme, Schemes())
	}
	w, err := construct(address)
	if err != nil {
		return nil, fmt.Errorf("source: %w", err)
	}
	w.close()
	return &Source{
		Name:     address.Redacted(),
		Identity: address.Identity(),
		open:     func() (watcher, error) { return construct(address) },
	}, nil
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

// Watch reports the source's two documents, then each change, until ctx ends; it returns only then. It reads again after every failure: the first
// time within 50 ms, then after 100 ms and twice as long each time up to 5 s, give or take half of it. A document may be reported again though
// nothing changed. emit is called by one goroutine at a time and holds the watch up for as long as it runs, so that a slow receiver gets the newest
// document instead of a queue of old ones.
func (s *Source) Watch(ctx context.Context, emit func(Event)) {
	var w watcher
	defer func() {
		if w != nil {
			w.close()
		}
	}()
	remote.Loop(ctx, func(ctx context.Context) error {
		if w == nil {
			opened, err := s.open()
			if err != nil {
				return err
			}
			w = opened
		}
		return w.run(ctx, emit)
	}, func(err error) {
		emit(Event{Err: err})
	})
}
