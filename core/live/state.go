package live

import (
	"time"

	"github.com/grayrelease/gray/core/discover"
	"github.com/grayrelease/gray/core/source"
)

// State tells people how a policy stands.
type State struct {
	Service string `json:"service,omitempty"` // from the document
	Source  string `json:"source"`            // without credentials
	Users   int    `json:"users"`

	// Origin is where the document in force comes from: "source"; "kept" when it is the last good one
	// and the source has not confirmed it yet; "none" when there is no document, so that everything
	// goes to stable.
	Origin     string    `json:"origin"`
	Revision   string    `json:"revision,omitempty"`
	Since      time.Time `json:"since,omitzero"`        // when the document in force came into force
	AgeSeconds float64   `json:"age_seconds"`           // since then
	Contact    time.Time `json:"contact,omitzero"`      // when the source last answered
	Connected  bool      `json:"connected"`             // the last thing heard of the source was no failure
	Deleted    bool      `json:"deleted,omitempty"`     // the source has no such document; the last good one stays
	Error      string    `json:"error,omitempty"`       // why the source cannot be read
	Rejected   *Rejected `json:"rejected,omitempty"`    // the source's newest document, when that was refused
	Forced     string    `json:"forced,omitempty"`      // the version that every request goes to
	Switch     *Switch   `json:"switch,omitempty"`      // the newest switch seen, in force when its "to" is not empty
	SwitchNote string    `json:"switch_note,omitempty"` // what is wrong with the switch
	// Warnings are what is valid in the document in force and was probably meant otherwise.
	Warnings []string `json:"warnings,omitempty"`
	// SwitchDeleted says that the switch in force is not at the source any more.
	SwitchDeleted bool `json:"switch_deleted,omitempty"`
	// SwitchOffered is the epoch of the switch document at the source, that of Switch in normal times.
	// 0 if there is none.
	SwitchOffered int64 `json:"switch_offered,omitempty"`
	// SwitchFile is where the switch of a file source is looked for. nil of other sources.
	SwitchFile *source.SwitchFile `json:"switch_file,omitempty"`

	Rollout *RolloutStatus `json:"rollout,omitempty"` // of a policy that has one

	Upstreams map[string]Upstreams `json:"upstreams,omitempty"` // of each version that has a discovery URL

	Journal []Entry `json:"journal,omitempty"` // what happened, the newest last

	Updates    uint64 `json:"updates"`    // documents that came into force
	Rejections uint64 `json:"rejections"` // documents and switches that were refused
	Failures   uint64 `json:"failures"`   // times that the source could not be read
}

// Rejected is a document that was refused.
type Rejected struct {
	Revision string    `json:"revision"`
	Error    string    `json:"error"`
	At       time.Time `json:"at"`
}

// Upstreams are the instances of a version.
type Upstreams struct {
	Discover  string              `json:"discover"` // without credentials
	Instances []discover.Instance `json:"instances"`
	Kept      bool                `json:"kept,omitempty"`   // from before; the registry has not answered yet
	Held      bool                `json:"held,omitempty"`   // the registry lists none: the last that it listed
	Contact   time.Time           `json:"contact,omitzero"` // when the registry last answered
	Error     string              `json:"error,omitempty"`  // why the registry cannot be read
}

// state reports how the policy stands for one handle.
func (w *watch) state(u *user) State {
	file := w.switchFile() // the disk may be slow: not under the lock
	w.mu.Lock()
	defer w.mu.Unlock()
	current := u.current.Load().(*Current)
	st := w.counters
	st.Users = len(w.users)
	st.Origin = current.Origin
	st.Revision = current.Revision
	st.Since = current.Since
	st.SwitchNote = w.ledger.note
	st.SwitchDeleted = w.isSwitchDeleted
	st.SwitchOffered = w.ledger.offered
	st.SwitchFile = file
	if d := u.document; d != nil {
		st.Service = d.engine.Service()
		st.AgeSeconds = now().Sub(d.since).Seconds()
		force, note := w.ledger.force(versionsOf(d.engine), d.engine.Stable())
		st.Forced = force
		if st.SwitchNote == "" {
			st.SwitchNote = note
		}
		st.Rollout = w.rolloutStatus(d)
		st.Upstreams = w.upstreamStates(d, current)
		for _, warning := range d.engine.Warnings() {
			st.Warnings = append(st.Warnings, warning.String())
		}
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

// switchFile returns where the switch is looked for, nil if not in a file.
func (w *watch) switchFile() *source.SwitchFile {
	if w.source == nil {
		return nil
	}
	return w.source.SwitchFile()
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
