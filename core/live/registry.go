package live

import (
	"sort"
	"sync"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/source"
)

// maxIdle is how many watches are remembered without users. A host that reloads may let go of all
// users before it has the new ones; what was in force must not be lost in between.
const maxIdle = 32

// Package variables of a Traefik plugin outlive its instances, as those of any program do.
var (
	registryLock sync.Mutex
	watches      = map[string]*watch{} // by identity
	idle         []*watch              // those without users, the oldest first
)

// acquire makes u a user of a source or of a policy in place: of the watch that there is, or of the
// one that is given.
func acquire(made *watch, src *source.Source, p *core.Policy, u *user) (*watch, error) {
	registryLock.Lock()
	defer registryLock.Unlock()
	w := watches[made.key]
	if w == nil {
		w = made
		w.source = src
		watches[w.key] = w
	}
	idle = without(idle, w)
	if err := w.join(u, p); err != nil {
		if w.leave(u) {
			retire(w)
		}
		return nil, err
	}
	return w, nil
}

func release(w *watch, u *user) {
	registryLock.Lock()
	defer registryLock.Unlock()
	if w.leave(u) {
		retire(w)
	}
}

// retire puts a watch without users among the idle ones if there is anything to remember of it.
func retire(w *watch) {
	if w.memory.data == nil && w.ledger.newest.Epoch == 0 && w.rollouts.newest == nil && len(w.lists) == 0 {
		delete(watches, w.key)
		return
	}
	idle = append(idle, w)
	if len(idle) > maxIdle {
		delete(watches, idle[0].key)
		idle = without(idle, idle[0])
	}
}

func without(list []*watch, w *watch) []*watch {
	var rest []*watch
	for _, other := range list {
		if other != w {
			rest = append(rest, other)
		}
	}
	return rest
}

// States returns the states of all policies in use, sorted by service and source: for each source
// that of its newest handle.
func States() []State {
	registryLock.Lock()
	var all []*watch
	for _, w := range watches {
		all = append(all, w)
	}
	registryLock.Unlock()
	var states []State
	for _, w := range all {
		if state, used := w.describe(); used {
			states = append(states, state)
		}
	}
	sort.Slice(states, func(i, j int) bool {
		if states[i].Service != states[j].Service {
			return states[i].Service < states[j].Service
		}
		return states[i].Source < states[j].Source
	})
	return states
}
