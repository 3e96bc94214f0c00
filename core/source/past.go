package source

import "crypto/sha256"

// past is what a watch knows of the writes of one key of etcd, by which it sees that a store was
// restored from a backup and then written, even if it was away meanwhile. A store that is behind
// shows what was written before: of the revisions between from and to, those in writes, each with
// its value. Anything else between them is of another history.
type past struct {
	from, to int64
	writes   map[int64]string // digests of values by revision
	shift    int64            // from revisions to orders: those of another history come after all before
	last     int64            // the highest order
}

// maxWrites bounds what is remembered of a key.
const maxWrites = 1024

func newPast() *past { return &past{writes: map[int64]string{}} }

// order returns the order of a revision that was found or written last.
func (p *past) order(revision int64) int64 {
	order := revision + p.shift
	if order > p.last {
		p.last = order
	}
	return order
}

// found notes a value that was written at a revision, and is the newest of the store at another.
func (p *past) found(revision int64, value []byte, now int64) {
	digest := digestOf(value)
	if p.writes[revision] != digest {
		if revision >= p.from && revision <= p.to {
			p.shift = p.last + 1 - revision
		}
		p.begin(revision)
		p.writes[revision] = digest
	}
	if now < p.to { // the store was restored
		for write := range p.writes {
			if write > revision {
				delete(p.writes, write)
			}
		}
	}
	p.to = now
}

// missed notes that there is no such key.
func (p *past) missed(now int64) {
	p.begin(now)
	p.to = now
}

// wrote notes a write that the watch was told of, or that the key was deleted.
func (p *past) wrote(revision int64, value []byte) {
	if len(p.writes) >= maxWrites {
		p.begin(revision)
	}
	p.writes[revision] = digestOf(value)
	if revision > p.to {
		p.to = revision
	}
}

func (p *past) begin(revision int64) {
	p.from = revision
	p.writes = map[int64]string{}
}

func digestOf(value []byte) string {
	sum := sha256.Sum256(value)
	return string(sum[:])
}
