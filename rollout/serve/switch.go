package serve

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/internal/daemon"
	"github.com/grayrelease/gray/rollout/operate"
	"github.com/grayrelease/gray/rollout/store"
)

const switchTimeout = 10 * time.Second

// Switch is the body of POST /gray/v1/{service}/switch.
type Switch struct {
	// To is the version that every request goes to; "" ends the switch. Required.
	To     *string `json:"to"`
	Reason string  `json:"reason,omitempty"`
	// By is added to the name of the token. Default: the token's name only.
	By string `json:"by,omitempty"`
}

// serveSwitch throws the kill switch with the epoch that is next. The answer is the switch.
func (s *Server) serveSwitch(w http.ResponseWriter, r *http.Request) {
	v := s.named(w, r)
	if v == nil {
		return
	}
	var c Switch
	if err := operate.ReadBody(r.Body, &c); err != nil {
		daemon.Refuse(w, http.StatusBadRequest, fmt.Errorf("the body is not a switch: %w", err))
		return
	}
	if c.To == nil {
		daemon.Refuse(w, http.StatusBadRequest,
			errors.New(`to: required: the version that every request goes to, or "" to end the switch`))
		return
	}
	if e := v.handle.Current().Engine; e != nil {
		if err := operate.CheckVersion(e.Versions(), *c.To); err != nil {
			daemon.Refuse(w, http.StatusConflict, err)
			return
		}
	}
	written, err := v.throw(r.Context(), live.Switch{To: *c.To, Reason: c.Reason, By: s.by(r, c.By)})
	if err != nil {
		daemon.Refuse(w, http.StatusServiceUnavailable, err)
		return
	}
	daemon.Answer(w, http.StatusOK, &written)
}

// throw writes a switch, and puts it in force here.
func (v *service) throw(ctx context.Context, next live.Switch) (live.Switch, error) {
	ctx, cancel := context.WithTimeout(ctx, switchTimeout)
	defer cancel()
	place, err := store.Open(v.config.Source, v.config.Options)
	if err != nil {
		return next, err
	}
	return operate.ThrowFor(ctx, place, v.handle, next)
}
