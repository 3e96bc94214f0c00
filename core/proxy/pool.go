package proxy

import (
	"errors"
	"net/http"
	"net/http/httputil"
	"net/url"
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
// with Handler, or with Forward.
type Pool struct {
	options   Options
	http, h2c *http.Transport

	mu       sync.Mutex // held by who changes current, and by Close
	closed   bool
	current  atomic.Value // *lineup, never changed in place
	sequence uint32       // counts requests
}

// lineup is the upstreams of a pool.
type lineup struct {
	upstreams []*upstream
	members   []*member // the same, each once
	// isCalm reports that every upstream may be sent a request directly: there is one at least, none
	// has failed since its last success, and none speaks TLS.
	isCalm bool
	only   *upstream // of a calm lineup of one
}

func newLineup(all []*upstream, members []*member, isCalm bool) *lineup {
	l := &lineup{upstreams: all, members: members, isCalm: isCalm}
	if isCalm && len(all) == 1 {
		l.only = all[0]
	}
	return l
}

// upstream is one server of a pool, with its health.
type upstream struct {
	text     string
	address  string                 // host:port
	direct   *httputil.ReverseProxy // for requests without trailers
	proxy    *httputil.ReverseProxy // for all
	failures sync.Map               // of attempts that have just ended; see noteFailure
	secure   bool                   // TLS
	cooldown time.Duration
	health   *Health
}

// NewPool returns an empty pool. Close it when it is no longer used.
func NewPool(options Options) *Pool {
	if options.Cooldown <= 0 {
		options.Cooldown = Cooldown
	}
	p := &Pool{options: options}
	p.http, p.h2c = acquireTransports()
	p.current.Store(&lineup{})
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
	for _, u := range p.current.Load().(*lineup).upstreams {
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
	p.current.Store(newLineup(next, membersOf(next), areCalm(next)))
	return nil
}

func areCalm(all []*upstream) bool {
	for _, u := range all {
		if u.secure || !IsSound(u.health) {
			return false
		}
	}
	return len(all) > 0
}

// alarm notes that an upstream has failed.
func alarm(p *Pool) { setCalm(p, false) }

// succeeded notes a response of an upstream.
func succeeded(p *Pool, u *upstream) {
	Succeeded(u.health)
	all := p.current.Load().(*lineup)
	if !all.isCalm && areCalm(all.upstreams) {
		setCalm(p, true)
	}
}

// setCalm sets whether the pool's upstreams may be sent requests directly, if they may.
func setCalm(p *Pool, isCalm bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := p.current.Load().(*lineup)
	isCalm = isCalm && areCalm(all.upstreams) // none has failed in the meantime
	if isCalm != all.isCalm {
		p.current.Store(newLineup(all.upstreams, all.members, isCalm))
	}
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
	u := &upstream{
		text:     text,
		address:  address,
		secure:   scheme == "https",
		cooldown: p.options.Cooldown,
		health:   &Health{},
	}
	u.proxy = newReverse(u, &httputil.ReverseProxy{}, transport)
	u.direct = u.proxy
	if p.options.KeepForwarded {
		// With Rewrite, each request would have to put back the headers that it removes. Director
		// is deprecated because a client can name a forwarding header in Connection; such a gateway
		// has taken care of that.
		u.proxy.Director = directTo(scheme, address) //nolint:staticcheck // for the reason above
		// Its Director is compiled, even if this package is interpreted.
		u.direct = newReverse(u, httputil.NewSingleHostReverseProxy(&url.URL{Scheme: scheme, Host: address}), transport)
	} else {
		u.proxy.Rewrite = rewriteTo(scheme, address)
	}
	return u, nil
}

func newReverse(u *upstream, reverse *httputil.ReverseProxy, transport *http.Transport) *httputil.ReverseProxy {
	var buffers httputil.BufferPool = &copyBuffers{} // on its own line because the interpreter requires it
	reverse.Transport = transport
	reverse.FlushInterval = flushInterval
	reverse.BufferPool = buffers
	reverse.ErrorHandler = noteFailure(u)
	return reverse
}

// pick returns the upstream for the next request, in turns, or nil if all are left out. Rare cases
// are in functions of their own, here and elsewhere on a request's path, because the interpreter
// allocates all variables of a function that it enters.
func pick(p *Pool) *upstream {
	all := p.current.Load().(*lineup).upstreams
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

// pickDirect returns the upstream for the next request, in turns, or nil if it must be watched.
func pickDirect(p *Pool) *upstream {
	now := p.current.Load().(*lineup)
	if !now.isCalm {
		return nil
	}
	return now.upstreams[atomic.AddUint32(&p.sequence, 1)%uint32(len(now.upstreams))]
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
