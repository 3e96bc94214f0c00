package core

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"

	"github.com/grayrelease/gray/core/problem"
)

// RolloutPlan is a Rollout with its lines read and its defaults filled in.
type RolloutPlan struct {
	// Rule is the rule whose percentage rises, Version what it gives, and Stable what everybody
	// else gets.
	Rule, Version, Stable string
	// Percent is the rule's own percentage, where it stands before the rollout begins.
	Percent float64
	// Fingerprint tells plans apart that must not share a state: it is another one if the rule, its
	// version, salt or conditions, or the build change.
	Fingerprint string
	Steps       []RolloutStep
	Guards      []RolloutGuard
	Alpha       float64
	Tolerance   float64
	Warmup      time.Duration
	Undecided   string
	Keep        []string
	Expires     time.Duration // 0 is never
	Freeze      []RolloutFreeze
	Queries     map[string]string // PromQL expressions by name
}

// RolloutStep is one step of a plan.
type RolloutStep struct {
	Percent       float64
	For           time.Duration
	Min           int // callers of the canary; 0 if the line does not say
	UntilApproved bool
}

// RolloutGuard is one guard of a plan.
type RolloutGuard struct {
	// Line is the guard as written, with one space between words.
	Line string
	// Measures is GuardErrors, GuardLatency, GuardQuery or GuardAlert.
	Measures string
	// Quantile of the latency, between 0 and 1.
	Quantile float64
	// Limit is the share of callers that may be bad, between 0 and 1; 0 compares with stable. A
	// query must be below it.
	Limit float64
	// Over is the latency that is too long, of a guard on latency with a limit.
	Over time.Duration
	// Query names the expression, and Looks is how many looks in a row it must be too high for.
	Query string
	Looks int
	// Alert has the labels that an alert must have.
	Alert map[string]string
	// Then is GuardRollback, GuardPause or GuardWatch.
	Then string
}

// Rollout returns the plan of the policy's rollout, nil if it has none. The caller must not change
// it.
func (e *Engine) Rollout() *RolloutPlan { return e.rollout }

// ReadPlan returns the plan of a policy's rollout, nil if it has none. It looks at nothing else of
// the policy, and reads no files: an operator's machine need not have those of the gateway.
//
// The error is a problem.List.
func ReadPlan(p *Policy) (*RolloutPlan, error) {
	c := &checker{policy: p, engine: &Engine{}}
	c.rollout()
	if len(c.problems) > 0 {
		return nil, c.problems
	}
	return c.engine.rollout, nil
}

// isRamp reports whether a rule is the one whose percentage a rollout raises.
func isRamp(p *Policy, r *Rule) bool {
	return p.Rollout != nil && r.Name != "" && r.Name == p.Rollout.Rule
}

// rollout checks the plan, after the rules.
func (c *checker) rollout() {
	r := c.policy.Rollout
	if r == nil {
		return
	}
	plan := &RolloutPlan{Rule: r.Rule, Stable: c.policy.Stable, Alpha: r.Alpha, Tolerance: r.Tolerance, Keep: r.Keep}
	c.ramp(r, plan)
	c.steps(r, plan)
	c.guards(r, plan)
	c.queries(r, plan)
	if plan.Alpha == 0 {
		plan.Alpha = defaultAlpha
	}
	if !(plan.Alpha > 0 && plan.Alpha <= 0.5) {
		c.note("rollout.alpha", "must be above 0 and at most 0.5, is "+strconv.FormatFloat(r.Alpha, 'g', -1, 64))
	}
	if plan.Tolerance == 0 {
		plan.Tolerance = defaultTolerance
		if c.policy.Anonymous == anonymousRandom {
			plan.Tolerance = randomTolerance
		}
	}
	if !(plan.Tolerance >= 1 && plan.Tolerance <= 100) {
		c.note("rollout.tolerance", "must be from 1 to 100, is "+strconv.FormatFloat(r.Tolerance, 'g', -1, 64))
	}
	plan.Warmup = c.span("rollout.warmup", orDefault(r.Warmup, defaultWarmup))
	if r.Expires != "" {
		plan.Expires = c.span("rollout.expires", r.Expires)
		if plan.Expires == 0 {
			c.note("rollout.expires", "must be above zero")
		}
	}
	words := []string{UndecidedHold, UndecidedAdvance, UndecidedRollback}
	plan.Undecided = orDefault(r.Undecided, UndecidedHold)
	if indexOf(words, plan.Undecided) < 0 {
		c.note("rollout.undecided", "unknown word "+problem.Quote(r.Undecided)+" (one of hold, advance, rollback)"+problem.Suggest(r.Undecided, words))
	}
	if !printable(r.Build) || len(r.Build) > 256 {
		c.note("rollout.build", "must be at most 256 bytes of UTF-8 without control characters")
	}
	for i, line := range r.Freeze {
		freeze, err := parseFreeze(line)
		if err != nil {
			c.problems = append(c.problems, err.problem(problem.Index("rollout.freeze", i), line))
			continue
		}
		plan.Freeze = append(plan.Freeze, freeze)
	}
	c.engine.rollout = plan
}

