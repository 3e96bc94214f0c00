package live

import (
	"sort"
	"sync"

	"github.com/grayrelease/gray/core/source"
)

// maxIdle is how many services are remembered without users. A host that reloads may let go of all users before it has the new ones; what was
// in force must not be lost in between.
const maxIdle = 32

// Package variables of a Traefik plugin outlive its instances, as those of any program do.
var (
	registryLock sync.Mutex
	services     = map[string]*service{} // by identity
	idle         []*service              // those without users, the oldest first
)

// acquire makes m a user of a source. The error is about a document that is fixed.
func acquire(src *source.Source, m *member) (*service, error) {
	key := src.Identity + " " + m.config.CacheDir + " " + m.config.Variant
	registryLock.Lock()
	defer registryLock.Unlock()
	s := services[key]
	if s == nil {
		s = newService(src, key)
		services[key] = s
	}
	idle = without(idle, s)
	if err := s.join(m); err != nil {
		s.leave(m)
		delete(services, key)
		return nil, err
	}
	return s, nil
}

func release(s *service, m *member) {
	registryLock.Lock()
	defer registryLock.Unlock()
	if !s.leave(m) {
		return
	}
	idle = append(idle, s)
	if len(idle) > maxIdle {
		delete(services, idle[0].key)
		idle = without(idle, idle[0])
	}
}

func without(list []*service, s *service) []*service {
	var rest []*service
	for _, other := range list {
		if other != s {
			rest = append(rest, other)
		}
	}
	return rest
}

// States returns the states of all policies in use, sorted by service and source.
func States() []State {
	registryLock.Lock()
	var all []*service
	for _, s := range services {
		all = append(all, s)
	}
	registryLock.Unlock()
	var states []State
	for _, s := range all {
		if state := s.state(); state.Users > 0 {
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
