package core

// Overlay is what ranks above a policy's rules: a kill switch, the percentages of a rollout, a
// version that was taken back. Engine.With puts it on an engine. The zero value changes nothing.
//
// What does not fit the policy has no effect: a rule or a version that the policy does not have, a
// percentage that is not from 0 to 100, and the stable version among Withdrawn.
type Overlay struct {
	// Force is the version that every request gets, whatever the rules say. Default: "", the rules
	// decide.
	Force string
	// Percent has percentages of rules by their names, from 0 to 100, in place of the policy's. A
	// rule that has no percentage in the policy may get one; one that has a split may not. Default:
	// the policy's percentages.
	Percent map[string]float64
	// Withdrawn are versions that no rule gives any more: a rule that names one does not match, and
	// the rules after it are tried. Default: none.
	Withdrawn []string
	// Keep names rules that Withdrawn leaves as they are. Default: none.
	Keep []string
	// Reason says in one line, for people, where the overlay comes from, such as `the switch sends
	// everybody to "v1"`. Default: none is given.
	Reason string
}

// With returns the engine with an overlay put on it. It shares everything else with the receiver,
// which is the one to Start and to Close.
//
// The overlay has two parts: Force, and the changes of rules, which are Percent, Withdrawn and
// Keep. A part that is given replaces the one that is on the engine already, and outranks what the
// policy says; one that is left out (Force "", or Percent and Withdrawn both nil) leaves what is
// there, so a kill switch outranks a policy that is not enabled, and the engine without an overlay
// is the one to start from in order to remove a part.
func (e *Engine) With(o Overlay) *Engine {
	f := &Engine{}
	*f = *e
	if _, known := e.policy.Versions[o.Force]; known {
		f.force, f.forceReason = o.Force, o.Reason
	}
	if o.Percent != nil || o.Withdrawn != nil {
		f.percent = percentsOf(e, o.Percent)
		f.withdrawn = withdrawnOf(e, o.Withdrawn)
		f.keep = o.Keep
		f.changeReason = o.Reason
		f.rules = changedRules(f)
	}
	f.tester = allowedTester(f)
	f.start = compile(f)
	return f
}

// Overlay returns what is put on the engine, without the parts that have no effect. Reason is that
// of Force if there is one.
func (e *Engine) Overlay() Overlay {
	o := Overlay{Force: e.force, Percent: e.percent, Withdrawn: e.withdrawn, Keep: e.keep, Reason: e.changeReason}
	if e.force != "" {
		o.Reason = e.forceReason
	}
	return o
}

// ownOverlay returns what a policy puts on its own engine.
func ownOverlay(p *Policy) Overlay {
	if isEnabled(p) {
		return Overlay{}
	}
	return Overlay{Force: p.Stable, Reason: "the policy is not enabled: every request gets the stable version"}
}

func isEnabled(p *Policy) bool { return p.Enabled == nil || *p.Enabled }

// percentsOf returns the percentages that apply to rules of the engine.
func percentsOf(e *Engine, given map[string]float64) map[string]float64 {
	fit := map[string]float64{}
	for _, r := range e.written {
		if percent, ok := given[r.name]; ok && isPercent(percent) && r.split == nil {
			fit[r.name] = percent
		}
	}
	return fit
}

// withdrawnOf returns the versions that the engine can do without.
func withdrawnOf(e *Engine, given []string) []string {
	var fit []string
	for _, version := range given {
		if _, known := e.policy.Versions[version]; known && version != e.stable.Version {
			fit = append(fit, version)
		}
	}
	return fit
}

// changedRules returns the policy's rules as the engine's overlay changes them.
func changedRules(e *Engine) []*rule {
	rules := make([]*rule, 0, len(e.written))
	for _, r := range e.written {
		percent, changed := e.percent[r.name]
		isKept := indexOf(e.keep, r.name) >= 0
		withdrawn := indexOf(e.withdrawn, r.decision.Version) >= 0 && !isKept
		if r.split != nil && len(e.withdrawn) > 0 && !isKept {
			r = changedRule(r)
			r.split = withoutVersions(r.split, e.withdrawn)
		}
		if changed || withdrawn {
			r = changedRule(r)
			r.withdrawn = withdrawn
		}
		if changed {
			setPercent(r, percent)
		}
		rules = append(rules, r)
	}
	return rules
}

func changedRule(r *rule) *rule {
	c := &rule{}
	*c = *r
	return c
}
