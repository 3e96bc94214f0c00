package caddygray

import (
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/grayrelease/gray/core"
)

// Where a request's variables hold what gray knows of it.
const (
	varsKey     = "gray"         // *request
	noPolicyKey = "gray.nothing" // true when a handler had no policy yet
	toldKey     = "gray.told"    // true once the proxy's log says that nothing has been decided
)

// request is what gray knows of one request: what was decided, service by service, and how its proxying goes.
type request struct {
	decided *decided // the last one, which leads to those before
	attempt attempt
	first   decided // most requests have one only

	upstream reverseproxy.Upstream // of the first attempt, where the version has one only
	pool     [1]*reverseproxy.Upstream
}

// decided is the decision for one service.
type decided struct {
	active   *active
	caller   core.Caller
	decision *core.Decision
	outcome  *outcome
	serving  *version // the decided version, or stable after a fallback
	recorder recorder
	before   *decided
}

// decide asks the policy and remembers its answer with the request.
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
	d.decision = core.Decide(active.engine, &d.caller)
	d.outcome = active.outcomes[d.decision.Rule]
	d.serving = d.outcome.version
	d.outcome.decisions.Inc()
	countToken(d)
	state.decided = d
	return d
}

// announce makes the request's state known to placeholders and to the access log. Neither costs more where it is not used.
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

// stateOf is what gray knows of a request, nil if no `gray` handler has seen it.
func stateOf(r *http.Request) *request {
	vars, _ := r.Context().Value(caddyhttp.VarsCtxKey).(map[string]any)
	state, _ := vars[varsKey].(*request)
	return state
}

// of is the last decision for a service, or the last one at all when no service is given; nil if there is none.
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

// told is the version that a header tells: that of the last decision that has it.
func (s *request) told(header string) string {
	for d := s.decided; d != nil; d = d.before {
		if d.active.engine.Header() == header {
			return d.decision.Version
		}
	}
	return ""
}

// fallBack sends the request to stable. It is the same request still: nothing is decided again.
func (d *decided) fallBack() {
	d.serving.fallbacks.Inc()
	d.serving = d.active.stable
}

func (d *decided) fellBack() bool { return d.serving != d.outcome.version }

// MarshalLogObject tells the access log, service by service.
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

// MarshalLogObject tells the access log of one service.
func (d *decided) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	enc.AddString("version", d.decision.Version)
	enc.AddString("rule", d.decision.Rule)
	if d.fellBack() {
		enc.AddBool("fallback", true)
	}
	return nil
}
