package live

import (
	"errors"
	"fmt"
	"strings"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/source"
)

// Switch is the kill switch's document: {"epoch": 7, "to": "v1", "reason": "errors on v2", "by":
// "ann", "at": "2025-05-01T10:00:00Z"}.
type Switch struct {
	// Epoch counts the uses of the switch. Each use must have a higher one than those before.
	// Required.
	Epoch int64 `json:"epoch"`
	// To is the version that every request goes to; "" ends the switch. Required.
	To string `json:"to"`
	// Reason, By and At are for people. Optional, at most 1,024 bytes each.
	Reason string `json:"reason,omitempty"`
	By     string `json:"by,omitempty"`
	At     string `json:"at,omitempty"`
}

// switchDocument tells absent from empty.
type switchDocument struct {
	Epoch  *int64  `json:"epoch"`
	To     *string `json:"to"`
	Reason string  `json:"reason"`
	By     string  `json:"by"`
	At     string  `json:"at"`
}

// ParseSwitch reads a switch document. Unknown and repeated fields are refused: a typo in a kill
// switch must not go unseen.
func ParseSwitch(data []byte) (Switch, error) { return parseSwitch(data, 1) }

// parseSwitch reads a switch document. Next is the epoch that its errors propose.
func parseSwitch(data []byte, next int64) (Switch, error) {
	var d switchDocument
	if err := core.Decode(data, &d); err != nil {
		text := strings.ReplaceAll(err.Error(), "\n", "; ")
		return Switch{}, fmt.Errorf("switch: want {\"epoch\": %d, \"to\": \"v1\"}: %s", next, text)
	}
	if d.Epoch == nil || *d.Epoch < 1 {
		return Switch{}, fmt.Errorf("switch: epoch: want a number of %d or more", next)
	}
	if d.To == nil {
		return Switch{}, errors.New("switch: to: want the version that every request goes to, or \"\" to end the switch")
	}
	for _, text := range []string{*d.To, d.Reason, d.By, d.At} {
		if len(text) > 1024 {
			return Switch{}, errors.New("switch: a text is longer than 1024 bytes")
		}
	}
	return Switch{Epoch: *d.Epoch, To: *d.To, Reason: d.Reason, By: d.By, At: d.At}, nil
}

// PutSwitch puts a switch document in force as if it had just been read: for all handles of the
// source, at once. Whoever calls has written it.
func (h *Handle) PutSwitch(document []byte) {
	w := h.watch
	w.applying.Lock()
	defer w.applying.Unlock()
	w.takeSwitch(source.Event{Key: source.Switch, Document: source.Document{Data: document}, Written: true})
	handled()
}
