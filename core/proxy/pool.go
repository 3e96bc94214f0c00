package proxy

import (
	"errors"
	"net/http"
	"net/http/httputil"
	"sync"
	"sync/atomic"
	"time"

	"github.com/grayrelease/gray/core/problem"
)

// ErrNoUpstream is passed to a Fallback when the pool is empty or all of its upstreams are left
// out.
var ErrNoUpstream = errors.New("no usable upstream")

// flushInterval bounds how long a part of a response waits for more. Responses of unknown length,
// such as events and other streams, never wait: the reverse proxy of net/http sends each part at
// once.
const flushInterval = 100 * time.Millisecond

// Options configures a pool. The zero value is ready to use.
type Options struct {
	// KeepForwarded passes on the X-Forwarded-* and Forwarded headers, with the peer appended to
	// X-Forwarded-For. Set it only if the gateway has already removed those of untrusted clients.
	// Default: they are replaced.
	KeepForwarded bool
	// Cooldown is how long an upstream that failed is left out. After that, one request at a time
	// tries it. Default: the constant Cooldown.
	Cooldown time.Duration
	// Failed is called for each request that is answered with 502 or 504 because its upstream gave
	// no response. It must not block. Optional.
	Failed func(upstream string, err error)
}

// Pool is the set of upstreams over which requests are balanced. Make one with NewPool and use it
// with Forward.
type Pool struct {
	options   Options
	http, h2c *http.Transport

	mu       sync.Mutex // held by Set and Close
	closed   bool
	current  atomic.Value // []*upstream, never changed in place
	members  atomic.Value // []*member, the same upstreams, each once
	sequence uint32       // counts requests
}

// upstream is one server of a pool, with its health.
type upstream struct {
	text     string
	address  string // host:port
	proxy    *httputil.ReverseProxy
	secure   bool // TLS
	cooldown time.Duration
	health   *Health
	failed   func(upstream string, err error)
}

// NewPool returns an empty pool. Close it when it is no longer used.
func NewPool(options Options) *Pool {
	if options.Cooldown <= 0 {
		options.Cooldown = Cooldown
	}
	p := &Pool{options: options}
	p.http, p.h2c = acquireTransports()
	p.current.Store([]*upstream{})
	p.members.Store([]*member{})
	return p
}

// Close releases the shared connections. Requests in flight finish, and later ones still work.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.closed = true
		releaseTransports()
	}
}

// Set replaces the pool's upstreams, which are written as for ParseUpstream. It may be called at
// any time. An upstream that stays keeps its health. The error is a problem.List whose paths are
// entries, such as "[0]"; nothing has changed then.
func (p *Pool) Set(upstreams []string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := map[string]*upstream{}
	for _, u := range p.current.Load().([]*upstream) {
		known[u.text] = u
	}
	next := make([]*upstream, 0, len(upstreams))
	var problems problem.List
	for i, text := range upstreams {
		u := known[text]
		if u == nil {
			made, err := newUpstream(p, text)
			if err != nil {
				problems = append(problems, problem.Of(err).Under(problem.Index("", i))...)
				continue
			}
			u = made
			known[text] = u
		}
		next = append(next, u)
	}
	if len(problems) > 0 {
		return problems
	}
	p.current.Store(next)
	p.members.Store(membersOf(next))
	return nil
}

func newUpstream(p *Pool, text string) (*upstream, error) {
	scheme, address, err := ParseUpstream(text)
	if err != nil {
		return nil, err
	}
	transport := p.http
	switch scheme {
	case "h2c":
		if p.h2c == nil {
			return nil, errors.New("h2c needs a gateway that is built with Go 1.24 or later")
		}
		transport, scheme = p.h2c, "http"
	case "":
		scheme = "http"
	}
	var buffers httputil.BufferPool = &copyBuffers{} // on its own line because the interpreter requires it
	reverse := &httputil.ReverseProxy{
		Transport:     transport,
		FlushInterval: flushInterval,
		BufferPool:    buffers,
		ErrorHandler:  handleError,
	}
	if p.options.KeepForwarded {
		// With Rewrite, each request would have to put back the headers that it removes. Director
		// is deprecated because a client can name a forwarding header in Connection; such a gateway
		// has taken care of that.
		reverse.Director = directTo(scheme, address) //nolint:staticcheck // for the reason above
	} else {
		reverse.Rewrite = rewriteTo(scheme, address)
	}
	return &upstream{
		text:     text,
		address:  address,
		proxy:    reverse,
		secure:   scheme == "https",
		cooldown: p.options.Cooldown,
		health:   &Health{},
		failed:   p.options.Failed,
	}, nil
}

// pick returns the upstream for the next request, in turns, or nil if all are left out. Rare cases
// are in functions of their own, here and elsewhere on a request's path, because the interpreter
// allocates all variables of a function that it enters.
func pick(p *Pool) *upstream {
	all := p.current.Load().([]*upstream)
	if len(all) == 0 {
		return nil
	}
	turn := atomic.AddUint32(&p.sequence, 1)
	u := all[turn%uint32(len(all))]
	if IsUp(u.health) {
		return u
	}
	return pickAround(all, turn)
}

// pickAround returns an upstream if the one whose turn it is has failed.
func pickAround(all []*upstream, turn uint32) *upstream {
	n := uint32(len(all))
	for i := uint32(0); i < n; i++ {
		u := all[(turn+i)%n]
		if IsUp(u.health) || TryAgain(u.health, u.cooldown) {
			return u
		}
	}
	return nil
}
