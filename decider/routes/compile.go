package routes

import (
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/problem"
)

// Way is how a rule is said.
type Way string

const (
	// ByRoute is a route with the rule's conditions and its version.
	ByRoute Way = "route"
	// ByWeights are routes in which the rule's versions have weights.
	ByWeights Way = "weights"
	// ByServer is the decision server, which the gateway asks by ext_authz.
	ByServer Way = "ext_authz"
	// ByNothing is no way: the rule takes nobody.
	ByNothing Way = "nothing"
)

// RuleWay says of a rule which way it went.
type RuleWay struct {
	Rule     string   `json:"rule"`
	Versions []string `json:"versions"`
	Way      Way      `json:"way"`
	// Why says what keeps the rule from being a route. Empty for a route.
	Why string `json:"why,omitempty"`
	// Lost is what the rule says and its way does not.
	Lost []string `json:"lost,omitempty"`
}

// Route is a match and the versions that get its requests.
type Route struct {
	// Name joins the names of the rules that have a part in it, in order, with ", ". Empty if none
	// has.
	Name   string
	Match  *Match
	Shares []Share
}

// Plan is a policy as routes: the first whose match holds decides. The last one matches everything.
type Plan struct {
	Policy *core.Policy
	// Versions are all of the policy's, sorted.
	Versions []string
	// Header is the request header that names the version.
	Header string
	// Rules are the ways of all rules in order.
	Rules  []RuleWay
	Routes []Route
	// AsksServer reports whether something needs the decision server. Its answers come first then,
	// for all rules; Routes are for requests that it has not answered.
	AsksServer bool
	// Notes are about the policy as a whole.
	Notes []string
}

// Options are what a target of routes can say, and what is wanted of it.
type Options struct {
	// Weights has percentages become weights. Otherwise they need the decision server, which keeps
	// callers where they are.
	Weights bool
	// Refuse returns why the target cannot say a match, "" if it can. nil: it can say every match.
	Refuse func(*Match) string
	// Fits returns why the target cannot have all of the routes, "" if it can. With asksServer,
	// there are routes for the server's answers before them. nil: it can have any.
	Fits func(routes []Route, asksServer bool) string
}

// maxRoutes bounds what rules with percentages, which split all after them in two, may come to.
const maxRoutes = 128

const (
	lostDraw   = "a weight is drawn for each request, not for each caller: one caller's requests meet both versions"
	lostSalt   = "callers in the percentage here are not those in it elsewhere"
	lostAnyone = "callers without an identity are drawn too, where the percentage leaves them to the rules after it"
	lostSize   = "weights are whole numbers: the shares are rounded to a millionth"
)

// piece is a rule that routes are to say.
type piece struct {
	rule     int
	name     string
	match    *Match
	salt     string
	portions []portion // one of share 1 for a rule without percentage
}

type portion struct {
	version string
	share   *big.Rat
}

func (p *piece) isWhole() bool { return p.salt == "" }

// Compile says a policy in routes.
func Compile(e *core.Engine, o Options) (*Plan, error) {
	c := &compiler{options: o, policy: e.Policy(), names: e.RuleNames(), why: map[int]string{}}
	c.plan = &Plan{Policy: c.policy, Header: e.Header()}
	for name := range e.Versions() {
		c.plan.Versions = append(c.plan.Versions, name)
	}
	slices.Sort(c.plan.Versions)
	for i := range c.policy.Rules {
		p, err := c.read(i)
		if err != nil {
			return nil, err
		}
		c.pieces = append(c.pieces, p)
	}
	for !c.try() {
	}
	if c.reason != "" {
		return nil, errors.New(c.reason)
	}
	c.notes(e.Enabled())
	return c.plan, nil
}

type compiler struct {
	options Options
	policy  *core.Policy
	names   []string
	plan    *Plan
	pieces  []*piece       // of all rules; nil for one that needs the server, or takes nobody
	why     map[int]string // by rule: what keeps it from being a route

	routes  []Route
	drawn   []bool       // by route: whether percentages have a part in it
	reached map[int]bool // by rule: whether it has a part in a route
	failed  int          // the rule at which the routes could not go on
	reason  string       // why, "" if they could
	rounded map[int]bool
}

