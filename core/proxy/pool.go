package proxy

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// ErrNoUpstream is what a fallback is told when the pool is empty or all of its upstreams are left out.
var ErrNoUpstream = errors.New("no usable upstream")

// defaultCooldown is how long a failed upstream is left out unless Options say otherwise.
const defaultCooldown = 10 * time.Second

// flushInterval bounds how long a part of a response waits for more. Where the length is not known beforehand, as with events and
// other streams, nothing waits: the reverse proxy of net/http sends each part at once.
const flushInterval = 100 * time.Millisecond

// failuresInARow is how many requests in a row have to fail on an upstream that accepts connections before it is left out. A
// failed connection is enough by itself, while a single failed exchange may be the doing of that one request.
const failuresInARow = 3

// Options of a pool. The zero value is ready for use.
type Options struct {
	// KeepForwarded says that the gateway has already removed the X-Forwarded-* and Forwarded headers of clients that it does
	// not trust: they are passed on, X-Forwarded-For with the peer appended. Otherwise what a client sent is replaced.
	KeepForwarded bool
	// Cooldown is how long an upstream that failed is left out. After that, one request at a time tries it. Zero: 10 seconds.
	Cooldown time.Duration
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
	failures int64 // in a row, on connections that were made
	retryAt  int64 // 0 while it is up; else the Unix time in nanoseconds when a request may try it again
}

// NewPool makes an empty pool. Close it when it is no longer used.
func NewPool(options Options) *Pool {
	if options.Cooldown <= 0 {
		options.Cooldown = defaultCooldown
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

// Set replaces the pool's upstreams, at any time. Each is host:port or a URL of scheme http, https or h2c (HTTP/2 without TLS) and a host
// with or without port. An upstream that stays keeps its state. On an error, which names the entry, nothing changes.
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
				return fmt.Errorf("[%d]: %w", i, err)
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
	target, err := parseUpstream(text)
	if err != nil {
		return nil, err
	}
	transport, scheme := p.http, target.Scheme
	if scheme == "h2c" {
		transport, scheme = p.h2c, "http"
		if transport == nil {
			return nil, errors.New("h2c needs a gateway that is built with Go 1.24 or later")
		}
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
		reverse.Director = directTo(scheme, target.Host) //nolint:staticcheck // for the reason above
	} else {
		reverse.Rewrite = rewriteTo(scheme, target.Host)
	}
	return &upstream{text: text, proxy: reverse, secure: scheme == "https", cooldown: p.options.Cooldown}, nil
}

// Check reports what is wrong with an upstream's URL, nil if nothing is.
func Check(upstream string) error {
	_, err := parseUpstream(upstream)
	return err
}

func parseUpstream(text string) (*url.URL, error) {
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	target, err := url.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("no URL: %q", text)
	}
	switch {
	case target.Scheme != "http" && target.Scheme != "https" && target.Scheme != "h2c":
		return nil, fmt.Errorf("%q: the scheme must be http, https or h2c", text)
	case target.Hostname() == "":
		return nil, fmt.Errorf("%q: no host", text)
	case target.User != nil || target.RawQuery != "" || target.Fragment != "" || (target.Path != "" && target.Path != "/"):
		return nil, fmt.Errorf("%q: an upstream is scheme, host and port only", text)
	}
	return target, nil
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
	if atomic.LoadInt64(&u.retryAt) == 0 {
		return u
	}
	return pickAround(all, turn)
}

// pickAround chooses where the upstream whose turn it is has failed.
func pickAround(all []*upstream, turn uint32) *upstream {
	n := uint32(len(all))
	for i := uint32(0); i < n; i++ {
		u := all[(turn+i)%n]
		if atomic.LoadInt64(&u.retryAt) == 0 || tryAgain(u) {
			return u
		}
	}
	return nil
}

// tryAgain reports whether the caller is the one to try an upstream that is left out. Others wait for another cooldown.
func tryAgain(u *upstream) bool {
	at := atomic.LoadInt64(&u.retryAt)
	now := time.Now().UnixNano()
	return at <= now && atomic.CompareAndSwapInt64(&u.retryAt, at, now+int64(u.cooldown))
}

func leaveOut(u *upstream) {
	atomic.StoreInt64(&u.failures, 0)
	atomic.StoreInt64(&u.retryAt, time.Now().UnixNano()+int64(u.cooldown))
}

func countFailure(u *upstream) {
	if atomic.AddInt64(&u.failures, 1) >= failuresInARow {
		leaveOut(u)
	}
}

// countSuccess is called for each response, so it writes only where there is something to change.
func countSuccess(u *upstream) {
	if atomic.LoadInt64(&u.failures) != 0 || atomic.LoadInt64(&u.retryAt) != 0 {
		atomic.StoreInt64(&u.failures, 0)
		atomic.StoreInt64(&u.retryAt, 0)
	}
}