// ramp checks the rule of the plan, and those that it keeps.
func (c *checker) ramp(r *Rollout, plan *RolloutPlan) {
	var named []string
	var ramp *Rule
	for i := range c.policy.Rules {
		rule := &c.policy.Rules[i]
		if rule.Name == "" {
			continue
		}
		named = append(named, rule.Name)
		if rule.Name == r.Rule {
			ramp = rule
		}
	}
	for i, name := range r.Keep {
		path := problem.Index("rollout.keep", i)
		if indexOf(named, name) < 0 {
			c.note(path, "rule "+problem.Quote(name)+" is not the name of a rule"+problem.OneOf(name, named))
		} else if name == r.Rule {
			c.note(path, "rule "+problem.Quote(name)+" is the one that is rolled back")
		}
	}
	if r.Rule == "" {
		c.note("rollout.rule", "required: the name of the rule whose percentage rises")
		return
	}
	if ramp == nil {
		c.note("rollout.rule", "rule "+problem.Quote(r.Rule)+" is not the name of a rule"+problem.OneOf(r.Rule, named))
		return
	}
	if ramp.Version == c.policy.Stable && ramp.Version != "" {
		c.note("rollout.rule", "rule "+problem.Quote(r.Rule)+" gives the stable version: there is nothing to roll out")
	}
	if len(ramp.Split) > 0 {
		c.note("rollout.rule", "rule "+problem.Quote(r.Rule)+" has a split: a rollout raises the percentage of one version")
	}
	plan.Version = ramp.Version
	if ramp.Percent != nil {
		plan.Percent = *ramp.Percent
	}
	plan.Fingerprint = fingerprint(ramp, orDefault(ramp.Salt, c.policy.Service+"/"+ramp.Version), r.Build)
}

// fingerprint is a digest of what a state of a rollout holds for.
func fingerprint(ramp *Rule, salt, build string) string {
	text := ""
	for _, part := range append([]string{ramp.Name, ramp.Version, salt, build}, ramp.When...) {
		text += strconv.Quote(part) + "\n"
	}
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:16])
}

func (c *checker) steps(r *Rollout, plan *RolloutPlan) {
	if len(r.Steps) == 0 {
		c.note("rollout.steps", "required: lines such as `5% for 30m`")
	}
	last := 0.0
	for i, line := range r.Steps {
		path := problem.Index("rollout.steps", i)
		step, err := parseRolloutStep(line)
		if err == nil && step.Percent < last {
			err = &lineError{skipSpace(line, 0), "is less than the step before: percentages rise"}
		}
		if err != nil {
			c.problems = append(c.problems, err.problem(path, line))
			continue
		}
		last = step.Percent
		plan.Steps = append(plan.Steps, step)
	}
	if len(plan.Steps) == len(r.Steps) && len(r.Steps) > 0 && last == 0 {
		c.note("rollout.steps", "no step is above 0 %: there is nothing to roll out")
	}
}

func (c *checker) guards(r *Rollout, plan *RolloutPlan) {
	if r.Guard == nil {
		c.note("rollout.guard", "required: what is measured, such as `errors` and `latency p90` (an empty list is a rollout without guards)")
	}
	if len(r.Guard) == 1 && r.Guard[0] == noGuards {
		return
	}
	if len(r.Guard) > maxGuards {
		c.note("rollout.guard", "has more than "+strconv.Itoa(maxGuards)+" guards")
	}
	seen := map[string]int{}
	for i, line := range r.Guard {
		path := problem.Index("rollout.guard", i)
		guard, err := parseRolloutGuard(line)
		if err != nil {
			c.problems = append(c.problems, err.problem(path, line))
			continue
		}
		measured := guard.measured()
		if first, twice := seen[measured]; twice {
			c.note(path, "measures the same as "+problem.Index("rollout.guard", first))
			continue
		}
		seen[measured] = i
		plan.Guards = append(plan.Guards, guard)
	}
}

// IsMeasured reports whether gateways measure what the guard goes by. They know nothing of queries
// and alerts.
func (g *RolloutGuard) IsMeasured() bool {
	return g.Measures == GuardErrors || g.Measures == GuardLatency
}

// measured is the same text for guards that measure the same.
func (g *RolloutGuard) measured() string {
	text := g.Measures + " " + strconv.FormatFloat(g.Quantile, 'g', -1, 64) + " " + g.Query + " " + g.Over.String()
	if g.Query == "" {
		text += " " + strconv.FormatFloat(g.Limit, 'g', -1, 64)
	}
	for _, label := range sortedTexts(g.Alert) {
		text += " " + label + "=" + strconv.Quote(g.Alert[label])
	}
	return text
}

// span reads a duration that is not below zero.
func (c *checker) span(path, text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		c.note(path, problem.Quote(text)+notDuration)
		return 0
	}
	return d
}

const notDuration = " is not a valid duration (as in 30s, 10m or 24h)"
