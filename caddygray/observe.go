package caddygray

import (
	"net/http"
	"strings"
	"time"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/rollout/guard"
)

// observe has the rollout's guards observe the request, if its rule was asked about the caller.
func (d *decided) observe(started time.Time) {
	tracker := d.active.tracker
	if tracker == nil {
		return
	}
	position, isTaken, ok := core.Ramped(d.active.engine, &d.caller, d.decision)
	if !ok {
		return
	}
	arm := guard.Control
	if isTaken {
		arm = guard.Canary
	}
	tracker.Begin(&d.exchange, position, arm, started)
}

// answered notes how the request was answered: by stable in place of the canary is bad, whatever
// stable said.
func (d *decided) answered(status int, at time.Time) {
	if !d.exchange.IsObserved() {
		return
	}
	if d.hasClientLeft() {
		d.exchange.Leave()
		return
	}
	d.exchange.Done(status >= http.StatusInternalServerError || d.fellBack(), at)
}

// over notes that the response is over, well or not.
func (d *decided) over(isWhole bool, h http.Header) {
	if !d.exchange.IsObserved() {
		return
	}
	if d.hasClientLeft() {
		d.exchange.Leave()
		return
	}
	if !isWhole || hasFailedCall(h) {
		d.exchange.Broke()
	}
}

func (d *decided) hasClientLeft() bool { return d.caller.Request.Context().Err() != nil }

// hasFailedCall reports whether the header or trailer of a gRPC response has a status that says
// that the service failed: UNKNOWN, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, INTERNAL, UNAVAILABLE,
// DATA_LOSS.
func hasFailedCall(h http.Header) bool {
	types := h["Content-Type"]
	if len(types) == 0 || !strings.HasPrefix(types[0], "application/grpc") {
		return false
	}
	status := h.Get("Grpc-Status")
	if status == "" {
		status = h.Get(http.TrailerPrefix + "Grpc-Status")
	}
	switch status {
	case "2", "4", "8", "13", "14", "15":
		return true
	}
	return false
}