// read prepares a rule.
func (c *compiler) read(i int) (*piece, error) {
	r := &c.policy.Rules[i]
	p := &piece{rule: i, name: c.names[i], match: &Match{}}
	percent := 100.0
	if c.isRamp(i) {
		percent = 0
	}
	if r.Percent != nil {
		percent = *r.Percent
	}
	if len(r.Split) > 0 {
		percent = 0
		for _, share := range r.Split {
			percent += share
		}
	}
	if percent == 0 && !c.isRamp(i) || !isEnabled(c.policy) {
		return nil, nil
	}
	c.shares(p, r, percent)
	conditions := make([]core.ConditionParts, 0, len(r.When))
	for k, line := range r.When {
		parts, err := core.ParseCondition(line)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", problem.Index(problem.Index("rules", i)+".when", k), err)
		}
		conditions = append(conditions, parts)
	}
	for k, line := range r.When {
		match, reason := matchOf(conditions[k], strings.ToLower(c.plan.Header), existing(conditions))
		if reason != "" {
			c.why[i] = "`" + line + "`: " + reason
			return nil, nil
		}
		joined, how := and(p.match, match)
		if how != meets {
			c.why[i] = "`" + line + "` and another condition ask for two things of one part of the request"
			return nil, nil
		}
		p.match = joined
	}
	if c.options.Refuse != nil {
		c.why[i] = c.options.Refuse(p.match)
	}
	if c.why[i] == "" && !p.isWhole() && !c.options.Weights {
		c.why[i] = "a route does not know who the caller is, so it cannot keep a percentage of callers"
	}
	if c.why[i] != "" {
		return nil, nil
	}
	return p, nil
}

// existing are the headers that conditions demand to be there, in small letters.
func existing(conditions []core.ConditionParts) map[string]bool {
	names := map[string]bool{}
	for _, c := range conditions {
		if c.Attribute == "header" && c.Operator == "exists" && !c.Not {
			names[strings.ToLower(c.Key)] = true
		}
	}
	return names
}

// shares sets what a rule takes of the callers.
func (c *compiler) shares(p *piece, r *core.Rule, percent float64) {
	if len(r.Split) == 0 && percent == 100 && !c.isRamp(p.rule) {
		p.portions = []portion{{r.Version, big.NewRat(1, 1)}}
		return
	}
	p.salt = r.Salt
	if p.salt == "" {
		p.salt = c.policy.Service + "/" + r.Versions()[0]
	}
	if len(r.Split) == 0 {
		p.portions = []portion{{r.Version, percentRat(percent)}}
		return
	}
	for _, version := range r.Versions() {
		p.portions = append(p.portions, portion{version, percentRat(r.Split[version])})
	}
}

func (c *compiler) isRamp(i int) bool {
	return c.policy.Rollout != nil && c.policy.Rollout.Rule == c.names[i]
}

func isEnabled(p *core.Policy) bool { return p.Enabled == nil || *p.Enabled }

// try makes routes of the rules before the first that needs the server. It reports whether that
// went well; otherwise one more rule needs the server.
func (c *compiler) try() bool {
	c.plan.AsksServer = c.policy.Tester != nil
	for i := range c.pieces {
		c.plan.AsksServer = c.plan.AsksServer || c.why[i] != ""
	}
	var pieces []*piece
	for i, p := range c.pieces {
		switch {
		case c.why[i] != "" || p != nil && c.plan.AsksServer && !p.isWhole():
			return c.walkAll(pieces)
		case p != nil:
			pieces = append(pieces, p)
		}
	}
	return c.walkAll(pieces)
}

func (c *compiler) walkAll(pieces []*piece) bool {
	c.routes, c.drawn, c.reason = nil, nil, ""
	c.reached, c.rounded = map[int]bool{}, map[int]bool{}
	for i, p := range pieces {
		for _, other := range pieces[:i] {
			if p.salt == other.salt && !p.isWhole() && len(p.portions)+len(other.portions) > 2 {
				c.why[p.rule] = "it has the salt of " + problem.Quote(other.name) +
					", and weights do not know which callers both take"
				return false
			}
		}
	}
	c.walk(pieces, &Match{}, newDraw(), nil)
	if c.reason == "" && c.options.Fits != nil {
		c.reason = c.options.Fits(c.routes, c.plan.AsksServer)
		if c.reason != "" && len(pieces) == 0 {
			return true // not even without any rule
		}
		if c.reason != "" {
			c.failed = pieces[len(pieces)-1].rule
		}
	}
	if c.reason != "" {
		c.why[c.failed] = c.reason
		return false
	}
	c.plan.Routes = c.routes
	c.ways(pieces)
	return true
}

// walk makes the routes of the rules that are left, for requests of a match. A rule with a
// percentage is followed by all after it twice: within its conditions, where part of the requests
// is gone, and outside.
func (c *compiler) walk(pieces []*piece, within *Match, d *draw, taking []*piece) {
	if c.reason != "" {
		return
	}
	if len(pieces) == 0 {
		c.emit(within, d, c.policy.Stable, taking)
		return
	}
	p := pieces[0]
	match, how := and(within, p.match)
	if how == unsaid {
		c.fail(p, "together with a rule before it, it asks for two things of one part of the request")
		return
	}
	isSure := how == meets && within.implies(p.match)
	if how == meets {
		with := append(slices.Clone(taking), p)
		after := d.copy()
		if p.isWhole() {
			c.emit(match, after, p.portions[0].version, with)
		} else {
			after.take(p)
			c.walk(pieces[1:], match, after, with)
		}
	}
	if !isSure {
		c.walk(pieces[1:], within, d, taking)
	}
}

