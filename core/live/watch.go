package live

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/allow"
	"github.com/grayrelease/gray/core/discover"
	"github.com/grayrelease/gray/core/source"
)

// watch is one source, or one policy in place, with the handles that use it.
//
// Its locks, in the order in which they are taken: applying, mu, those of the keeper and of feeds.
type watch struct {
	key      string
	name     string         // of the source, without credentials
	source   *source.Source // nil: nothing is watched
	listener int64          // by which feeds know this watch
	keeper   *keeper
	host     core.Host
	allowed  *allow.List // what the source's documents may have the gateway read and ask

	isInPlace bool // the policy is; the source has only what stands above it

	applying sync.Mutex // one event at a time

	mu       sync.Mutex // guards all below; held while hosts apply, not while a document is compiled
	users    []*user
	cancel   context.CancelFunc // ends the goroutine that watches; nil if there is none
	offered  *document          // the newest that was good
	accepted *document          // the newest that every handle took
	closing  []*document        // not used any more, to be closed once mu is free
	memory   memory             // of accepted, while there are no users

	isSwitchDeleted bool // the switch in force is not at the source (any more)

	named    string    // the service that refused documents name, while no other is known
	refused  string    // digest of the newest document, if it was not good
	refusal  *Rejected // why it was not
	ledger   ledger
	rollouts rollouts
	lists    map[string][]discover.Instance // the last ones, by discovery name
	journal  journal
	counters State // the fields that events change; state fills in the others
}

// memory is what a watch without users remembers of a document.
type memory struct {
	data     []byte
	revision string
	since    time.Time
}

func newWatch(h core.Host, name, key string) *watch {
	if h.Placeholders {
		key += " placeholders"
	}
	w := &watch{host: h, name: name, key: key, listener: nextListener(), keeper: &keeper{}}
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
	if w.isInPlace {
		if isFirst {
			w.readBeside()
		}
		if err := w.joinPolicy(u, p); err != nil {
			return err
		}
		if isFirst && w.source != nil {
			w.watchSource()
		}
		return nil
	}
	if isFirst {
		w.restore()
	} else {
		w.welcome(u)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if u.document == nil {
		if err := try(u, w.currentOfBase(u)); err != nil {
			return err
		}
	}
	if isFirst {
		w.watchSource()
	}
	return nil
}

func (w *watch) watchSource() {
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel = cancel
	go w.run(ctx)
}

// readBeside reads what stands above a policy in place before that serves, so that a restart undoes
// no rollback.
func (w *watch) readBeside() {
	if w.source == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), besideTimeout)
	defer cancel()
	for _, key := range []source.Key{source.Switch, source.Rollout} {
		d, err := w.source.Read(ctx, key)
		if err != nil {
			w.failed(err)
			return
		}
		if d.Missing {
			continue
		}
		e := source.Event{Key: key, Document: d}
		if key == source.Switch {
			w.takeSwitch(e)
		} else {
			w.takeRollout(e)
		}
	}
}

// besideTimeout bounds how long a policy in place waits for what stands above it.
const besideTimeout = 2 * time.Second

func overlayOf(e *core.Engine) core.Overlay {
	if e == nil {
		return core.Overlay{}
	}
	return e.Overlay()
}

