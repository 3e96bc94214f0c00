package source

import (
	"bytes"
	"context"
	"time"
)

// contactPause is the least time between two reports that nothing has changed.
const contactPause = time.Second

// backend speaks to one kind of place. One goroutine uses it. It keeps no book of what was
// reported.
type backend interface {
	// read returns a document as it is now or, where wait brings what has changed, as it was told.
	read(ctx context.Context, key Key) (Document, error)
	// wait returns once a document may be another than the one that was read last. Changed says
	// whether the last reading brought any news: more may follow soon. Where what waits need not end
	// for that, wait calls news instead, which reads, and goes on.
	wait(ctx context.Context, changed bool, news func()) error
	// failed is told that the last call returned an error: another server may be asked next, and
	// nothing is known of what the documents are. It reports whether to read what comes after the
	// document that failed all the same. Where a server is asked it is not: a gateway that starts must
	// not serve a policy without the switch above it.
	failed() (goOn bool)
	close()
}

// follower reports the documents of a backend: those that are news, in the order of keys.
type follower struct {
	backend  backend
	emit     func(Event)
	known    map[Key]Document
	contact  time.Time // when one was reported last
	isBroken bool      // the last thing that was reported is a failure
}

func newFollower(b backend, emit func(Event)) *follower {
	return &follower{backend: b, emit: emit, known: map[Key]Document{}}
}

// Close ends the connection.
func (f *follower) Close() { f.backend.close() }

// Run reports every change until ctx or an error ends it.
func (f *follower) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		changed, err := f.readAll(ctx)
		if err == nil {
			f.touch(changed)
			var broken error
			err = f.backend.wait(ctx, changed, func() { broken = f.readNews(ctx) })
			if err == nil {
				err = broken
			} else {
				f.backend.failed()
			}
		}
		if err != nil {
			f.isBroken = true
			return err
		}
	}
	return nil
}

// readNews reads in the middle of a wait.
func (f *follower) readNews(ctx context.Context) error {
	changed, err := f.readAll(ctx)
	if err == nil {
		f.touch(changed)
	}
	return err
}

// readAll reports what is news.
func (f *follower) readAll(ctx context.Context) (changed bool, failure error) {
	for _, key := range keys {
		d, err := f.backend.read(ctx, key)
		if err != nil {
			goOn := f.backend.failed()
			if failure == nil {
				failure = err
			}
			if goOn {
				continue
			}
			break
		}
		known, isKnown := f.known[key]
		if isKnown && same(known, d) {
			continue
		}
		f.known[key] = d
		changed = true
		f.emit(Event{Key: key, Document: d, Written: isKnown && d.order > known.order})
	}
	return changed, failure
}

// touch reports that the source answers: at once after a failure, else not too often.
func (f *follower) touch(changed bool) {
	now := time.Now()
	if !changed && (f.isBroken || now.Sub(f.contact) >= contactPause) {
		f.emit(Event{Contact: true})
	}
	if changed || f.isBroken || now.Sub(f.contact) >= contactPause {
		f.contact = now
	}
	f.isBroken = false
}

func same(a, b Document) bool {
	return a.Missing == b.Missing && a.Settling == b.Settling && a.Revision == b.Revision && bytes.Equal(a.Data, b.Data)
}
