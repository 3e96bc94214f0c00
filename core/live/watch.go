package live

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/discover"
	"github.com/grayrelease/gray/core/source"
)

// watch is one source, or one policy in place, with the handles that use it.
//
// Its locks, in the order in which they are taken: applying, mu, those of the keeper and of feeds.
type watch struct {
	key      string
	name     string         // of the source, without credentials
	source   *source.Source // nil: the policy is in place
	listener int64          // by which feeds know this watch
	keeper   *keeper

	applying sync.Mutex // one event at a time

	mu       sync.Mutex // guards all below; held while hosts apply, not while a document is compiled
	users    []*user
	cancel   context.CancelFunc // ends the goroutine that watches; nil if there is none
	offered  *document          // the newest that was good
	accepted *document          // the newest that every handle took
	closing  []*document        // not used any more, to be closed once mu is free
	memory   []byte             // accepted, while there are no users
	since    time.Time          // of memory

	refused  string    // digest of the newest document, if it was not good
	refusal  *Rejected // why it was not
	ledger   ledger
	lists    map[string][]discover.Instance // the last ones, by discovery name
	journal  journal
	counters State // the fields that events change; state fills in the others
}

func newWatch(name, key string) *watch {
	w := &watch{name: name, key: key, listener: nextListener(), keeper: &keeper{}}
	w.counters.Source = name
	w.keeper.failed = func(what string, err error) { w.logError(what, err) }
	return w
}

