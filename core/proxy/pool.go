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

// ErrNoUpstream is what a fallback is told when the pool is empty or all of its upstreams are left out.
var ErrNoUpstream = errors.New("no usable upstream")

// flushInterval bounds how long a part of a response waits for more. Where the length is not known beforehand, as with events and
// other streams, nothing waits: the reverse proxy of net/http sends each part at once.
const flushInterval = 100 * time.Millisecond

// Options of a pool. The zero value is ready for use.
type Options struct {
	// KeepForwarded says that the gateway has already removed the X-Forwarded-* and Forwarded headers of clients that it does
	// not trust: they are passed on, X-Forwarded-For with the peer appended. Otherwise what a client sent is replaced.
	KeepForwarded bool
	// Cooldown is how long an upstream that failed is left out. After that, one request at a time tries it. Zero: the constant of that name.
	Cooldown time.Duration
	// Failed hears of each request that was answered with 502 or 504 as its upstream gave no response. It must not block. Optional.
	Failed func(upstream string, err error)
}

// Pool is the set of upstreams that requests are balanced over. Make one with NewPool, use it with Forward.
type Pool struct {
	options   Options
	http, h2c *http.Transport

	mu       sync.Mutex // of Set and Close
	closed   bool
	current  atomic.Value // []*upstream, never changed in place
	sequence uint32       // of requests
}

// upstream is one server of a pool and how it is doing.
type upstream struct {
	text     string
	proxy    *httputil.ReverseProxy
	secure   bool // TLS
	cooldown time.Duration
	health   *Health
	failed   func(upstream string, err error)
}

// NewPool makes an empty pool. Close it when it is no longer used.
func NewPool(options Options) *Pool {
	if options.Cooldown <= 0 {
		options.Cooldown = Cooldown
	}
	p := &Pool{options: options}
	p.http, p.h2c = acquireTransports()
	p.current.Store([]*upstream{})
	return p
}

// Close gives up the pool's share of the connections. Requests that are under way finish; later ones still work.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.closed = true
		releaseTransports()
	}
}

// Set replaces the pool's upstreams, at any time. Each is as ParseUpstream wants it. An upstream that stays keeps its
// state. The error is a problem.List whose paths are the entries: "[0]". Nothing changes then.
func (p *Pool) Set(upstreams []string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := map[string]*upstream{}
	for _, u := range p.current.Load().([]*upstream) {
		known[u.text] = u
	}
	next := make([]*upstream, 0, len(upstreams))
	for i, text := range upstreams {
		u := known[text]
		if u == nil {
			made, err := newUpstream(p, text)
			if err != nil {
				return problem.Of(err).Under(problem.Index("", i))
			}
			u = made
			known[text] = u
		}
		next = append(next, u)
	}
	p.current.Store(next)
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
	var buffers httputil.BufferPool = &copyBuffers{} // the interpreter wants this said in a line of its own
	reverse := &httputil.ReverseProxy{
		Transport:     transport,
		FlushInterval: flushInterval,
		BufferPool:    buffers,
		ErrorHandler:  handleError,
	}
	if p.options.KeepForwarded {
		// Rewrite would have us put back, request by request, the headers that it removes. What Director is deprecated for, a client that
		// names a forwarding header in Connection, is part of what such a gateway has looked after.
		reverse.Director = directTo(scheme, address) //nolint:staticcheck // for the reason above
	} else {
		reverse.Rewrite = rewriteTo(scheme, address)
	}
	return &upstream{
		text: text, proxy: reverse, secure: scheme == "https", cooldown: p.options.Cooldown, health: &Health{}, failed: p.options.Failed,
	}, nil
}

// pick chooses the upstream for the next request, in turns. It returns nil when all are left out. What is rare is in functions of its
// own, here and on the rest of a request's path: the interpreter allocates all of a function's variables, needed or not.
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

// pickAround chooses where the upstream whose turn it is has failed.
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
