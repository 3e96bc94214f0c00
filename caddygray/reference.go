package caddygray

import (
	"maps"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/problem"
)

// reference is what a module names of policies that are elsewhere in the configuration.
type reference struct {
	of       string // the module, as users write it
	service  string // "" is any
	versions []string
	rules    []string
	logger   *zap.Logger
}

// refer has a module's names looked for in the policies, once those are known.
func (c *configuration) refer(r reference) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.references = append(c.references, r)
}

// checkReferences warns of names that no policy has, each once. Before the configuration has
// started, and while a policy is not known, there may be one yet.
func (c *configuration) checkReferences() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.isStarted {
		return
	}
	var actives []*active
	for _, h := range c.handlers {
		r := h.current.Load()
		if r == nil || r.now.Origin == "none" {
			return
		}
		actives = append(actives, r)
	}
	for _, r := range c.references {
		for _, text := range r.unknown(actives) {
			c.warnOnce(r.logger, r.of+": "+text)
		}
	}
	c.checkServices(actives)
}

// warnOnce is called with the lock held.
func (c *configuration) warnOnce(logger *zap.Logger, text string) {
	if !c.said[text] {
		c.said[text] = true
		logger.Warn(text)
	}
}

// checkServices warns of policies that are not the same and are about one service. It is called
// with the lock held.
func (c *configuration) checkServices(actives []*active) {
	first := map[string]string{}
	for _, r := range actives {
		from := "the configuration, " + r.now.Revision // a digest
		if r.handler.Source != nil {
			from = r.handler.Source.URL
		}
		if before, isKnown := first[r.service]; isKnown && before != from {
			c.warnOnce(r.handler.logger, "two policies of the configuration are about the service "+problem.Quote(r.service)+
				": their callers fall into the same percentages, and their counters, switch and state are one: "+
				"give each its own service, or import one policy into both sites")
		}
		first[r.service] = from
	}
}

// unknown returns a warning for each name that none of the policies has.
func (r *reference) unknown(actives []*active) []string {
	services, versions, rules := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, a := range actives {
		services[a.service] = true
		if r.service != "" && r.service != a.service {
			continue
		}
		for name := range a.versions {
			versions[name] = true
		}
		for name := range a.outcomes {
			if name != "" && name != core.TesterRule {
				rules[name] = true
			}
		}
	}
	if r.service != "" && !services[r.service] {
		text := "no policy is about the service " + problem.Quote(r.service) + oneOfNames(r.service, services)
		if isVersionOf(r.service, actives) {
			text += ": it is a version, which is found by itself"
		}
		return []string{text}
	}
	var texts []string
	for _, name := range r.versions {
		switch {
		case versions[name]:
		case services[name]:
			texts = append(texts, problem.Quote(name)+" is a service, not a version: name it in the matcher's block, "+
				"by `service "+name+"`")
		default:
			texts = append(texts, "no policy has the version "+problem.Quote(name)+oneOfNames(name, versions))
		}
	}
	for _, name := range r.rules {
		if !rules[name] && name != core.TesterRule {
			texts = append(texts, "no policy has the rule "+problem.Quote(name)+oneOfNames(name, rules))
		}
	}
	return texts
}

func isVersionOf(name string, actives []*active) bool {
	return slices.ContainsFunc(actives, func(a *active) bool { return a.versions[name] != nil })
}

// oneOfNames says which name was meant, or which there are.
func oneOfNames(name string, known map[string]bool) string {
	if len(known) == 0 {
		return " (there is none)"
	}
	return problem.OneOf(name, slices.Sorted(maps.Keys(known)))
}

// services names the services that a request was decided for.
func (s *request) services() string {
	var names []string
	for d := s.decided; d != nil; d = d.before {
		names = append(names, problem.Quote(d.active.service))
	}
	return strings.Join(names, ", ")
}
