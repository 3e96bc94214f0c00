package caddygray

import (
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/grayrelease/gray/core"
)

// recorder notes the latency and status of a version's response, and adds the headers that the
// handler is configured to send. It acts when the header is written, and costs the body nothing,
// streams included.
type recorder struct {
	*caddyhttp.ResponseWriterWrapper
	wrapper  caddyhttp.ResponseWriterWrapper // what the pointer points to
	decided  *decided
	started  time.Time
	recorded bool
	isOver   bool
}

// record returns the decision's recorder, which is part of the decision to save an allocation.
func (d *decided) record(w http.ResponseWriter) *recorder {
	r := &d.recorder
	r.wrapper.ResponseWriter = w
	r.ResponseWriterWrapper = &r.wrapper
	r.decided = d
	r.started = time.Now()
	return r
}

// WriteHeader writes the header with what gray adds to it.
func (r *recorder) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols {
		r.complete(status)
	}
	r.wrapper.WriteHeader(status)
}

// Write writes a part of the body.
func (r *recorder) Write(p []byte) (int, error) {
	r.complete(http.StatusOK)
	return r.wrapper.Write(p)
}

// ReadFrom copies a part of the body.
func (r *recorder) ReadFrom(from io.Reader) (int64, error) {
	r.complete(http.StatusOK)
	return r.wrapper.ReadFrom(from)
}

// finish handles responses that have not been written yet: errors, which Caddy writes later with
// the same header, and empty responses.
func (r *recorder) finish(err error) {
	status := http.StatusOK
	if err != nil {
		status = statusOf(err)
	}
	isWhole := err == nil || !r.recorded
	r.complete(status)
	r.decided.over(isWhole, r.Header())
	r.isOver = true
}

// broke handles a response whose handler gave it up by a panic.
func (r *recorder) broke() {
	if r.isOver {
		return
	}
	if !r.recorded {
		r.decided.answered(http.StatusInternalServerError, time.Now())
		return
	}
	r.decided.over(false, r.Header())
}

func statusOf(err error) int {
	var failure caddyhttp.HandlerError
	if errors.As(err, &failure) && failure.StatusCode > 0 {
		return failure.StatusCode
	}
	return http.StatusInternalServerError
}

func (r *recorder) complete(status int) {
	if r.recorded {
		return
	}
	r.recorded = true
	r.count(status)
	d := r.decided
	if d.caller.SetsCookie() {
		core.KeepPrivate(r.Header())
	}
	if d.active.debugHeader != "" {
		r.Header().Add(d.active.debugHeader, d.debug())
	}
	if d.active.vary != "" {
		r.Header().Add("Vary", d.active.vary)
	}
}

// count counts the response, unless the version had no say in it.
func (r *recorder) count(status int) {
	if !r.decided.isUsed {
		r.decided.passedBy()
		return
	}
	v := r.decided.serving
	at := time.Now()
	v.latency.Observe(at.Sub(r.started).Seconds())
	r.decided.answered(status, at)
	class := status / 100
	if class >= len(v.statuses) {
		class = 0
	}
	v.statuses[class].Inc()
}

func (d *decided) debug() string {
	if d.fellBack() {
		return d.outcome.debug + "; fallback"
	}
	return d.outcome.debug
}