// join adds a user and puts in force for it what there is. The error refuses the user.
func (w *watch) join(u *user, p *core.Policy) error {
	w.applying.Lock()
	defer w.applying.Unlock()
	w.mu.Lock()
	isFirst := len(w.users) == 0
	w.users = append(w.users, u)
	w.mu.Unlock()
	if isFirst {
		w.restoreLists(w.keeper.open(u.cache, w.name))
	}
	if w.source == nil {
		return w.joinPolicy(u, p)
	}
	if isFirst {
		w.restore()
	} else {
		w.welcome(u)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if u.document == nil {
		if err := try(u, &Current{Engine: u.base, Overlay: overlayOf(u.base), Origin: "none"}); err != nil {
			return err
		}
	}
	if isFirst {
		ctx, cancel := context.WithCancel(context.Background())
		w.cancel = cancel
		go w.run(ctx)
	}
	return nil
}

func overlayOf(e *core.Engine) core.Overlay {
	if e == nil {
		return core.Overlay{}
	}
	return e.Overlay()
}

// joinPolicy puts a policy in place in force, compiled for the first user.
func (w *watch) joinPolicy(u *user, p *core.Policy) error {
	if w.offered == nil {
		d, err := compilePolicy(p)
		if err != nil {
			return err
		}
		d.origin = "configuration"
		d.revision = w.key[len("configuration "):][:12]
		d.since = time.Now()
		w.start(d)
		w.mu.Lock()
		w.replace(&w.offered, d)
		err = w.offer(u, d)
		w.mu.Unlock()
		w.sweep()
		w.keepLists() // a registry may have answered before there was a user to tell
		w.keeper.soon()
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.offer(u, w.offered)
}

// welcome puts in force for a further user what others have.
func (w *watch) welcome(u *user) {
	w.mu.Lock()
	defer w.sweep()
	defer w.mu.Unlock()
	if w.offered != nil {
		if err := w.offer(u, w.offered); err != nil {
			if w.accepted != nil && w.accepted != w.offered {
				_ = w.offer(u, w.accepted)
			}
			w.refuseFor(u, w.offered, err)
		}
	}
	if w.refusal != nil {
		u.rejected = w.refusal
	}
}

// leave takes a user out and reports whether that was the last one, with which everything that runs
// ends.
func (w *watch) leave(u *user) bool {
	w.mu.Lock()
	var users []*user
	for _, other := range w.users {
		if other != u {
			users = append(users, other)
		}
	}
	left := len(w.users) > len(users)
	w.users = users
	w.replace(&u.document, nil)
	w.acceptOffered()
	isLast := left && len(users) == 0
	if isLast && w.cancel != nil {
		w.cancel()
		w.cancel = nil
	}
	w.mu.Unlock()
	w.sweep()
	if !isLast {
		return false
	}
	w.applying.Lock() // what is being applied ends first
	defer w.applying.Unlock()
	w.keeper.flush()
	w.mu.Lock()
	if w.accepted != nil {
		w.memory = w.accepted.data
		w.since = w.accepted.since
	}
	w.replace(&w.offered, nil)
	w.replace(&w.accepted, nil)
	w.refused = ""
	w.refusal = nil
	w.counters.Connected = false
	w.counters.Error = ""
	w.mu.Unlock()
	w.sweep()
	return true
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

func (w *watch) run(ctx context.Context) {
	forever(ctx, func() {
		w.source.Watch(ctx, func(e source.Event) { w.take(ctx, e) })
	})
}

// restore puts in force what is remembered from users before, or else what the disk holds.
func (w *watch) restore() {
	w.restoreSwitch()
	w.mu.Lock()
	data := w.memory
	since := w.since
	w.mu.Unlock()
	if data == nil {
		var err error
		if data, since, err = w.keeper.read(); err != nil {
			w.logError("kept policy cannot be read", err)
		}
	}
	if data == nil {
		return
	}
	d, err := compileDocument(data)
	if err != nil {
		w.logError("kept policy is refused", err)
		return
	}
	d.data = data
	d.origin = "kept"
	d.since = since
	w.mu.Lock()
	d.revision = w.counters.Revision
	w.mu.Unlock()
	w.install(d)
	w.keeper.soon()
}

func (w *watch) restoreSwitch() {
	kept, err := w.keeper.readSwitch()
	if err != nil {
		w.logError("kept switch cannot be read", err)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if kept != nil && kept.Epoch > w.ledger.newest.Epoch {
		w.ledger.newest = *kept
	}
}

// take handles an event of the source.
func (w *watch) take(ctx context.Context, e source.Event) {
	w.applying.Lock()
	defer w.applying.Unlock()
	if ctx.Err() != nil {
		return // a watch that was let go of
	}
	switch {
	case e.Err != nil:
		w.failed(e.Err)
		return
	case e.Contact:
	case e.Key == source.Switch && e.Missing:
		w.switchDeleted()
	case e.Key == source.Switch:
		w.takeSwitch(e.Data, e.Revision)
	case e.Missing:
		w.deleted()
	default:
		w.takeDocument(ctx, e.Data, e.Revision)
	}
	w.contact()
}

func (w *watch) contact() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counters.Contact = time.Now()
	if w.counters.Error != "" {
		w.counters.Error = ""
		w.note(slog.LevelInfo, "policy source answers again")
	}
	w.counters.Connected = true
}

// failed notes that the source cannot be read, and logs it if that is news.
func (w *watch) failed(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counters.Failures++
	w.counters.Connected = false
	text := err.Error()
	if w.counters.Error == "" {
		w.note(slog.LevelWarn, "policy source cannot be read; the policy in force stays", "error", text)
	}
	w.counters.Error = text
}

func (w *watch) deleted() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.counters.Deleted {
		return
	}
	w.counters.Deleted = true
	if w.offered == nil {
		w.note(slog.LevelWarn, "policy source has no such document")
	} else {
		w.note(slog.LevelWarn, "policy was deleted from its source; the last good one stays in force")
	}
}

// takeDocument puts a document in force unless it is the one that is, or that was refused.
func (w *watch) takeDocument(ctx context.Context, data []byte, revision string) {
	if w.isKnown(data, revision) {
		w.sweep()
		return
	}
	d, err := compileDocument(data)
	if err != nil {
		w.refuse(data, revision, err)
		return
	}
	d.data = data
	d.origin = "source"
	d.revision = revision
	d.since = time.Now()
	if ctx.Err() != nil { // the last user has gone meanwhile
		d.close(w.listener)
		return
	}
	if w.install(d) {
		w.mu.Lock()
		w.note(slog.LevelInfo, "policy in force", "revision", revision)
		w.mu.Unlock()
	}
	w.keeper.soon()
}

// isKnown reports whether a document needs no further look, and confirms the one in force. A document
// is known again by what it says: a server may give two documents one revision.
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
	w.counters.Revision = revision
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

// goBack offers the last document that all handles took, since the source has it again. Called with mu
// held.
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
	w.refusal = &Rejected{Revision: revision, Error: err.Error(), At: time.Now()}
	for _, u := range w.users {
		u.rejected = w.refusal
	}
	w.counters.Rejections++
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
	reject(u, d.revision, err, time.Now())
	for _, other := range w.users {
		if other != u && other.rejected != nil && other.rejected.Revision == d.revision && other.rejected.Error == err.Error() {
			return // said already
		}
	}
	w.counters.Rejections++
	w.noteTo(u.log, slog.LevelError, refusalText(u.document != nil), "revision", d.revision, "error", err.Error())
}

// start follows the document's discovery entries and keeps its keys fresh.
func (w *watch) start(d *document) {
	for version, entry := range d.wanted {
		d.feeds[version] = follow(entry, w.listener, func(identity string) { w.instancesChanged(identity) })
	}
	d.engine.OnKeys(func(err error) { w.keysRead(err) })
	d.engine.Start(context.Background())
}

// install offers a good document to all handles, and reports whether any took it.
func (w *watch) install(d *document) bool {
	w.start(d)
	w.mu.Lock()
	w.replace(&w.offered, d)
	w.refused = ""
	w.refusal = nil
	w.counters.Revision = d.revision
	before := w.ledger // a document that nobody takes brings no switch into force
	switched, err := w.ledger.retake(versionsOf(d.engine))
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

// acceptOffered notes that every handle has the newest document in force, if that is so, and has it kept.
// Called with mu held.
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

// offer has a handle put a document in force. Called with mu held.
func (w *watch) offer(u *user, d *document) error {
	if err := try(u, w.currentOf(u, d)); err != nil {
		return err
	}
	u.rejected = nil
	w.replace(&u.document, d)
	return nil
}

// currentOf is what a handle has in force with a document. Called with mu held.
func (w *watch) currentOf(u *user, d *document) *Current {
	force, _ := w.ledger.force(versionsOf(d.engine), d.engine.Stable())
	e := overlaid(u, d, force)
	c := &Current{Engine: e, Overlay: e.Overlay(), Origin: d.origin, Revision: d.revision, Since: d.since}
	if len(d.feeds) > 0 {
		c.Upstreams = w.instancesOf(d)
	}
	return c
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

// takeSwitch puts a switch in force if it is newer than every one seen before. Without a policy it
// waits for one, which says what versions there are.
func (w *watch) takeSwitch(data []byte, revision string) {
	w.mu.Lock()
	switched, err := w.ledger.take(data, w.versions())
	w.noteSwitch(switched, revision, err)
	if switched != nil {
		w.refresh()
	}
	w.mu.Unlock()
	w.keeper.keepSwitch(switched)
}

// versions are those of the documents in force, nil if there are none. Called with mu held.
func (w *watch) versions() []string {
	var names []string
	for _, u := range w.users {
		if u.document == nil {
			continue
		}
		for _, name := range versionsOf(u.document.engine) {
			if !has(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

func (w *watch) switchDeleted() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ledger.forget()
}

// noteSwitch logs what became of a switch. Called with mu held.
func (w *watch) noteSwitch(s *Switch, revision string, err error) {
	if err != nil {
		w.counters.Rejections++
		w.note(slog.LevelError, "kill switch refused; the last one stays", "revision", revision, "error", err.Error())
	}
	if s != nil {
		w.note(slog.LevelWarn, "kill switch", "epoch", s.Epoch, "to", s.To, "reason", s.Reason, "by", s.By, "at", s.At)
	}
}

// keysRead logs how the fetches of a policy's keys go.
func (w *watch) keysRead(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		w.note(slog.LevelInfo, "keys for tokens are read again")
		return
	}
	w.note(slog.LevelWarn, "keys for tokens cannot be read; those known so far stay", "error", err.Error())
}

func (w *watch) logError(text string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note(slog.LevelError, text, "error", err.Error())
}

// note logs what concerns all handles, once: to the newest one that logs, since older ones may belong
// to a configuration that is being closed. Called with mu held.
func (w *watch) note(level slog.Level, text string, pairs ...any) {
	var log *slog.Logger
	for _, u := range w.users {
		if u.log != nil {
			log = u.log
		}
	}
	w.noteTo(log, level, text, pairs...)
}

// noteTo logs to one handle's log, and into the journal. Called with mu held.
func (w *watch) noteTo(log *slog.Logger, level slog.Level, text string, pairs ...any) {
	w.journal.add(time.Now(), text, pairs)
	if log == nil {
		return
	}
	log.Log(context.Background(), level, text, append([]any{"service", w.service(), "source", w.name}, pairs...)...)
}

// service is whose policy it is, as far as that is known. Called with mu held.
func (w *watch) service() string {
	if w.offered != nil {
		return w.offered.engine.Service()
	}
	for _, u := range w.users {
		if u.service != "" {
			return u.service
		}
	}
	return ""
}

// state reports how the policy stands for one handle.
func (w *watch) state(u *user) State {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := u.current.Load().(*Current)
	st := w.counters
	st.Users = len(w.users)
	st.Origin = now.Origin
	st.Revision = now.Revision
	st.Since = now.Since
	st.SwitchNote = w.ledger.note
	if d := u.document; d != nil {
		st.Service = d.engine.Service()
		st.AgeSeconds = time.Since(d.since).Seconds()
		force, note := w.ledger.force(versionsOf(d.engine), d.engine.Stable())
		st.Forced = force
		if st.SwitchNote == "" {
			st.SwitchNote = note
		}
		st.Upstreams = w.upstreamStates(d, now)
	}
	if u.rejected != nil {
		rejected := *u.rejected
		st.Rejected = &rejected
	}
	if w.ledger.newest.Epoch > 0 {
		newest := w.ledger.newest
		st.Switch = &newest
	}
	st.Journal = w.journal.list()
	return st
}

// describe returns the state of the newest handle, false if there are none.
func (w *watch) describe() (State, bool) {
	w.mu.Lock()
	var newest *user
	for _, u := range w.users {
		newest = u
	}
	w.mu.Unlock()
	if newest == nil {
		return State{}, false
	}
	return w.state(newest), true
}
