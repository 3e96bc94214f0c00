package caddygray

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/proxy"
)

// exchanges are the requests that one version of a service is serving, over changes of the policy
// and reloads: a websocket may outlive many of them.
type exchanges struct {
	count     atomic.Int64 // of all
	fallbacks *proxy.Seldom

	mu     sync.Mutex
	isLeft bool                     // the version was switched away from
	may    map[*decided]*time.Timer // those that may be ended; the timer, once it runs
}

// begin notes that the version serves an exchange.
func (e *exchanges) begin(d *decided) {
	e.count.Add(1)
	if d.abort == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.may == nil {
		e.may = map[*decided]*time.Timer{}
	}
	e.may[d] = nil
	if e.isLeft {
		e.endLater(d)
	}
}

// end notes that the exchange is over, or goes on with another version.
func (e *exchanges) end(d *decided) {
	e.count.Add(-1)
	if d.abort == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if timer := e.may[d]; timer != nil {
		timer.Stop()
	}
	delete(e.may, d)
}

// endLater ends an exchange after the grace period. Call it with the lock held.
func (e *exchanges) endLater(d *decided) {
	e.may[d] = time.AfterFunc(time.Duration(d.active.handler.DrainTimeout), func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.may[d] != nil { // else it is over, or the version is back
			d.abort()
		}
	})
}

// leave starts the grace period of a version that was switched away from. It returns how many
// exchanges may be ended by it.
func (e *exchanges) leave() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.isLeft {
		return 0
	}
	e.isLeft = true
	for d := range e.may {
		e.endLater(d)
	}
	return len(e.may)
}

// comeBack ends the grace period: the version gets requests again.
func (e *exchanges) comeBack() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.isLeft {
		return
	}
	e.isLeft = false
	for d, timer := range e.may {
		timer.Stop()
		e.may[d] = nil
	}
}

// leaving keeps policies from judging versions by what is in force no more.
var leaving sync.Mutex

// leaveVersions looks which versions of a service the policies in force have switched away from.
// Stable never counts, since it serves as the fallback. A service that is not in any policy, as
// when Caddy stops, is left alone.
func (h *Handler) leaveVersions(service string) {
	leaving.Lock()
	defer leaving.Unlock()
	served := policies.served(service)
	if served == nil {
		return
	}
	for version, open := range series.exchangesOf(service) {
		if served[version] {
			open.comeBack()
		} else if n := open.leave(); n > 0 {
			h.logger.Info("version was switched away from: exchanges that are still open after the grace period end",
				zap.String("service", service), zap.String("version", version), zap.Int("open", n))
		}
	}
}

// served returns the versions of a service that the policies in force give, nil if there are none.
func (c *policyCollector) served(service string) map[string]bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	var versions map[string]bool
	for _, r := range c.actives {
		if r.service != service {
			continue
		}
		if versions == nil {
			versions = map[string]bool{}
		}
		versions[r.stable.name] = true
		for version := range core.Reachable(r.engine) {
			versions[version] = true
		}
	}
	return versions
}

// endable gives the request a context by which it can be ended, if the handler may end exchanges.
// The function that it returns is to be called when the request has been served. The request stays
// the same one, which placeholders and handlers around this one have too.
func (d *decided) endable(r *http.Request) (served func()) {
	if d.active.handler.DrainTimeout == 0 {
		return func() {}
	}
	outer := r.Context()
	ctx, cancel := context.WithCancel(outer)
	d.abort = cancel
	*r = *r.WithContext(ctx)
	return func() {
		cancel()
		*r = *r.WithContext(outer) // of handlers that serve an error, for example
	}
}
