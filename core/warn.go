package core

import "github.com/grayrelease/gray/core/problem"

// Warnings returns what is valid in the policy and was probably meant otherwise, in the order of
// the rules: rules that no caller can reach, rules that take everyone without saying so, operands
// that read like another notation. None of it keeps the policy from working.
func (e *Engine) Warnings() problem.List { return e.warnings }

func (c *checker) warn(path, message string) {
	c.engine.warnings = append(c.engine.warnings, problem.Problem{Path: path, Message: message})
}

// warnOf notes the doubts about a condition.
func (c *checker) warnOf(cond *condition, path string) {
	for _, doubt := range cond.doubts {
		c.engine.warnings = append(c.engine.warnings, doubt.problem(path, cond.text))
	}
}

// takesEveryone reports whether a rule has neither conditions nor a percentage. The rule of a
// rollout needs none.
func takesEveryone(p *Policy, r *Rule) bool {
	return len(r.When) == 0 && r.Percent == nil && len(r.Split) == 0 && !isRamp(p, r)
}

// doubtRules looks at the rules as a whole, after each has been read.
func (c *checker) doubtRules() {
	for i, r := range c.engine.written {
		path := problem.Index("rules", i)
		name := "rule " + problem.Quote(r.name)
		if takesEveryone(c.policy, &c.policy.Rules[i]) {
			c.warn(path, name+" has neither conditions nor a percentage and takes everyone: write \"percent\": 100 "+
				"(in a Caddyfile, everyone) if that is meant")
		}
		if a, b := conflict(r); a != nil {
			c.warn(path, name+" takes nobody, since no request satisfies both `"+a.text+"` and `"+b.text+
				"`: write several values as one condition with in, or as rules of their own")
			continue
		}
		if before := c.shadow(i); before >= 0 {
			other := c.engine.written[before]
			c.warn(path, name+" is never reached, since "+problem.Index("rules", before)+" ("+problem.Quote(other.name)+
				") takes all of its callers: put it before that rule, or remove it")
		}
	}
}
