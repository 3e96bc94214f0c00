package caddygray

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/core/source"
	"github.com/grayrelease/gray/rollout/store"
)

const (
	switchTimeout = 10 * time.Second
	switchTries   = 20 // against others who write at the same time
)

// switchCommand is the body of POST /gray/<service>/switch.
type switchCommand struct {
	// To is the version that every request goes to; "" ends the switch. Required.
	To     *string `json:"to"`
	Reason string  `json:"reason"`
	By     string  `json:"by"`
}

// serveSwitch throws the kill switch of a service, with the epoch that is next. The answer is the
// switch.
func serveSwitch(w http.ResponseWriter, r *http.Request, service string) error {
	f := states.newest(service)
	if f == nil {
		return unknownService(service)
	}
	var c switchCommand
	if err := readBody(r.Body, &c); err != nil {
		return refusal(http.StatusBadRequest, fmt.Errorf("the body is not a switch: %w", err))
	}
	if c.To == nil {
		return refusal(http.StatusBadRequest,
			errors.New(`to: required: the version that every request goes to, or "" to end the switch`))
	}
	if err := f.checkVersion(*c.To); err != nil {
		return refusal(http.StatusConflict, err)
	}
	if c.By == "" {
		c.By = byAdmin
	}
	next := live.Switch{To: *c.To, Reason: c.Reason, By: c.By, At: time.Now().UTC().Format(time.RFC3339)}
	if err := f.throw(r.Context(), &next); err != nil {
		return refusal(http.StatusServiceUnavailable, err)
	}
	return answer(w, http.StatusOK, &next)
}

// checkVersion refuses a version that the policy in force does not have.
func (f *followed) checkVersion(to string) error {
	c := f.handle.Current()
	if to == "" || c.Engine == nil {
		return nil
	}
	if _, known := c.Engine.Versions()[to]; known {
		return nil
	}
	var names []string
	for name := range c.Engine.Versions() {
		names = append(names, name)
	}
	return fmt.Errorf("to: the policy has no version %q%s", to, problem.Suggest(to, names))
}

// throw writes a switch by compare-and-set, with the epoch after the highest that is known, and
// puts it in force here.
func (f *followed) throw(ctx context.Context, next *live.Switch) error {
	ctx, cancel := context.WithTimeout(ctx, switchTimeout)
	defer cancel()
	place, err := store.Open(f.handler.place, f.handler.placeOptions())
	if err != nil {
		return err
	}
	if f.handler.Source == nil {
		if err := os.MkdirAll(f.handler.folder(), 0o700); err != nil {
			return err
		}
	}
	for range switchTries {
		d, err := place.Get(ctx, source.Switch)
		if err != nil {
			return err
		}
		next.Epoch = 1
		if seen := f.handle.State().Switch; seen != nil {
			next.Epoch = seen.Epoch + 1
		}
		if stored, err := live.ParseSwitch(d.Data); !d.Missing && err == nil && stored.Epoch >= next.Epoch {
			next.Epoch = stored.Epoch + 1
		}
		data, err := json.Marshal(next)
		if err != nil {
			return err
		}
		_, err = place.Put(ctx, source.Switch, data, d.Revision)
		if errors.Is(err, store.ErrConflict) {
			continue
		}
		if err != nil {
			return err
		}
		f.handle.PutSwitch(data)
		return nil
	}
	return fmt.Errorf("others have written the switch %d times meanwhile", switchTries)
}
