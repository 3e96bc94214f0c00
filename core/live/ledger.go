package live

import (
	"fmt"
	"strings"
)

// ledger keeps the epochs of the switch: only a higher one than all seen before comes into force. One
// that cannot be judged yet, or names a version that no document has, waits for the next document.
type ledger struct {
	newest  Switch // epoch 0 is none
	pending []byte
	note    string // what is wrong with the newest switch document, "" if nothing is
}

// take judges a switch document, and returns it if it is a new one to be put in force. Versions are
// those that it may name; nil while there is no policy. The error is new: a refusal that was noted
// already is not reported again.
func (l *ledger) take(data []byte, versions []string) (*Switch, error) {
	next, err := ParseSwitch(data)
	if err == nil && versions == nil {
		l.pending = data
		l.note = "switch: waits for the first policy"
		return nil, nil
	}
	if err == nil {
		err = l.judge(next, versions)
	}
	if err != nil {
		l.pending = data
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

// retake judges what waits again, now that there is another document.
func (l *ledger) retake(versions []string) (*Switch, error) {
	if l.pending == nil {
		return nil, nil
	}
	data := l.pending
	l.pending = nil
	return l.take(data, versions)
}

// forget drops a switch that was refused. One in force stays: a newer one whose "to" is empty ends it.
func (l *ledger) forget() {
	l.pending = nil
	l.note = ""
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
