package core

import (
	"sort"

	"github.com/grayrelease/gray/core/problem"
)

// list is a named list, prepared once for all conditions that share it.
type list struct {
	values []string
	set    map[string]bool
	nets   *networks // the values as addresses; nil until a condition on ip needs them
}

func newLists(named map[string][]string) map[string]*list {
	lists := make(map[string]*list, len(named))
	for name, values := range named {
		lists[name] = &list{values: values, set: valueSet(values)}
	}
	return lists
}

// valueSet prepares values for = and in.
func valueSet(values []string) map[string]bool {
	set := make(map[string]bool, len(values))
	for _, v := range values {
		if possible(v) {
			set[v] = true
		}
	}
	return set
}

// hostSet prepares host names for = and in.
func hostSet(kind attributeKind, values []string) map[string]bool {
	set := make(map[string]bool, len(values))
	for _, v := range values {
		if possible(v) {
			set[asHost(kind, "=", v)] = true
		}
	}
	return set
}

// addresses returns the list's values as addresses and prefixes, or what is wrong with them.
func (l *list) addresses() (*networks, string) {
	if l.nets == nil {
		nets, element := listNetworks(l.values)
		if nets == nil {
			return nil, "holds " + problem.Quote(element) + ", which " + notAddress
		}
		l.nets = nets
	}
	return l.nets, ""
}

func sortedLists(lists map[string]*list) []string {
	names := make([]string, 0, len(lists))
	for name := range lists {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}