func (c *compiler) fail(p *piece, reason string) {
	if c.reason == "" {
		c.failed, c.reason = p.rule, reason
	}
}

// emit adds a route, unless a percentage made one before it that has all of its requests.
func (c *compiler) emit(match *Match, d *draw, rest string, taking []*piece) {
	isDrawn := len(d.taken) > 0
	for i := range c.routes {
		if c.drawn[i] && match.implies(c.routes[i].Match) {
			return
		}
	}
	for _, text := range match.atoms() {
		if text.Kind == Regex && len(text.Value) > maxExpression && len(taking) > 0 {
			c.fail(taking[len(taking)-1], "the regular expression would be longer than 1,024 bytes")
			return
		}
	}
	if c.options.Refuse != nil && len(taking) > 0 {
		if reason := c.options.Refuse(match); reason != "" {
			c.fail(taking[len(taking)-1], reason)
			return
		}
	}
	if isDrawn && len(c.routes) >= maxRoutes {
		c.fail(taking[len(taking)-1], "with the percentages before it, it would be more than "+
			strconv.Itoa(maxRoutes)+" routes")
		return
	}
	var names, order []string
	for _, p := range taking {
		names = append(names, p.name)
		for _, portion := range p.portions {
			if portion.version != rest && !slices.Contains(order, portion.version) {
				order = append(order, portion.version)
			}
		}
	}
	shares, isRounded := d.finish(rest, order)
	for _, p := range taking {
		c.rounded[p.rule] = c.rounded[p.rule] || isRounded && !p.isWhole()
	}
	for _, p := range taking {
		c.reached[p.rule] = true
	}
	c.drawn = append(c.drawn, isDrawn)
	c.routes = append(c.routes, Route{Name: strings.Join(names, ", "), Match: match, Shares: shares})
}

// ways says of each rule which way it went.
func (c *compiler) ways(pieces []*piece) {
	c.plan.Rules = nil
	before := -1 // the first rule that needs the server
	for i := range c.policy.Rules {
		r := &c.policy.Rules[i]
		way := RuleWay{Rule: c.names[i], Versions: r.Versions(), Way: ByServer}
		p := c.pieces[i]
		switch {
		case p == nil && c.why[i] == "":
			way.Way, way.Why = ByNothing, "it takes nobody"
			if !isEnabled(c.policy) {
				way.Why = "the policy is not enabled"
			}
		case c.why[i] != "":
			way.Why = c.why[i]
		case !slices.Contains(pieces, p) && !p.isWhole():
			way.Why = "the server is asked in any case, and keeps callers where they are"
		case !slices.Contains(pieces, p):
			way.Why = "rule " + problem.Quote(c.names[before]) + " before it is decided there"
		case !c.reached[i]:
			way.Way, way.Why = ByNothing, "it is never reached: rules before it take all of its requests"
		case p.isWhole():
			way.Way = ByRoute
		default:
			way.Way, way.Why = ByWeights, ""
			way.Lost = []string{lostDraw, lostSalt}
			if c.passesAnonymous() {
				way.Lost = append(way.Lost, lostAnyone)
			}
			if c.rounded[i] {
				way.Lost = append(way.Lost, lostSize)
			}
		}
		if way.Way == ByServer && before < 0 {
			before = i
		}
		c.plan.Rules = append(c.plan.Rules, way)
	}
}

// passesAnonymous reports whether a percentage leaves out callers who have no identity.
func (c *compiler) passesAnonymous() bool {
	return len(c.policy.Identity) > 0 && !slices.Contains(c.policy.Identity, "ip") &&
		(c.policy.Anonymous == "" || c.policy.Anonymous == "stable")
}

// notes says what of the policy as a whole routes do not do.
func (c *compiler) notes(isEnabled bool) {
	note := func(text string) { c.plan.Notes = append(c.plan.Notes, text) }
	if !isEnabled {
		note("the policy is not enabled: every request goes to " + c.policy.Stable)
	}
	if c.plan.AsksServer {
		note("while the decision server does not answer, rules by route still hold, all else goes to " +
			c.policy.Stable + ", and a client's own " + c.plan.Header + " counts")
		if c.policy.Tester != nil {
			note("testers' links are the decision server's")
		}
		return
	}
	note("routes stay as they are: they follow no source and no kill switch, so export again after a change")
	note("services behind get " + c.plan.Header + ", and no member of baggage")
	if c.policy.Rollout != nil {
		note("the percentage of rule " + problem.Quote(c.policy.Rollout.Rule) +
			" is that before the rollout: `gray serve` moves the weights")
	}
}
