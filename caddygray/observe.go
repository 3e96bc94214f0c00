package caddygray

import (
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/rollout/guard"
)

// use notes that the version has a say in how the request is answered, which counts for it from
// here on: in responses, in latency, and for the rollout's guards. Where versions have upstreams,
// that is so once `dynamic gray` is asked for them; where no `dynamic gray` is, once a matcher is
// asked. What answers before, such as a login page, is the same for all versions and says nothing
// about one.
func (d *decided) use() {
	if d.isUsed || d.recorder.recorded {
		return
	}
	d.isUsed = true
	d.observe(d.recorder.started)
}

// passedBy warns, once for each handler, of requests that go to a proxy without `dynamic gray`
// although the versions have upstreams.
func (d *decided) passedBy() {
	proxies := d.active.handler.proxies
	if proxies.areThere.Load() || proxies.unused.Load() {
		return
	}
	repl, _ := d.caller.Request.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if repl == nil {
		return
	}
	address, isProxied := repl.GetString("http.reverse_proxy.upstream.hostport")
	if !isProxied || address == "" || proxies.unused.Swap(true) {
		return
	}
	d.active.handler.logger.Warn("the versions' upstreams are not used, and nothing counts for the versions: "+
		"write `dynamic gray` into reverse_proxy in place of its addresses, "+
		"or leave the upstreams out of the policy where a header or a placeholder says the version",
		zap.String("service", d.active.service), zap.String("upstream", address))
}

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
	d.exchange = new(guard.Exchange)
	tracker.Begin(d.exchange, position, arm, started)
}

// answered notes how the request was answered: by stable in place of the canary is bad, whatever
// stable said.
func (d *decided) answered(status int, at time.Time) {
	if d.exchange == nil {
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
	if d.exchange == nil {
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
