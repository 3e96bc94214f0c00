package operate

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/core/source"
	"github.com/grayrelease/gray/rollout/store"
)

// CheckVersion returns why the kill switch cannot send every request to a version; "" ends the
// switch.
func CheckVersion(versions map[string]core.Version, to string) error {
	if _, known := versions[to]; known || to == "" {
		return nil
	}
	var names []string
	for name := range versions {
		names = append(names, name)
	}
	return fmt.Errorf("to: the policy has no version %s%s", problem.Quote(to), problem.OneOf(to, names))
}

// ThrowFor writes the kill switch beside the policy of a handle, with an epoch that is higher than
// all that are known, and puts it in force there. It returns the document as it was written.
func ThrowFor(ctx context.Context, s *store.Store, h *live.Handle, sw live.Switch) (live.Switch, error) {
	seen := int64(0)
	if known := h.State().Switch; known != nil {
		seen = known.Epoch
	}
	written, data, err := Throw(ctx, s, sw, seen)
	if err == nil {
		h.PutSwitch(data)
	}
	return written, err
}

// Throw writes the kill switch with the epoch after the highest that is known: that at the source,
// and seen, which whoever calls knows of (0 is none). It returns the document as it was written,
// with its epoch and its time.
func Throw(ctx context.Context, s *store.Store, sw live.Switch, seen int64) (live.Switch, []byte, error) {
	sw.At = now().Format(time.RFC3339)
	var written []byte
	err := s.Update(ctx, source.Switch, func(d source.Document) ([]byte, error) {
		sw.Epoch = seen + 1
		if stored, err := live.ParseSwitch(d.Data); !d.Missing && err == nil && stored.Epoch >= sw.Epoch {
			sw.Epoch = stored.Epoch + 1
		}
		data, err := json.Marshal(&sw)
		if err != nil {
			return nil, err
		}
		if _, err := live.ParseSwitch(data); err != nil {
			return nil, err // a text is too long
		}
		written = data
		return data, nil
	})
	return sw, written, err
}
