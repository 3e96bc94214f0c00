package core

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/grayrelease/gray/core/allow"
	"github.com/grayrelease/gray/core/jwt"
	"github.com/grayrelease/gray/core/problem"
)

// Engine is a policy made ready to decide. It is immutable and safe for any number of requests at
// once; another policy is another Engine.
type Engine struct {
	host    Host
	policy  *Policy // without its lists
	written []*rule // as the policy has them
	rules   []*rule // written, as an overlay changes them

	start  *step     // of the compiled rules
	stable *Decision // what nobody's rule gives

	// The two parts of the overlay, each with its reason.
	force, forceReason string
	percent            map[string]float64
	withdrawn          []string
	keep               []string
	changeReason       string

	identity       []*attribute
	anonymous      string
	cookieName     string
	cookieLifetime time.Duration
	cookieDomain   string
	cookiePath     string
	cookieSameSite http.SameSite
	cookieSecure   bool // whatever the client came by
	cookieOnPages  bool // only navigations are given one
	cookieKeys     []string
	header         string
	spellings      []string // of header, with _ for -
	trust          *networks
	verifier       *jwt.Verifier // nil where no claim is used
	rollout        *RolloutPlan  // nil if the policy has none
	tester         *tester       // nil if the policy has none
	warnings       problem.List
}

// New checks a policy and makes it ready. It reads the files that the policy names and does no
// network I/O; Start fetches the keys that a URL names.
//
// The error is a problem.List: everything that is wrong with the policy.
func New(p *Policy) (*Engine, error) { return NewOn(Host{}, p) }

// NewOn is New for a host that offers something to policies.
func NewOn(h Host, p *Policy) (*Engine, error) { return newWithin(h, p, nil) }

func newWithin(h Host, p *Policy, allowed *allow.List) (*Engine, error) {
	c := &checker{policy: p, engine: &Engine{host: h, policy: withoutLists(p)}, allowed: allowed}
	c.service()
	c.header()
	c.identity()
	c.anonymous()
	c.trust()
	c.vouch()
	c.token()
	c.rules()
	c.rollout()
	c.tester()
	if len(c.problems) > 0 {
		return nil, c.problems
	}
	c.doubtRules()
	return c.engine.With(ownOverlay(p)), nil
}

// Load reads a policy document and makes it ready: ParsePolicy and New in one, with the problems of
// both.
func Load(document []byte) (*Engine, error) { return LoadWithin(Host{}, document, nil) }

// LoadWithin is Load on a host for a document that may have the gateway read and ask only what is
// allowed.
func LoadWithin(h Host, document []byte, allowed *allow.List) (*Engine, error) {
	p := &Policy{}
	problems := decodeStrict(document, p)
	e, err := newWithin(h, p, allowed)
	if len(problems) == 0 {
		return e, err
	}
	if more, ok := err.(problem.List); ok {
		problems = addUnseen(problems, more)
	}
	return nil, problems
}

// addUnseen leaves out what is only the consequence of a problem at the same place or around it: a
// field reported as having the wrong type is not also reported as missing, and neither are its
// children.
func addUnseen(problems, more problem.List) problem.List {
	seen := map[string]bool{}
	for _, p := range problems {
		seen[p.Path] = true
	}
	if seen[""] {
		return problems // what was not read cannot be judged
	}
	for _, p := range more {
		if !seenAround(seen, p.Path) {
			problems = append(problems, p)
		}
	}
	return problems
}

func seenAround(seen map[string]bool, path string) bool {
	for path != "" {
		if seen[path] {
			return true
		}
		end := strings.LastIndexAny(path, ".[")
		if end < 0 {
			return false
		}
		path = path[:end]
	}
	return false
}

// withoutLists returns a copy of a policy for those who want to know what it says: lists may be
// large, and are sets by now.
func withoutLists(p *Policy) *Policy {
	slim := &Policy{}
	*slim = *p
	slim.Lists = nil
	return slim
}

// Policy returns the policy that the engine was made of, without its lists. The caller must not
// change it.
func (e *Engine) Policy() *Policy { return e.policy }

// Service returns the policy's service.
func (e *Engine) Service() string { return e.policy.Service }

// Enabled reports whether the policy is enabled. An overlay does not count.
func (e *Engine) Enabled() bool { return isEnabled(e.policy) }

// Stable returns the name of the stable version.
func (e *Engine) Stable() string { return e.policy.Stable }

// Versions returns the policy's versions by name. The caller must not change them.
func (e *Engine) Versions() map[string]Version { return e.policy.Versions }

// Header returns the canonical name of the request header that carries the decision.
func (e *Engine) Header() string { return e.header }

// Unvouched returns the identities, as written, that are read from a request header which any
// client may send, and that nobody vouches for (see Policy.Vouch).
func (e *Engine) Unvouched() []string {
	var open []string
	for _, a := range e.identity {
		if isSent(a) && !a.vouched && e.policy.Vouch == "" {
			open = append(open, a.text)
		}
	}
	return open
}

// RuleNames returns the names of the rules in order.
func (e *Engine) RuleNames() []string {
	names := make([]string, 0, len(e.rules))
	for _, r := range e.rules {
		names = append(names, r.name)
	}
	return names
}

// Start keeps the keys of the policy's `jwt` fresh in the background until ctx is done or Close is
// called.
func (e *Engine) Start(ctx context.Context) {
	if e.verifier != nil {
		e.verifier.Start(ctx)
	}
}

// OnKeys sets a function that is called when fetching the policy's keys begins to fail, with the
// error, and when it succeeds again, with nil. It must not block. Call OnKeys before Start.
func (e *Engine) OnKeys(report func(error)) {
	if e.verifier != nil {
		e.verifier.OnRefresh(report)
	}
}

// Close ends what Start began. The engine still decides afterwards, with the keys that it has.
func (e *Engine) Close() {
	if e.verifier != nil {
		e.verifier.Close()
	}
}
