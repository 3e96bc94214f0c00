package caddygray

import (
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/proxy"
	"github.com/grayrelease/gray/rollout/guard"
)

// Names of the variables in which a request holds the state of gray.
const (
	varsKey     = "gray"         // *request
	noPolicyKey = "gray.nothing" // true when a handler had no policy yet
	toldKey     = "gray.told"    // true once the proxy's log says that nothing has been decided
)

// request is the state of one request: the decision of each service, and the progress of its
// proxying.
type request struct {
	decided *decided // the last one, which leads to those before
	attempt attempt
	first   decided // most requests have one only

	pooled []*reverseproxy.Upstream // that may be tried, where they are the proxy's own
}

// decided is the decision for one service.
type decided struct {
	active   *active
	caller   core.Caller
	decision *core.Decision
	outcome  *outcome
	serving  *version // the decided version, or stable after a fallback
	abort    func()   // ends the exchange; nil if the handler does not end any
	recorder recorder
	exchange *guard.Exchange // as the rollout's guards observe it; nil if they do not
	isUsed   bool            // the version has a say in how the request is answered
	before   *decided
}

// decide decides by the policy and keeps the decision with the request.
func decide(active *active, r *http.Request, vars map[string]any) *decided {
	state, _ := vars[varsKey].(*request)
	var d *decided
	if state == nil {
		state = &request{}
		vars[varsKey] = state
		announce(state, r)
		d = &state.first
	} else {
		d = &decided{before: state.decided}
	}
	d.active = active
	d.caller.Request = r
	d.caller.Client, _ = vars[caddyhttp.ClientIPVarKey].(string)
	d.caller.Secure = cameByTLS
	d.caller.Placeholder = readPlaceholder
	d.decision = core.Decide(active.engine, &d.caller)
	d.outcome = active.outcomeOf(d.decision)
	d.serving = d.outcome.version
	d.outcome.decisions.Inc()
	countToken(d)
	state.decided = d
	return d
}

// cameByTLS reports whether a peer among Caddy's trusted_proxies says that the client came by TLS.
func cameByTLS(r *http.Request) bool {
	trusted, _ := caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool)
	return trusted && core.ForwardedSecurely(r)
}

// host is what Caddy offers to policies.
var host = core.Host{Placeholders: true}

// readPlaceholder returns the value of a placeholder of Caddy.
func readPlaceholder(r *http.Request, name string) (string, bool) {
	repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		return "", false
	}
	return repl.GetString(name)
}

// announce gives placeholders and the access log the request's state. Neither costs more if it is
// not used.
func announce(state *request, r *http.Request) {
	ctx := r.Context()
	if repl, ok := ctx.Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		repl.Map(state.placeholder)
	}
	server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok || server.Logs == nil {
		return
	}
	if extra, ok := ctx.Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
		extra.Add(zap.Object("gray", state))
	}
}

// stateOf returns the state of a request, or nil if no `gray` handler has seen it.
func stateOf(r *http.Request) *request {
	vars, _ := r.Context().Value(caddyhttp.VarsCtxKey).(map[string]any)
	state, _ := vars[varsKey].(*request)
	return state
}

// of returns the last decision for a service, or the last of all if service is empty, or nil.
func (s *request) of(service string) *decided {
	if s == nil {
		return nil
	}
	for d := s.decided; d != nil; d = d.before {
		if service == "" || service == d.active.service {
			return d
		}
	}
	return nil
}

// told returns the version that a header names: that of the last decision with this header.
func (s *request) told(header string) string {
	for d := s.decided; d != nil; d = d.before {
		if d.active.engine.Header() == header {
			return d.decision.Version
		}
	}
	return ""
}

// fallBack sends the request to stable. Nothing is decided again.
func (d *decided) fallBack() {
	d.serving.fallbacks.Inc()
	if n := proxy.Due(d.serving.open.fallbacks); n > 0 {
		d.active.handler.logger.Warn("version cannot be reached, stable serves instead",
			zap.String("service", d.active.service), zap.String("version", d.serving.name), zap.Int64("requests", n))
	}
	d.serving.open.end(d)
	d.serving = d.active.stable
	d.serving.open.begin(d)
}

func (d *decided) fellBack() bool { return d.serving != d.outcome.version }

// MarshalLogObject writes the decision of each service to the access log.
func (s *request) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	for d := s.decided; d != nil; d = d.before {
		if s.of(d.active.service) != d {
			continue // decided again later
		}
		if err := enc.AddObject(d.active.service, d); err != nil {
			return err
		}
	}
	return nil
}

// MarshalLogObject writes the decision of one service to the access log.
func (d *decided) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	enc.AddString("version", d.decision.Version)
	enc.AddString("rule", d.decision.Rule)
	if d.fellBack() {
		enc.AddBool("fallback", true)
	}
	return nil
}
