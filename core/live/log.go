package live

import (
	"context"
	"encoding/json"
	"log/slog"
)

// note logs what concerns all handles, once: to the newest one that logs, since older ones may
// belong to a configuration that is being closed. Called with mu held.
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
	w.journal.add(now(), text, pairs)
	if log == nil {
		return
	}
	about := []any{"source", w.name}
	if service := w.service(); service != "" {
		about = []any{"service", service, "source", w.name}
	}
	log.Log(context.Background(), level, text, append(about, pairs...)...)
}

func (w *watch) logError(text string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note(slog.LevelError, text, "error", err.Error())
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

// maxWarnings is how many warnings of one document are logged; the state has all.
const maxWarnings = 20

// noteWarnings logs what is valid in a document and was probably meant otherwise. Called with mu
// held.
func (w *watch) noteWarnings(d *document) {
	if open := d.engine.Unvouched(); len(open) > 0 {
		w.note(slog.LevelWarn, "a client may send these headers itself and choose who it counts as: have gray run after "+
			"what sets or removes them, and say vouch gateway, or let only peers in trust send them by vouch peers",
			"identity", open)
	}
	for i, warning := range d.engine.Warnings() {
		if i == maxWarnings {
			w.note(slog.LevelWarn, "policy has more warnings than these: see the state")
			return
		}
		w.note(slog.LevelWarn, "policy warning", "warning", warning.String())
	}
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
	return w.named
}

// serviceOf is the service that a document names which is not good, "" if it cannot be told.
func serviceOf(document []byte) string {
	var named struct {
		Service string `json:"service"`
	}
	if json.Unmarshal(document, &named) != nil || len(named.Service) > maxServiceText {
		return ""
	}
	return named.Service
}

const maxServiceText = 256
