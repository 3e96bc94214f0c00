package live

import (
	"fmt"
	"strings"
)

// ledger keeps the epochs of the switch: only a higher one than all seen before comes into force.
// One that cannot be judged yet, or names a version that no document has, waits for the next
// document.
//
// The safe direction is the exception. A store that was restored from a backup is behind what
// gateways have seen, and an operator who reads it there writes too low an epoch in the very moment
// that counts. So a switch to the stable version that is written now, as the source itself tells,
// comes into force all the same, under the epoch that was seen, be that the same or a higher one.
// To end it, or to force another version, takes a higher epoch, as ever.
type ledger struct {
	newest  Switch // the highest epoch seen, 0 is none, and what is in force by it
	offered int64  // the epoch of the document that was seen last, 0 is none
	pending *offer
	note    string // what is wrong with the newest switch document, "" if nothing is
}

// offer is a switch document, and whether it was written now: see source.Event.
type offer struct {
	data    []byte
	written bool
}

// take judges a switch document, and returns it if it is a new one to be put in force. Versions are
// those that it may name, nil while there is no policy; stable is the one that is safe, "" if it is
// not known. The error is new: a refusal that was noted already is not reported again.
func (l *ledger) take(o offer, versions []string, stable string) (*Switch, error) {
	next, err := parseSwitch(o.data, l.newest.Epoch+1)
	if err == nil {
		l.offered = next.Epoch
	}
	if err == nil && versions == nil {
		l.pending = &o
		l.note = "switch: waits for the first policy"
		return nil, nil
	}
	if err == nil && l.isBehind(next) && next.To == stable && (o.written || next.To == l.newest.To) {
		return l.takeSafe(next), nil
	}
	if err == nil {
		err = l.judge(next, versions)
	}
	if err != nil {
		l.pending = &o
		if l.note == err.Error() {
			return nil, nil
		}
		l.note = err.Error()
		return nil, err
	}
	l.note = ""
	if next.Epoch == l.newest.Epoch {
		return nil, nil
	}
	l.newest = next
	l.pending = nil
	return &next, nil
}

// isBehind reports whether a switch has an epoch that was seen, other than by itself.
func (l *ledger) isBehind(next Switch) bool {
	return next.Epoch < l.newest.Epoch || next.Epoch == l.newest.Epoch && next.To != l.newest.To
}

// takeSafe has a switch to the stable version in force although its epoch is behind, or already
// was.
func (l *ledger) takeSafe(next Switch) *Switch {
	l.pending = nil
	behind := fmt.Sprintf("epoch %d is behind %d, which was seen", next.Epoch, l.newest.Epoch)
	if next.Epoch == l.newest.Epoch {
		behind = fmt.Sprintf("epoch %d was seen with another version", next.Epoch)
	}
	l.note = fmt.Sprintf("switch: %s; it is in force, as it goes to the stable version: use %d or more to end it",
		behind, l.newest.Epoch+1)
	if next.To == l.newest.To {
		return nil
	}
	next.Epoch = l.newest.Epoch
	l.newest = next
	return &next
}

// retake judges what waits again, now that there is another document.
func (l *ledger) retake(versions []string, stable string) (*Switch, error) {
	if l.pending == nil {
		return nil, nil
	}
	o := *l.pending
	l.pending = nil
	return l.take(o, versions, stable)
}

// forget drops a switch that was refused, and notes that one in force is not at the source any
// more.
func (l *ledger) forget() {
	l.pending = nil
	l.offered = 0
	l.note = ""
	if l.newest.To != "" {
		l.note = fmt.Sprintf("switch: it was deleted, and is still in force: "+
			"write one with epoch %d or more and an empty \"to\" to end it", l.newest.Epoch+1)
	}
}

// judge returns why a switch is not to be put in force.
func (l *ledger) judge(next Switch, versions []string) error {
	switch {
	case next.Epoch < l.newest.Epoch:
		return fmt.Errorf("switch: epoch %d is older than %d, which was seen: use %d or more",
			next.Epoch, l.newest.Epoch, l.newest.Epoch+1)
	case next.Epoch == l.newest.Epoch && next.To != l.newest.To:
		return fmt.Errorf("switch: epoch %d was seen with another version: use %d or more", next.Epoch, l.newest.Epoch+1)
	case next.To == "" || next.Epoch == l.newest.Epoch || has(versions, next.To):
		return nil
	}
	return fmt.Errorf("switch: the policy has no version %q, only %s", next.To, strings.Join(versions, ", "))
}

// force returns the version that the switch in force sends every request to, "" if it sends none
// anywhere, and what is wrong with that, if it names a version that the document lacks.
func (l *ledger) force(versions []string, stable string) (version, note string) {
	to := l.newest.To
	if to == "" || has(versions, to) {
		return to, ""
	}
	return stable, fmt.Sprintf("the policy has no version %q: everything goes to %s", to, stable)
}

func has(words []string, word string) bool {
	for _, w := range words {
		if w == word {
			return true
		}
	}
	return false
}
