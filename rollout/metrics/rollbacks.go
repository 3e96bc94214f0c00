package metrics

import (
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// maxGuards is how many guards of a service have series of their own: plans come and go.
const maxGuards = 32

// Rollbacks counts rollouts that were rolled back. It is safe for concurrent use.
type Rollbacks struct {
	*prometheus.CounterVec

	mu     sync.Mutex
	guards map[string]map[string]bool // by service
}

// NewRollbacks returns the counter, whose name begins with a prefix such as `gray_rollout_`.
func NewRollbacks(prefix string) *Rollbacks {
	return &Rollbacks{
		CounterVec: prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + "rollbacks_total",
			Help: "Rollouts that were rolled back, by the guard that did (empty: a person did, or the time was over).",
		}, []string{"service", "guard"}),
		guards: map[string]map[string]bool{},
	}
}

// Count counts a rollback by a guard, "" if none did. Guards beyond the first 32 of a service are
// counted as "other".
func (r *Rollbacks) Count(service, guard string) {
	service, guard = strings.ToValidUTF8(service, "?"), strings.ToValidUTF8(guard, "?")
	r.mu.Lock()
	known := r.guards[service]
	if known == nil {
		known = map[string]bool{}
		r.guards[service] = known
	}
	if len(known) < maxGuards {
		known[guard] = true
	} else if !known[guard] {
		guard = "other"
	}
	r.mu.Unlock()
	r.WithLabelValues(service, guard).Inc()
}
