package caddygray

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"golang.org/x/net/http/httpguts"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/rollout/loop"
)

// Handler decides which version of a service a request gets, once, and tells everybody after it:
// the upstream (by a request header and W3C baggage), Caddy's other modules (by placeholders), the
// access log and the metrics.
//
// The policy stands in the handler's own JSON, field by field, or in a file. Its strings may hold
// the placeholders `{env.*}`, `{file.*}` and `{system.*}`.
//
// Placeholder | Description
// ------------|-------------
// `{http.gray.version}` | The version decided on
// `{http.gray.rule}` | The rule that decided, empty when none matched
// `{http.gray.service}` | The service
// `{http.gray.fallback}` | Whether stable served for want of a usable upstream: true or false
// `{http.gray.identity}` | Who the caller counts as; often personal data, so mind where it goes
// `{http.gray.bucket}` | The caller's place in the last percentage, 0 to 100; empty without one
// `{http.gray.reason}` | Why this version, in a line
// `{http.gray.SERVICE.NOUN}` | The same of one service, for requests that pass several
//
// They tell of the decision, whatever has become of the request since. Only the identity of a
// caller whom no percentage was asked about is that of the request as it is when the placeholder is
// used. On requests that no handler has decided on, placeholders stay text as they are written.
//
// Requests pass several handlers, for several services, independently of each other.
type Handler struct {
	// The policy. See the package core for each field.
	core.Policy

	// PolicyFile is the path of a policy document in JSON, in place of the policy's fields here. It is
	// read when the configuration is loaded. Where Service is given too, it must be the document's.
	PolicyFile string `json:"policy,omitempty"`

	// HealthChecks are active health checks of versions' upstreams, by the version's name. Default:
	// none; upstreams that fail requests are left out for a while all the same.
	HealthChecks map[string]*HealthCheck `json:"health_checks,omitempty"`

	// DebugHeader is the name of a response header that tells the decision: service, version, rule,
	// fallback. Default: none, since it tells clients about the release.
	DebugHeader string `json:"debug_header,omitempty"`

	// Vary makes responses of all versions say, in the header Vary, which request headers the decision
	// depends on, so that caches before Caddy keep the versions apart. Default: none.
	Vary *Vary `json:"vary,omitempty"`

	// DrainTimeout ends exchanges, websockets and streams among them, that are still open that long
	// after their version was switched away from: a switch forces another version, the policy is not
	// enabled any more, or no rule gives the version now. Exchanges of the stable version are never
	// ended. Default: 0, which ends none.
	DrainTimeout caddy.Duration `json:"drain_timeout,omitempty"`

	// Source is where the policy document is kept that changes without a reload. The policy in the
	// fields here then says which version is stable until there is a first good document, and where
	// the versions run that documents give neither upstreams nor a discovery URL. Default: none.
	Source *live.Source `json:"source,omitempty"`

	// Loop says how this gateway takes part in moving the rollout of the policy. Default: it measures,
	// decides and writes.
	Loop *Loop `json:"loop,omitempty"`

	// Cache is a folder for the last good document, the switch and the instances of registries, with
	// which Caddy starts while their servers are down. Default: the folder `gray` in Caddy's data
	// directory.
	Cache string `json:"cache,omitempty"`

	configuration *configuration
	configured    *core.Policy // of the fields here, or of the file

	current  *atomic.Pointer[active] // holds nil while there is no policy
	proxies  *proxies
	handle   *live.Handle
	place    string    // where what stands above the policy is kept, a URL
	use      *loop.Use // of the rollout's loop, nil if there is none
	cancel   context.CancelFunc
	checking *sync.WaitGroup
	logger   *zap.Logger

	emitEvent func(name string, data map[string]any)
}

