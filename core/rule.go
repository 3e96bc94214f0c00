package core

import (
	"strconv"

	"github.com/grayrelease/gray/core/problem"
)

// rule is a Rule with its lines read.
type rule struct {
	name       string
	conditions []*condition
	percent    float64
	salt       string
	bucket     *bucket // nil at 0 and 100 percent, where nobody's bucket matters
	split      *split  // in place of bucket and of decision's version; percent is the total
	decision   *Decision
	withdrawn  bool // the version is, so that the rule does not match
	isRamp     bool // a rollout raises its percentage
}

// setPercent sets which share of callers a rule takes.
func setPercent(r *rule, percent float64) {
	r.percent = percent
	r.bucket = nil
	if percent > 0 && percent < 100 {
		r.bucket = newBucket(r.salt, percent)
		r.bucket.isRamp = r.isRamp
	}
}

func isPercent(p float64) bool { return p >= 0 && p <= 100 } // NaN is not

// rules checks the policy's rules.
func (c *checker) rules() {
	lists := newLists(c.policy.Lists)
	names := map[string]int{}
	for i := range c.policy.Rules {
		r := &c.policy.Rules[i]
		path := problem.Index("rules", i)
		name := orDefault(r.Name, "rule-"+strconv.Itoa(i+1))
		if first, taken := names[name]; taken {
			c.note(path+".name", problem.Quote(name)+" is the name of "+problem.Index("rules", first)+" too")
		} else {
			names[name] = i
		}
		if !printable(name) || len(name) > 128 {
			c.note(path+".name", "must be at most 128 bytes of UTF-8 without control characters")
		}
		if len(r.Split) == 0 {
			c.version(path+".version", r.Version)
		}
		c.engine.written = append(c.engine.written, c.rule(r, path, name, lists))
	}
	c.engine.rules = c.engine.written
}

func (c *checker) rule(r *Rule, path, name string, lists map[string]*list) *rule {
	built := &rule{name: name, percent: 100, decision: newDecision(r.Version, name, c.policy.Stable)}
	built.salt = orDefault(r.Salt, c.policy.Service+"/"+r.Versions()[0])
	built.isRamp = isRamp(c.policy, r)
	for i, line := range r.When {
		at := problem.Index(path+".when", i)
		cond, err := parseCondition(line, lists)
		if err != nil {
			c.problems = append(c.problems, err.problem(at, line))
			continue
		}
		c.attribute(&cond.attribute, at)
		c.warnOf(cond, at)
		built.conditions = append(built.conditions, cond)
	}
	if len(r.Split) > 0 {
		if c.split(r, path) {
			built.split = newSplit(built.salt, r.Split, name, c.policy.Stable)
			built.percent = built.split.total
		}
		return built
	}
	if r.Percent == nil {
		if built.isRamp {
			setPercent(built, 0)
		}
		return built
	}
	if !isPercent(*r.Percent) {
		c.note(path+".percent", "must be from 0 to 100, is "+strconv.FormatFloat(*r.Percent, 'g', -1, 64))
		return built
	}
	setPercent(built, *r.Percent)
	return built
}
