package live

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/source"
)

// rollouts keeps what the documents beside a policy say about its rollout: only a higher epoch than
// all seen before comes into force.
//
// The safe direction is the exception, as it is for the switch. A rollback that is written now
// counts with an epoch behind, and what this gateway has rolled back by itself stays so, until a
// document that knows of it says otherwise.
type rollouts struct {
	newest    *core.RolloutState // the highest epoch seen, whatever plan it is about; nil is none
	data      []byte             // newest, as it was written
	isOwn     bool               // newest was put by this gateway, and the source has not shown it yet
	isKnown   bool               // the source has said what it has
	isBehind  bool               // the source has an older one than newest, or none
	isDeleted bool               // the source has no such document (any more)
	note      string             // what is wrong with the document at the source, "" if nothing is
}

// take judges a document of the source. It returns the state that is to come into force, nil if
// that is none. The error is new: one that was noted already is not returned again.
func (l *rollouts) take(data []byte, isWritten bool) (*core.RolloutState, error) {
	l.isKnown = true
	l.isDeleted = false
	s, err := core.ParseRolloutState(data)
	if err == nil {
		if l.newest != nil && s.Epoch == l.newest.Epoch && bytes.Equal(data, l.data) {
			l.isOwn = false
			l.isBehind = false
			l.note = ""
			return nil, nil
		}
		err = l.judge(s, isWritten)
		l.isBehind = err != nil
	}
	if err != nil {
		if l.note == err.Error() {
			return nil, nil
		}
		l.note = err.Error()
		return nil, err
	}
	if l.newest != nil && s.Epoch < l.newest.Epoch {
		s.Epoch = l.newest.Epoch // the epochs that were seen stay seen
	}
	l.put(s, data, false)
	return s, nil
}

// judge says why a state is not to come into force.
func (l *rollouts) judge(s *core.RolloutState, isWritten bool) error {
	seen := l.newest
	switch {
	case seen == nil:
		return nil
	case s.Epoch <= seen.Epoch && isWritten && s.RollsBack(seen):
		return nil
	case s.Epoch == seen.Epoch && l.isOwn && !seen.RollsBack(s):
		return nil // another gateway was first
	case s.Epoch < seen.Epoch:
		return fmt.Errorf("rollout: epoch %d is older than %d, which was seen", s.Epoch, seen.Epoch)
	case s.Epoch == seen.Epoch:
		return fmt.Errorf("rollout: epoch %d was seen with another state", s.Epoch)
	case l.isOwn && seen.RollsBack(s) && s.Attempt <= seen.Attempt:
		return fmt.Errorf("rollout: epoch %d does not know that this gateway has rolled back: %s", s.Epoch, seen.Reason)
	}
	return nil
}

func (l *rollouts) put(s *core.RolloutState, data []byte, isOwn bool) {
	l.newest = s
	l.data = data
	l.isOwn = isOwn
	l.isBehind = false
	l.note = ""
}

// Rollout returns the newest state of a rollout that was seen, whatever plan it is about, nil if
// there is none. It reports whether the place where states are kept has said what it has: only then
// is a state that is absent known not to be there.
func (h *Handle) Rollout() (newest *core.RolloutState, isKnown bool) {
	w := h.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rollouts.newest, w.rollouts.isKnown
}

// PutRollout puts a state in force as if it had been read: for all handles of the source, at once.
// Who has written it says so, or else it is what this gateway goes by until its place shows it. A
// state with an epoch that was seen changes nothing. The caller must not change the state any more.
func (h *Handle) PutRollout(s *core.RolloutState, isWritten bool) {
	w := h.watch
	data, err := json.Marshal(s)
	if err != nil {
		return
	}
	w.applying.Lock()
	defer w.applying.Unlock()
	w.mu.Lock()
	seen := w.rollouts.newest
	if seen != nil && s.Epoch <= seen.Epoch && !bytes.Equal(data, w.rollouts.data) {
		w.mu.Unlock()
		return
	}
	isNews := seen == nil || s.Epoch > seen.Epoch
	w.mu.Unlock()
	if isNews { // a gateway that is killed from here on knows it when it starts again
		w.keeper.keepRollout(s, data, false)
	}
	w.mu.Lock()
	w.rollouts.put(s, data, !isWritten)
	if isNews {
		w.rolloutMoved()
	}
	w.mu.Unlock()
	if isNews {
		w.keeper.keepRollout(s, data, true)
	}
	handled()
}

// takeRollout puts a state of the source in force. One that is still being written is not refused.
func (w *watch) takeRollout(e source.Event) {
	if e.Settling {
		if _, err := core.ParseRolloutState(e.Data); err != nil {
			return
		}
	}
	w.mu.Lock()
	moved, err := w.rollouts.take(e.Data, e.Written)
	data := w.rollouts.data
	if err != nil {
		w.counters.Rejections++
		w.note(slog.LevelError, "rollout state refused; the last one stays", "revision", e.Revision, "error", err.Error())
	}
	if moved != nil {
		w.rolloutMoved()
	}
	w.mu.Unlock()
	if moved != nil {
		w.keeper.keepRollout(moved, data, true)
	}
}

// rolloutMissing notes that there is no state (any more). One in force stays.
func (w *watch) rolloutMissing() {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := &w.rollouts
	l.isKnown = true
	l.note = ""
	if l.newest == nil || l.isOwn || l.isDeleted {
		return
	}
	l.isDeleted = true
	l.isBehind = true
	l.note = "rollout: its state was deleted, and is still in force"
	w.note(slog.LevelWarn, "rollout state was deleted from its source; it is still in force", "epoch", l.newest.Epoch)
}

// rolloutMoved gives documents the newest state, if it is about their plan, and logs it. Called
// with mu held.
func (w *watch) rolloutMoved() {
	s := w.rollouts.newest
	for _, u := range w.users {
		if u.document != nil {
			w.giveRollout(u.document)
		}
	}
	if w.offered != nil {
		w.giveRollout(w.offered)
	}
	level := slog.LevelInfo
	if s.Phase == core.PhaseRolledBack {
		level = slog.LevelWarn
	}
	w.note(level, "rollout", "phase", s.Phase, "step", s.Step, "percent", s.Percent, "attempt", s.Attempt,
		"epoch", s.Epoch, "reason", s.Reason, "by", s.By)
	w.refresh()
}

// giveRollout gives a document the newest state, if it is about the document's plan. One about
// another plan changes nothing: the document keeps the state that it has. Called with mu held.
func (w *watch) giveRollout(d *document) {
	plan, s := d.engine.Rollout(), w.rollouts.newest
	if plan != nil && s != nil && s.Fingerprint == plan.Fingerprint {
		d.rollout = s
	}
}

// rolloutNote says what is wrong with the rollout of a document, "" if nothing is. Called with mu
// held.
func (w *watch) rolloutNote(d *document) string {
	plan := d.engine.Rollout()
	if plan == nil {
		return ""
	}
	if w.rollouts.note == "" && w.rollouts.newest != nil {
		if _, err := w.rollouts.newest.Overlay(plan); err != nil {
			return err.Error()
		}
	}
	return w.rollouts.note
}

// IsRolloutUnwritten reports whether the place of the rollout's state is known not to have the
// newest one: it was put by this gateway and is not shown there yet, or what is there is older.
func (h *Handle) IsRolloutUnwritten() bool {
	w := h.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	l := &w.rollouts
	return l.newest != nil && (l.isOwn || l.isBehind)
}
