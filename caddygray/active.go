package caddygray

import (
	"context"
	"strconv"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/core/proxy"
	"github.com/grayrelease/gray/rollout/guard"
)

// active is a policy in force, with everything that requests need.
type active struct {
	service  string
	handler  *Handler
	now      *live.Current
	engine   *core.Engine
	verified bool // tokens are verified, if the policy has any
	versions map[string]*version
	// isLocated says that it is known where versions run, of some at least.
	isLocated bool
	stable    *version
	outcomes  map[string]*outcome // by rule, "" for none

	tracker *guard.Tracker // observes requests for the rollout, nil if it has nothing to compare

	debugHeader string
	vary        string

	subjects   []subject // whose series it keeps
	stopChecks context.CancelFunc
}

// version is one version of the service.
type version struct {
	name      string
	isHeld    bool                 // the registry lists none; these are the last that it listed
	open      *exchanges           // that it serves
	checked   bool                 // by active health checks
	upstreams []*upstream          // by share: an upstream of weight 3 is in it three times
	byDial    map[string]*upstream // each once
	pooled    sync.Map             // upstreams as those of a proxy, by its *pool

	latency     prometheus.Observer
	statuses    [6]prometheus.Counter // by class; index 0 counts invalid statuses
	fallbacks   prometheus.Counter
	unreachable prometheus.Counter
	interrupted prometheus.Counter
}

// outcome is one of the decisions that the policy can make.
type outcome struct {
	others    map[string]*outcome // of a rule that gives several versions: those of the others, by version
	version   *version
	decisions prometheus.Counter
	debug     string // value of the debug header
}

func newActive(h *Handler, now *live.Current) (*active, error) {
	engine := now.Engine
	policy := engine.Policy()
	r := &active{
		service:  engine.Service(),
		handler:  h,
		now:      now,
		engine:   engine,
		verified: policy.JWT == nil || policy.JWT.Verify == nil || *policy.JWT.Verify,
		versions: map[string]*version{},
		outcomes: map[string]*outcome{},
	}
	r.keep(subject{kind: ofService})
	var problems problem.List
	for name := range engine.Versions() {
		open := r.keep(subject{kind: ofVersion, version: name})
		var made *version
		_, err := parseUpstreams(now.Listed(name)) // as they are written, so that problems have their places
		if err == nil {
			made, err = newVersion(r.service, name, now.Addresses(name), h.logger)
		}
		if err != nil {
			problems = append(problems, problem.Of(err).Under(problem.Field("versions", name))...)
			continue
		}
		made.open = open
		r.isLocated = r.isLocated || now.IsLocated(name)
		r.versions[name] = made
	}
	if len(problems) > 0 {
		r.close()
		return nil, problems
	}
	r.stable = r.versions[engine.Stable()]
	r.stable.isHeld = now.StableHeld
	r.outcomes[""] = r.outcome(r.stable.name, "")
	if version := now.Overlay.Force; version != "" {
		r.outcomes[""] = r.outcome(version, "")
	}
	for i, name := range engine.RuleNames() {
		r.outcomes[name] = r.ruleOutcome(policy.Rules[i].Versions(), name)
	}
	if versions := engine.TesterVersions(); len(versions) > 0 {
		r.outcomes[core.TesterRule] = r.ruleOutcome(versions, core.TesterRule)
	}
	r.describe(h)
	return r, nil
}

func newVersion(service, name string, addresses []string, logger *zap.Logger) (*version, error) {
	targets, err := parseUpstreams(addresses)
	if err != nil {
		return nil, err
	}
	made := &version{name: name, byDial: map[string]*upstream{}}
	shares := map[*upstream]int{}
	for _, to := range targets {
		u := made.byDial[to.dial]
		if u == nil {
			u = newUpstream(service, name, to, logger)
			made.byDial[to.dial] = u
		}
		made.upstreams = append(made.upstreams, u)
		shares[u]++
	}
	for u, share := range shares {
		u.places = proxy.Places(u.dial, share)
	}
	made.count(service)
	return made, nil
}

// ruleOutcome is the outcome of a rule that may give these versions: that of the first, which knows
// the others.
func (r *active) ruleOutcome(versions []string, rule string) *outcome {
	first := r.outcome(versions[0], rule)
	for _, version := range versions[1:] {
		if first.others == nil {
			first.others = map[string]*outcome{}
		}
		first.others[version] = r.outcome(version, rule)
	}
	return first
}

// outcomeOf returns the outcome of a decision.
func (r *active) outcomeOf(d *core.Decision) *outcome {
	o := r.outcomes[d.Rule]
	if o.others != nil && o.others[d.Version] != nil {
		return o.others[d.Version]
	}
	return o
}

func (r *active) outcome(version, rule string) *outcome {
	r.keep(subject{kind: ofDecision, version: version, rule: rule})
	debug := strconv.QuoteToASCII(r.service) + "; version=" + version
	if rule != "" {
		debug += "; rule=" + strconv.QuoteToASCII(rule)
	}
	return &outcome{
		version:   r.versions[version],
		decisions: decisionsTotal.WithLabelValues(r.service, version, rule),
		debug:     debug,
	}
}

// keep keeps the series of one of the service's subjects until close. It returns the open exchanges
// of a version.
func (r *active) keep(s subject) *exchanges {
	s.service = r.service
	r.subjects = append(r.subjects, s)
	return series.acquire(s)
}

// describe prepares the debug header, if the handler has one.
func (r *active) describe(h *Handler) {
	r.debugHeader = h.DebugHeader
	if h.Vary == nil {
		return
	}
	headers := h.Vary.Headers
	if len(headers) == 0 {
		headers = core.Vary(r.engine)
	}
	r.vary = strings.Join(headers, ", ")
}

func (r *active) close() {
	if r.stopChecks != nil {
		r.stopChecks()
	}
	for _, v := range r.versions {
		v.close()
	}
	series.release(r.subjects)
}

func (v *version) close() {
	for _, u := range v.byDial {
		u.close()
	}
}
