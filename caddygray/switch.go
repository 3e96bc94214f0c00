package caddygray

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/rollout/operate"
	"github.com/grayrelease/gray/rollout/store"
)

const switchTimeout = 10 * time.Second

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
	if err := operate.ReadBody(r.Body, &c); err != nil {
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
	next := live.Switch{To: *c.To, Reason: c.Reason, By: c.By}
	if err := f.throw(r.Context(), &next); err != nil {
		return refusal(http.StatusServiceUnavailable, err)
	}
	return answer(w, http.StatusOK, &next)
}

// checkVersion refuses a version that the policy in force does not have.
func (f *followed) checkVersion(to string) error {
	c := f.handle.Current()
	if c.Engine == nil {
		return nil
	}
	return operate.CheckVersion(c.Engine.Versions(), to)
}

// throw writes a switch, with an epoch that is higher than all that are known, and puts it in force
// here.
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
	written, err := operate.ThrowFor(ctx, place, f.handle, *next)
	if err != nil {
		return err
	}
	*next = written
	return nil
}
