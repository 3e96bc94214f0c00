package api

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/internal/daemon"
	"github.com/grayrelease/gray/rollout"
	"github.com/grayrelease/gray/rollout/loop"
	"github.com/grayrelease/gray/rollout/operate"
)

// Command is the body of POST /gray/v1/{service}/{verb}; it may be empty.
type Command struct {
	Reason string `json:"reason,omitempty"`
	// By is added to the name of the token. Default: the token's name only.
	By   string `json:"by,omitempty"`
	Step int    `json:"step,omitempty"` // of the verb goto
}

// Unwritten is the answer to a command that is in force here, and is still to be written.
type Unwritten struct {
	*core.RolloutState
	Note string `json:"note"`
}

// serveVerb moves a rollout. The answer is its state after that.
func (a *API) serveVerb(w http.ResponseWriter, r *http.Request) {
	s := a.named(w, r)
	if s == nil {
		return
	}
	verb, verbs := r.PathValue("verb"), rollout.Verbs()
	if !slices.Contains(verbs, verb) {
		daemon.Refuse(w, http.StatusNotFound, fmt.Errorf("unknown verb %q%s", verb, problem.OneOf(verb, verbs)))
		return
	}
	epoch, err := seenEpoch(r)
	if err != nil {
		daemon.Refuse(w, http.StatusBadRequest, err)
		return
	}
	var c Command
	if err := operate.ReadBody(r.Body, &c); err != nil {
		daemon.Refuse(w, http.StatusBadRequest, fmt.Errorf("the body is not a command: %w", err))
		return
	}
	do := rollout.Command{Verb: verb, Step: c.Step, By: a.by(r, c.By), Reason: c.Reason, Epoch: epoch}
	state, err := s.Do(r.Context(), do)
	if err == nil {
		w.Header().Set("ETag", etag(state.Epoch))
		daemon.Answer(w, http.StatusOK, &state)
		return
	}
	if errors.Is(err, loop.ErrUnwritten) {
		daemon.Answer(w, http.StatusAccepted, &Unwritten{&state, err.Error()})
		return
	}
	daemon.Refuse(w, StatusOf(err), err)
}

// StatusOf returns the HTTP status of an error of Service.Do.
func StatusOf(err error) int {
	switch {
	case errors.Is(err, loop.ErrNoRollout):
		return http.StatusNotFound
	case errors.Is(err, loop.ErrPlace):
		return http.StatusServiceUnavailable
	}
	return http.StatusConflict
}
