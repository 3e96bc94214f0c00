// Package store writes the documents of a source by compare-and-set: what was written meanwhile by
// somebody else is never lost.
//
//	s, err := store.Open("etcd://127.0.0.1:2379/gray/user-service", nil)
//	d, err := s.Get(ctx, source.Switch)
//	_, err = s.Put(ctx, source.Switch, next, d.Revision)
//	if errors.Is(err, store.ErrConflict) { ... } // read again, decide again
//
// The documents are those that package source watches, under the same URLs and options.
package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/core/source"
	"github.com/grayrelease/gray/internal/remote"
)

// ErrConflict is returned by Put when the document has not the revision that was given: somebody
// has written, or removed, it meanwhile.
var ErrConflict = errors.New("the document has changed meanwhile")

// AccessError is returned when a source cannot be read or written.
type AccessError struct {
	Name string // the source, without credentials
	To   string // "read" or "write"
	Err  error
}

func (e *AccessError) Error() string {
	done := map[string]string{toRead: "read", toWrite: "written"}[e.To]
	return e.Name + " cannot be " + done + ": " + e.Err.Error()
}

// Unwrap returns why.
func (e *AccessError) Unwrap() error { return e.Err }

const (
	toRead  = "read"
	toWrite = "write"
)

// Store is a source that documents are written to.
type Store struct {
	// Name is the URL as people may see it, without credentials.
	Name string

	source  *source.Source
	address *remote.Address
}

// writer writes to one kind of place, over a connection of its own.
type writer interface {
	// put writes a document if it has a revision, "" meaning that there is none, and returns the
	// revision of what it wrote.
	put(ctx context.Context, key source.Key, data []byte, revision string) (string, error)
	close()
}

var writers = map[string]func(*remote.Address, *source.Source) (writer, error){
	"file":   newFile,
	"http":   newWeb,
	"https":  newWeb,
	"etcd":   newEtcd,
	"consul": newConsul,
	"nacos":  newNacos,
}

// Open checks a source URL, and the options that outrank those in it; it connects to nothing. The
// error is that of source.Open.
func Open(rawURL string, options map[string]string) (*Store, error) {
	src, err := source.Open(rawURL, options)
	if err != nil {
		return nil, err
	}
	address, err := remote.Parse(rawURL, options, nil)
	if err != nil {
		return nil, err
	}
	if writers[address.Scheme] == nil {
		return nil, problem.New("", "cannot write to %s", address.Scheme)
	}
	return &Store{Name: src.Name, source: src, address: address}, nil
}

// Get returns a document as the source has it now. The error is an *AccessError.
func (s *Store) Get(ctx context.Context, key source.Key) (source.Document, error) {
	d, err := s.source.Read(ctx, key)
	if err != nil {
		return d, &AccessError{s.Name, toRead, err}
	}
	return d, nil
}

// Put writes a document, at most 8 MiB, if it still has the revision that Get or Put returned; ""
// means that there is no such document. It returns the revision of what it wrote. The error is
// ErrConflict if the document has changed, and an *AccessError if it cannot be written. After that
// it may have been written or not: Get tells.
func (s *Store) Put(ctx context.Context, key source.Key, data []byte, revision string) (string, error) {
	if len(data) > remote.MaxDocument {
		return "", fmt.Errorf("a document of %d bytes is larger than %d", len(data), remote.MaxDocument)
	}
	w, err := writers[s.address.Scheme](s.address, s.source)
	if err != nil {
		return "", err
	}
	defer w.close()
	written, err := w.put(ctx, key, data, revision)
	if err != nil && !errors.Is(err, ErrConflict) {
		return "", &AccessError{s.Name, toWrite, err}
	}
	return written, err
}
