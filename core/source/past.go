package source

// past is what a watch knows of the writes of one key of etcd, by which it sees that a store was
// restored from a backup and then written, even if it was away meanwhile. A store that is behind
// shows what was written before: of the revisions between from and to, those in writes. Any other
// one between them is of another history.
type past struct {
	from, to int64
	writes   map[int64]bool
	shift    int64 // from revisions to orders: those of another history come after all before
	last     int64 // the highest order
}

// maxWrites bounds what is remembered of a key.
const maxWrites = 1024

func newPast() *past { return &past{writes: map[int64]bool{}} }

// order returns the order of a revision that was found or written last.
func (p *past) order(revision int64) int64 {
	order := revision + p.shift
	if order > p.last {
		p.last = order
	}
	return order
}

// found notes that the key was written last at a revision, as the store is at another.
func (p *past) found(revision, now int64) {
	if !p.writes[revision] {
		if revision >= p.from && revision <= p.to {
			p.shift = p.last + 1 - revision
		}
		p.begin(revision)
		p.writes[revision] = true
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
func (p *past) wrote(revision int64) {
	if len(p.writes) >= maxWrites {
		p.begin(revision)
	}
	p.writes[revision] = true
	if revision > p.to {
		p.to = revision
	}
}

func (p *past) begin(revision int64) {
	p.from = revision
	p.writes = map[int64]bool{}
}
