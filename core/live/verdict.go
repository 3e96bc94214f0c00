package live

import (
	"bytes"
	"context"
	"log/slog"
)

// install offers a good document to all handles, and reports whether any took it.
func (w *watch) install(d *document) bool {
	w.start(d)
	w.mu.Lock()
	w.giveRollout(d)
	w.replace(&w.offered, d)
	w.refused = ""
	w.refusal = nil
	before := w.ledger // a document that nobody takes brings no switch into force
	switched, err := w.ledger.retake(versionsOf(d.engine), d.engine.Stable())
	taken := 0
	for _, u := range w.users {
		if err := w.offer(u, d); err != nil {
			w.refuseFor(u, d, err)
		} else {
			taken++
		}
	}
	if taken > 0 {
		w.counters.Updates++
		w.noteWarnings(d)
		w.noteSwitch(switched, "", err)
	} else {
		w.ledger = before
		switched = nil
	}
	w.acceptOffered()
	for version, f := range d.feeds { // a feed that others follow may have failed before
		w.noteFailure(version, f)
	}
	w.mu.Unlock()
	w.keeper.keepSwitch(switched)
	w.keepLists()
	w.sweep()
	return taken > 0
}

// offer has a handle put a document in force. Called with mu held.
func (w *watch) offer(u *user, d *document) error {
	if err := try(u, w.currentOf(u, d)); err != nil {
		return err
	}
	u.rejected = nil
	w.replace(&u.document, d)
	return nil
}

// acceptOffered notes that every handle has the newest document in force, if that is so, and has it
// kept. Called with mu held.
func (w *watch) acceptOffered() {
	d := w.offered
	if d == nil || d == w.accepted || len(w.users) == 0 {
		return
	}
	for _, u := range w.users {
		if u.document != d {
			return
		}
	}
	w.replace(&w.accepted, d)
	if d.data != nil && d.origin != "kept" {
		w.keeper.keepDocument(d.data)
	}
}

// isKnown reports whether a document needs no further look, and confirms the one in force. A
// document is known again by what it says: a server may give two documents one revision.
func (w *watch) isKnown(data []byte, revision string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counters.Deleted = false
	if w.accepted != nil && w.accepted != w.offered && bytes.Equal(data, w.accepted.data) {
		w.goBack()
	}
	if w.offered == nil || !bytes.Equal(data, w.offered.data) {
		return w.refusal != nil && w.refused == digest(data)
	}
	w.refused = ""
	w.refusal = nil
	isNews := w.offered.origin != "source" || w.offered.revision != revision
	w.offered.origin = "source"
	w.offered.revision = revision
	for _, u := range w.users {
		if u.document == w.offered {
			u.rejected = nil
		}
	}
	if isNews {
		w.refresh()
	}
	return true
}

// goBack offers the last document that all handles took, since the source has it again. Called with
// mu held.
func (w *watch) goBack() {
	w.replace(&w.offered, w.accepted)
	for _, u := range w.users {
		if u.document == w.accepted {
			continue
		}
		if err := w.offer(u, w.accepted); err != nil {
			w.refuseFor(u, w.accepted, err)
		}
	}
}

// refuse notes a document that is not good for any handle.
func (w *watch) refuse(data []byte, revision string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refused = digest(data)
	w.refusal = &Rejected{Revision: revision, Error: err.Error(), At: now()}
	for _, u := range w.users {
		u.rejected = w.refusal
	}
	w.counters.Rejections++
	if named := serviceOf(data); named != "" {
		w.named = named
	}
	w.note(slog.LevelError, refusalText(w.offered != nil), "revision", revision, "error", err.Error())
}

func refusalText(isReplacement bool) string {
	if isReplacement {
		return "policy refused; the last good one stays in force"
	}
	return "policy refused; there is none before it"
}

// refuseFor notes a document that one handle refuses. Called with mu held.
func (w *watch) refuseFor(u *user, d *document, err error) {
	reject(u, d.revision, err, now())
	for _, other := range w.users {
		said := other.rejected
		if other != u && said != nil && said.Revision == d.revision && said.Error == err.Error() {
			return // said already
		}
	}
	w.counters.Rejections++
	w.noteTo(u.log, slog.LevelError, refusalText(u.document != nil), "revision", d.revision, "error", err.Error())
}

// currentOf is what a handle has in force with a document. Called with mu held.
func (w *watch) currentOf(u *user, d *document) *Current {
	force, _ := w.ledger.force(versionsOf(d.engine), d.engine.Stable())
	e := overlaid(u, d, force)
	c := &Current{Engine: e, Overlay: e.Overlay(), Origin: d.origin, Revision: d.revision, Since: d.since,
		Rollout: d.rollout}
	if u.base != nil {
		c.base = u.base.Versions()
	}
	if len(d.feeds) > 0 {
		upstreams, isHeld := w.instancesOf(d)
		c.Upstreams = upstreams
		c.StableHeld = isHeld
	}
	return c
}

// recheck has a handle's host judge again what is in force. What it refuses now is rejected like a
// new document. The error is that of what nothing else can serve in place of.
func (w *watch) recheck(u *user) error {
	w.applying.Lock()
	defer w.applying.Unlock()
	w.mu.Lock()
	defer w.sweep()
	defer w.mu.Unlock()
	refused := u.document
	if refused == nil {
		return try(u, w.currentOfBase(u))
	}
	err := w.offer(u, refused)
	if err == nil || w.isInPlace {
		return err
	}
	if w.accepted == nil || w.accepted == refused || w.offer(u, w.accepted) != nil {
		if err := try(u, w.currentOfBase(u)); err != nil {
			return err
		}
		w.replace(&u.document, nil)
	}
	w.refuseFor(u, refused, err)
	return nil
}

// currentOfBase is what a handle has in force without a document.
func (w *watch) currentOfBase(u *user) *Current {
	return &Current{Engine: u.base, Overlay: overlayOf(u.base), Origin: "none"}
}

// refresh has all handles apply what changed beside their documents. Called with mu held.
func (w *watch) refresh() {
	for _, u := range w.users {
		if u.document == nil {
			continue
		}
		if err := try(u, w.currentOf(u, u.document)); err != nil {
			w.noteTo(u.log, slog.LevelError, "a change cannot be applied; what was in force stays", "error", err.Error())
		}
	}
}

// replace makes a place hold another document, or none. Called with mu held.
func (w *watch) replace(place **document, d *document) {
	old := *place
	*place = d
	if d != nil {
		d.holders++
	}
	if old == nil {
		return
	}
	old.holders--
	if old.holders == 0 {
		w.rememberLists(old)
		w.closing = append(w.closing, old)
	}
}

// sweep closes the documents that nobody holds any more. Called without mu.
func (w *watch) sweep() {
	w.mu.Lock()
	closing := w.closing
	w.closing = nil
	w.mu.Unlock()
	for _, d := range closing {
		d.close(w.listener)
	}
}

// start follows the document's discovery entries and keeps its keys fresh.
func (w *watch) start(d *document) {
	for version, entry := range d.wanted {
		d.feeds[version] = follow(entry, w.listener, func(identity string) { w.instancesChanged(identity) })
	}
	d.engine.OnKeys(func(err error) { w.keysRead(err) })
	d.engine.Start(context.Background())
}
