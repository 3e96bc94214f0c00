package caddygray

import (
	"fmt"
	"net/http"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/internal/explain"
	"github.com/grayrelease/gray/rollout/operate"
)

// serveExplain says what version a request would get, and why.
func serveExplain(w http.ResponseWriter, r *http.Request, service string) error {
	active := policies.latest()[service]
	if active == nil {
		return unknownService(service)
	}
	var q explain.Request
	if err := operate.ReadBody(r.Body, &q); err != nil {
		return refusal(http.StatusBadRequest, fmt.Errorf("the body is not a request to be explained: %w", err))
	}
	caller, err := q.Caller()
	if err != nil {
		return refusal(http.StatusBadRequest, err)
	}
	return answer(w, http.StatusOK, core.Explain(active.engine, caller))
}