// joinPolicy puts a policy in place in force, compiled for the first user.
func (w *watch) joinPolicy(u *user, p *core.Policy) error {
	if w.offered == nil {
		d, err := compilePolicy(w.host, p)
		if err != nil {
			return err
		}
		d.origin = "configuration"
		d.revision = w.key[len("configuration "):][:12]
		d.since = now()
		w.start(d)
		w.mu.Lock()
		w.giveRollout(d)
		w.replace(&w.offered, d)
		switched, wrong := w.ledger.retake(versionsOf(d.engine), d.engine.Stable())
		w.noteSwitch(switched, "", wrong)
		if err = w.offer(u, d); err == nil {
			w.noteWarnings(d)
		}
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
	if d := w.accepted; d != nil {
		w.memory = memory{d.data, d.revision, d.since}
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

func (w *watch) run(ctx context.Context) {
	forever(ctx, func() {
		w.warnOfSwitchFile()
		w.source.Watch(ctx, func(e source.Event) { w.take(ctx, e) })
	})
}

// warnOfSwitchFile logs why no switch can appear beside a file, if so.
func (w *watch) warnOfSwitchFile() {
	file := w.switchFile()
	if file == nil || file.Warning == "" {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note(slog.LevelWarn, "the kill switch cannot be used", "switch", file.Path, "error", file.Warning)
}

// take handles an event of the source.
func (w *watch) take(ctx context.Context, e source.Event) {
	w.applying.Lock()
	defer w.applying.Unlock()
	if ctx.Err() != nil {
		return // a watch that was let go of
	}
	defer handled()
	switch {
	case e.Err != nil:
		w.failed(e.Err)
		return
	case e.Contact:
	case e.Key == source.Switch && e.Missing:
		w.switchDeleted()
	case e.Key == source.Switch:
		w.takeSwitch(e)
	case e.Key == source.Rollout && e.Missing:
		w.rolloutMissing()
	case e.Key == source.Rollout:
		w.takeRollout(e)
	case w.isInPlace: // what stands beside a policy in place is no policy
	case e.Missing:
		w.deleted()
	default:
		w.takeDocument(ctx, e.Document)
	}
	w.contact()
}

func (w *watch) contact() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counters.Contact = now()
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

// takeDocument puts a document in force unless it is the one that is, or that was refused. One that
// is still being written is not refused.
func (w *watch) takeDocument(ctx context.Context, at source.Document) {
	if w.isKnown(at.Data, at.Revision) {
		w.sweep()
		return
	}
	d, err := compileDocument(w.host, at.Data, w.allowed)
	if err != nil {
		if !at.Settling {
			w.refuse(at.Data, at.Revision, err)
		}
		return
	}
	d.data = at.Data
	d.origin = "source"
	d.revision = at.Revision
	d.since = now()
	if ctx.Err() != nil { // the last user has gone meanwhile
		d.close(w.listener)
		return
	}
	if w.install(d) {
		w.mu.Lock()
		w.note(slog.LevelInfo, "policy in force", "revision", at.Revision)
		w.mu.Unlock()
	}
	w.keeper.soon()
}

// takeSwitch puts a switch in force: see ledger. Without a policy it waits for one, which says what
// versions there are. One that is still being written is not refused.
func (w *watch) takeSwitch(e source.Event) {
	if e.Settling {
		if _, err := ParseSwitch(e.Data); err != nil {
			return
		}
	}
	w.mu.Lock()
	w.isSwitchDeleted = false
	switched, err := w.ledger.take(offer{e.Data, e.Written}, w.versions(), w.stable())
	w.noteSwitch(switched, e.Revision, err)
	if switched != nil {
		w.refresh()
	}
	w.mu.Unlock()
	w.keeper.keepSwitch(switched)
}

// stable is that of the documents in force, "" if there are none or they differ. Called with mu
// held.
func (w *watch) stable() string {
	name := ""
	for _, u := range w.users {
		if u.document == nil {
			continue
		}
		if own := u.document.engine.Stable(); name == "" || name == own {
			name = own
		} else {
			return ""
		}
	}
	return name
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

// switchDeleted notes that the source has no switch (any more). One in force stays: a newer one
// whose "to" is empty ends it, for a key may be gone for many reasons.
func (w *watch) switchDeleted() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ledger.forget()
	if w.isSwitchDeleted || w.ledger.newest.To == "" {
		return
	}
	w.isSwitchDeleted = true
	w.note(slog.LevelWarn, "kill switch was deleted from its source; it is still in force",
		"epoch", w.ledger.newest.Epoch, "to", w.ledger.newest.To)
}
