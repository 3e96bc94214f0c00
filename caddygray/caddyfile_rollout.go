package caddygray

import (
	"strconv"
	"strings"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/problem"
)

// rollout reads the plan of a rollout.
func (p *parser) rollout() error {
	r := &core.Rollout{}
	p.handler.Rollout = r
	p.mark("rollout")
	if !p.d.AllArgs(&r.Rule) {
		return p.d.ArgErr()
	}
	p.mark("rollout.rule")
	return p.block(words{
		"step":      p.planLine("rollout.steps", &r.Steps),
		"guard":     p.planLine("rollout.guard", &r.Guard),
		"alpha":     p.number("rollout.alpha", &r.Alpha),
		"tolerance": p.number("rollout.tolerance", &r.Tolerance),
		"warmup":    p.text("rollout.warmup", &r.Warmup),
		"undecided": p.text("rollout.undecided", &r.Undecided),
		"keep":      p.keep,
		"build":     p.text("rollout.build", &r.Build),
		"expires":   p.text("rollout.expires", &r.Expires),
		"freeze":    p.planLine("rollout.freeze", &r.Freeze),
		"query":     p.query,
	}, "step", "guard", "keep", "freeze", "query")
}

// query reads the expression of a guard.
func (p *parser) query() error {
	var name, expression string
	if !p.d.AllArgs(&name, &expression) {
		return p.d.ArgErr()
	}
	r := p.handler.Rollout
	if _, twice := r.Queries[name]; twice {
		return p.d.Errf("query %q is given twice", name)
	}
	if r.Queries == nil {
		r.Queries = map[string]string{}
	}
	r.Queries[name] = expression
	p.mark(problem.Field("rollout.queries", name))
	return nil
}

// planLine makes the reader of a line that the plan has a list of.
func (p *parser) planLine(path string, into *[]string) func() error {
	return func() error {
		words := p.d.RemainingArgs()
		if len(words) == 0 {
			return p.d.ArgErr()
		}
		p.mark(problem.Index(path, len(*into)))
		*into = append(*into, strings.Join(words, " "))
		return nil
	}
}

func (p *parser) keep() error {
	rules := p.d.RemainingArgs()
	if len(rules) == 0 {
		return p.d.ArgErr()
	}
	r := p.handler.Rollout
	for _, name := range rules {
		p.mark(problem.Index("rollout.keep", len(r.Keep)))
		r.Keep = append(r.Keep, name)
	}
	return nil
}

// number makes the reader of a subdirective whose argument is a number.
func (p *parser) number(path string, into *float64) func() error {
	return func() error {
		var text string
		if !p.d.AllArgs(&text) {
			return p.d.ArgErr()
		}
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return p.d.Errf("%s: %q is not a valid number", path, text)
		}
		*into = n
		p.mark(path)
		return nil
	}
}

// loop reads how this gateway takes part in moving the rollout.
func (p *parser) loop() error {
	l := &Loop{}
	p.handler.Loop = l
	if p.d.NextArg() {
		if p.d.Val() != "off" {
			return p.d.Errf("loop takes the word off, or a block, not %q", p.d.Val())
		}
		l.Off = true
	}
	if p.d.NextArg() {
		return p.d.ArgErr()
	}
	return p.block(words{
		"gateways": p.count(&l.Gateways),
	})
}
