package core

import "sort"

// Attribute is a property of requests that a policy reads.
type Attribute struct {
	// Text is the attribute as the policy has it, such as `header X-App-Version`.
	Text string

	attribute *attribute
}

// Attributes returns what the conditions and identities of a policy read, each once, sorted by
// Text.
func Attributes(e *Engine) []Attribute {
	seen := map[string]bool{}
	var all []Attribute
	note := func(a *attribute) {
		if !seen[a.text] {
			seen[a.text] = true
			all = append(all, Attribute{Text: a.text, attribute: a})
		}
	}
	for _, a := range e.identity {
		note(a)
	}
	for _, r := range e.written {
		for _, c := range r.conditions {
			note(&c.attribute)
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Text < all[j].Text })
	return all
}

// HasAttribute reports whether a request has a value of an attribute of the engine's policy.
func HasAttribute(e *Engine, c *Caller, a Attribute) bool {
	var at cursor
	_, has := nextValue(e, c, a.attribute, &at)
	return has
}