// Vary is what the response header Vary lists.
type Vary struct {
	// Headers to list. Default: those that the policy reads, or "*" where it reads what no header
	// tells (the client's address, chance).
	Headers []string `json:"headers,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.gray",
		New: func() caddy.Module { return new(Handler) },
	}
}

// UnmarshalJSON reads the handler's JSON as strictly as a policy document.
func (h *Handler) UnmarshalJSON(data []byte) error { return core.Decode(data, h) }

// Provision reads the policy and starts what runs beside requests: health checks, and the watch of
// a source or a registry.
func (h *Handler) Provision(ctx caddy.Context) error {
	h.logger = ctx.Logger()
	h.checking = new(sync.WaitGroup)
	h.current = new(atomic.Pointer[active])
	h.proxies = new(proxies)
	var err error
	if h.configuration, err = joinConfiguration(ctx); err != nil {
		return err
	}
	if err := registerMetrics(ctx.GetMetricsRegistry()); err != nil {
		return fmt.Errorf("registering metrics: %w", err)
	}
	if err := h.findEvents(ctx); err != nil {
		return err
	}
	policy, err := h.document()
	if err != nil {
		return err
	}
	if err := h.checkExtras(policy); err != nil {
		return err
	}
	var background context.Context
	background, h.cancel = context.WithCancel(ctx)
	h.configured = policy
	if err := h.open(background, policy); err != nil {
		return err
	}
	h.configuration.add(h)
	return nil
}

// document is the policy of the module's own fields or of its file.
func (h *Handler) document() (*core.Policy, error) {
	if err := replacePlaceholders(&h.Policy, &h.PolicyFile, &h.Source, &h.Cache, &h.HealthChecks); err != nil {
		return nil, err
	}
	if h.PolicyFile == "" {
		return &h.Policy, nil
	}
	if field := firstField(&h.Policy); field != "" {
		return nil, fmt.Errorf("%s is given beside the policy file %s: keep one of the two", field, h.PolicyFile)
	}
	policy, err := live.ReadPolicy(h.PolicyFile)
	if problems := (problem.List)(nil); errors.As(err, &problems) {
		return nil, fmt.Errorf("policy file %s:\n%w", h.PolicyFile, problems)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the policy: %w", err)
	}
	if h.Service != "" && h.Service != policy.Service {
		return nil, fmt.Errorf("policy file %s is about the service %q, not %q", h.PolicyFile, policy.Service, h.Service)
	}
	return policy, nil
}

// checkExtras checks what this module has beside the policy.
func (h *Handler) checkExtras(policy *core.Policy) error {
	if err := checkDebugHeader(h.DebugHeader); err != nil && h.DebugHeader != "" {
		return err
	}
	if err := h.Vary.check(); err != nil {
		return err
	}
	if h.Loop != nil && h.Loop.Gateways < 0 {
		return errors.New("loop.gateways: must not be negative")
	}
	if h.DrainTimeout < 0 {
		return errors.New("drain_timeout: must not be negative")
	}
	for name, check := range h.HealthChecks {
		if _, known := policy.Versions[name]; !known && h.Source == nil {
			return fmt.Errorf("health_checks.%s: no such version", name)
		}
		if check == nil {
			return fmt.Errorf("health_checks.%s: empty: give at least its uri, or leave it out", name)
		}
		if err := check.provision(); err != nil {
			return fmt.Errorf("health_checks.%s: %w", name, err)
		}
	}
	return nil
}

func (v *Vary) check() error {
	if v == nil {
		return nil
	}
	for i, name := range v.Headers {
		if isAnswer(name) {
			return fmt.Errorf("vary: %q is not the name of a header: without names it lists what the policy reads, and without "+
				"vary there is none", name)
		}
		if err := checkHeaderName(problem.Index("vary.headers", i), name); err != nil { // "*" is one too
			return err
		}
	}
	return nil
}

func checkDebugHeader(name string) error {
	if isAnswer(name) {
		return fmt.Errorf("debug_header: %q is not the name of a header: without a name it is %s, and without debug_header "+
			"there is none", name, defaultDebugHeader)
	}
	return checkHeaderName("debug_header", name)
}

// isAnswer reports whether a word says whether something is wanted, and not what.
func isAnswer(word string) bool {
	return slices.Contains([]string{"on", "off", "true", "false", "yes", "no"}, strings.ToLower(word))
}

func checkHeaderName(path, name string) error {
	if !httpguts.ValidHeaderFieldName(name) {
		return fmt.Errorf("%s: %q is not a valid header name", path, name)
	}
	return nil
}

// install puts a policy in force in place of the one before, whose requests finish with what they
// have.
func (h *Handler) install(ctx context.Context, r *active) {
	h.startHealthChecks(ctx, r)
	policies.add(r)
	before := h.current.Swap(r)
	// Else it is the same policy, with other instances or a switch.
	if before == nil || before.engine.Policy() != r.engine.Policy() {
		h.warn(r)
	}
	if before != nil {
		policies.remove(before)
		before.close()
	}
	h.leaveVersions(r.service)
	h.configuration.checkReferences()
}

// warn logs what somebody may have left in a policy by mistake.
func (h *Handler) warn(r *active) {
	if forced := r.now.Overlay.Force; forced != "" {
		h.logger.Warn(r.now.Overlay.Reason, zap.String("service", r.service), zap.String("version", forced))
	}
	if !r.verified {
		h.logger.Warn("tokens are believed as they stand: no signature is checked (jwt.verify is false)",
			zap.String("service", r.service))
	}
}

// Cleanup ends what Provision began, as far as it came.
func (h *Handler) Cleanup() error {
	if h.handle != nil {
		states.remove(h.handle)
		h.handle.Close()
	}
	if h.use != nil {
		h.use.Close()
	}
	if h.cancel != nil {
		h.cancel()
		h.checking.Wait()
	}
	if h.configuration == nil {
		return nil
	}
	h.release(h.current.Load()) // the last requests of this configuration still go by it
	h.configuration.leave()
	return nil
}

// release notes that a policy is not in force any more; nil is none.
func (h *Handler) release(r *active) {
	if r == nil {
		return
	}
	policies.remove(r)
	r.close()
	h.leaveVersions(r.service)
}

// ServeHTTP decides and calls next.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	vars := r.Context().Value(caddyhttp.VarsCtxKey).(map[string]any)
	active := h.current.Load()
	if active == nil {
		if vars[varsKey] == nil { // else another service's handler has put its own decision there
			core.PassNothing(r)
		}
		vars[noPolicyKey] = true
		return next.ServeHTTP(w, r)
	}
	d := decide(active, r, vars)
	core.Pass(active.engine, &d.caller, w.Header(), d.decision)

	served := d.endable(r)
	defer served()
	d.serving.open.begin(d)
	defer func() { d.serving.open.end(d) }()
	recorder := d.record(w)
	if !active.isLocated { // what follows goes by the version in a way that is not seen here
		d.use()
	}
	defer recorder.broke()
	err := next.ServeHTTP(recorder, r)
	recorder.finish(err)
	return err
}

// Interface guards
var (
	_ caddy.Module                = (*Handler)(nil)
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.CleanerUpper          = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
	_ caddyfile.Unmarshaler       = (*Handler)(nil)
)
