package api

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/internal/daemon"
	"github.com/grayrelease/gray/internal/explain"
	"github.com/grayrelease/gray/rollout/operate"
)

var errNoPolicy = errors.New("no policy is in force: every request gets the stable version")

// serveExplain says which version a request would get, and why.
func (a *API) serveExplain(w http.ResponseWriter, r *http.Request) {
	s := a.named(w, r)
	if s == nil {
		return
	}
	engine := s.Engine()
	if engine == nil {
		daemon.Refuse(w, http.StatusConflict, errNoPolicy)
		return
	}
	var q explain.Request
	if err := operate.ReadBody(r.Body, &q); err != nil {
		daemon.Refuse(w, http.StatusBadRequest, fmt.Errorf("the body is not a request to be explained: %w", err))
		return
	}
	caller, err := q.Caller()
	if err != nil {
		daemon.Refuse(w, http.StatusBadRequest, err)
		return
	}
	daemon.Answer(w, http.StatusOK, core.Explain(engine, caller))
}
