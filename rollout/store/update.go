package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/grayrelease/gray/core/source"
)

const (
	updateTries = 20 // against others who write at the same time
	updatePause = 5 * time.Millisecond
)

// ErrContended is returned by Update when others have written each time that it tried.
var ErrContended = errors.New("others are writing it all the time")

// Update reads a document, and writes what change makes of it. Where somebody else has written in
// between, it starts over with what is there then: 20 times, with random pauses of a few
// milliseconds. If change returns nil, nothing is written.
//
// The error is that of change, as it is, or ErrContended, or that of Get or Put.
func (s *Store) Update(
	ctx context.Context, key source.Key, change func(source.Document) ([]byte, error),
) error {
	for range updateTries {
		d, err := s.Get(ctx, key)
		if err != nil {
			return err
		}
		data, err := change(d)
		if err != nil || data == nil {
			return err
		}
		_, err = s.Put(ctx, key, data, d.Revision)
		if !errors.Is(err, ErrConflict) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(rand.N(updatePause)):
		}
	}
	return fmt.Errorf("%s: %s: %w", s.Name, key, ErrContended)
}

// Watch reports each document of the store's source, then each change, until ctx ends: see
// source.Watch.
func (s *Store) Watch(ctx context.Context, emit func(source.Event)) { s.source.Watch(ctx, emit) }
