package api

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/internal/daemon"
	"github.com/grayrelease/gray/rollout/operate"
)

// Switch is the body of POST /gray/v1/{service}/switch.
type Switch struct {
	// To is the version that every request goes to; "" ends the switch. Required.
	To     *string `json:"to"`
	Reason string  `json:"reason,omitempty"`
	// By is added to the name of the token. Default: the token's name only.
	By string `json:"by,omitempty"`
}

// serveSwitch throws the kill switch with the epoch that is next. The answer is the switch.
func (a *API) serveSwitch(w http.ResponseWriter, r *http.Request) {
	s := a.named(w, r)
	if s == nil {
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
	if e := s.Engine(); e != nil {
		if err := operate.CheckVersion(e.Versions(), *c.To); err != nil {
			daemon.Refuse(w, http.StatusConflict, err)
			return
		}
	}
	written, err := s.Throw(r.Context(), live.Switch{To: *c.To, Reason: c.Reason, By: a.by(r, c.By)})
	if err != nil {
		daemon.Refuse(w, http.StatusServiceUnavailable, err)
		return
	}
	daemon.Answer(w, http.StatusOK, &written)
}
