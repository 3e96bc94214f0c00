package service

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/grayrelease/gray/core/allow"
	"github.com/grayrelease/gray/core/problem"
)

// TransportOptions configure a Transport. The zero value carries nothing to anybody.
type TransportOptions struct {
	// Services are those that are called by name, as in http://user-service/path: a request goes to
	// an instance of the version that its context carries, or else of the stable one, and carries the
	// version on. The name "*" stands for every other service, which is then called as
	// gray://user-service/path. Names are host names in lower case. Default: none.
	Services map[string]Target
	// Domains lists further hosts that versions are carried to: names, *.example.com for all names
	// below, addresses, and prefixes (10.0.0.0/8). Requests to other hosts go without what they say
	// of versions. Default: none.
	Domains []string
	// Carrier says how versions are written. Default: in X-Gray-Version and the baggage.
	Carrier Carrier
	// Base sends the requests. Default: transports like http.DefaultTransport. The one for services
	// keeps more connections open, waits 3s for one, and asks no proxy.
	Base http.RoundTripper
	// Cooldown is how long an instance that could not be reached, or broke three requests in a row,
	// gets no requests. Default: 10s.
	Cooldown time.Duration
	// Patience is how long a request waits at the start, until it is known where a service runs.
	// Default: 5s.
	Patience time.Duration
}

// Transport is an http.RoundTripper that carries the version of a request's context on, and picks
// the instances of services by it; see TransportOptions. A request without a version in its context
// keeps the one in its headers, if it goes where versions go.
//
// Of a service, instances that cannot be reached are left out, and the request goes to another one:
// nothing of it was sent. If no instance of the version can be, the stable version serves.
//
// With OpenTelemetry, its transport may be the Base of this one or have this one as its base.
type Transport struct {
	options TransportOptions
	domains *allow.List
	direct  http.RoundTripper // to the instances of services

	mu     sync.RWMutex
	pools  map[string]*pool // by the name of the service
	others *Target          // nil: only those that are named
	closed bool
}

// NewTransport returns a transport. It connects to nothing by itself. The error is about the
// options: a problem.List with their names as paths.
func NewTransport(o TransportOptions) (*Transport, error) {
	t := &Transport{options: o, domains: &allow.List{Hosts: o.Domains}, pools: map[string]*pool{}}
	if _, err := t.domains.Check(); err != nil {
		return nil, problem.New("Domains", "%s", err)
	}
	t.direct = t.options.Base
	if t.options.Base == nil {
		t.options.Base = http.DefaultTransport.(*http.Transport).Clone()
		t.direct = newDirect()
	}
	if t.options.Patience <= 0 {
		t.options.Patience = 5 * time.Second
	}
	for name, target := range o.Services {
		if name == "*" {
			t.others = &target
			continue
		}
		if _, err := t.open(name, target); err != nil {
			t.Close()
			return nil, problem.Of(err).Under(problem.Field("Services", name))
		}
	}
	return t, nil
}

// newDirect returns a transport for calls between services.
func newDirect() *http.Transport {
	direct := http.DefaultTransport.(*http.Transport).Clone()
	direct.Proxy = nil // instances are reached as they are registered
	direct.DialContext = (&net.Dialer{Timeout: 3 * time.Second, KeepAlive: 15 * time.Second}).DialContext
	direct.MaxIdleConns = 0
	direct.MaxIdleConnsPerHost = 256
	return direct
}

// Close ends the following of services, and closes idle connections.
func (t *Transport) Close() {
	t.mu.Lock()
	pools := t.pools
	t.pools = map[string]*pool{}
	t.closed = true
	t.mu.Unlock()
	for _, p := range pools {
		p.close()
	}
	t.CloseIdleConnections()
}

// CloseIdleConnections closes connections that wait for another request.
func (t *Transport) CloseIdleConnections() {
	for _, base := range []http.RoundTripper{t.options.Base, t.direct} {
		if c, ok := base.(interface{ CloseIdleConnections() }); ok {
			c.CloseIdleConnections()
		}
	}
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	p, err := t.pool(r)
	switch {
	case err != nil:
		closeBody(r)
		return nil, err
	case p != nil:
		return t.call(p, r, t.version(r))
	case t.domains.Lists(r.URL.Host):
		return t.options.Base.RoundTrip(t.carry(r, t.version(r)))
	}
	return t.options.Base.RoundTrip(t.carry(r, ""))
}

// pool returns the instances of the service that a request is for, nil if it is for none.
func (t *Transport) pool(r *http.Request) (*pool, error) {
	name := strings.ToLower(r.URL.Hostname())
	t.mu.RLock()
	p, closed := t.pools[name], t.closed
	t.mu.RUnlock()
	switch {
	case p != nil:
		return p, nil
	case r.URL.Scheme != scheme:
		return nil, nil
	case closed:
		return nil, fmt.Errorf("%s: the transport is closed", name)
	case t.others == nil:
		return nil, fmt.Errorf("%s is not one of the services: add it to Services, or \"*\" for all", name)
	}
	return t.open(name, *t.others)
}

// scheme is that of URLs of services.
const scheme = "gray"

// maxServices bounds how many services are followed.
const maxServices = 1000

// open follows a service, unless that is done already.
func (t *Transport) open(name string, target Target) (*pool, error) {
	if !isServiceName(name) {
		return nil, fmt.Errorf("%q is not the name of a service: it is a host name in lower case", name)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.pools[name]; p != nil || t.closed {
		return p, nil
	}
	if len(t.pools) >= maxServices {
		return nil, fmt.Errorf("%s: more than %d services", name, maxServices)
	}
	f, err := Follow(name, target)
	if err != nil {
		return nil, err
	}
	p := newPool(f, t.options.Cooldown)
	t.pools[name] = p
	return p, nil
}

// isServiceName reports whether a text can be a service's name, in a URL's host and in the URLs of
// targets.
func isServiceName(name string) bool {
	for _, c := range name {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return name != "" && len(name) <= 253
}

// version returns the version that a request is to carry.
func (t *Transport) version(r *http.Request) string {
	if version := Version(r.Context()); version != "" {
		return version
	}
	return t.options.Carrier.Version(r.Header)
}

// carry returns the request, or a copy that carries a version and nothing else of versions.
func (t *Transport) carry(r *http.Request, version string) *http.Request {
	if version == "" && !t.options.Carrier.carries(r.Header) {
		return r
	}
	return t.copyOf(r, version)
}

// copyOf returns a copy of a request that carries a version and nothing else of versions.
func (t *Transport) copyOf(r *http.Request, version string) *http.Request {
	ctx := r.Context()
	if version != "" && version == Version(ctx) {
		ctx = Aligned(ctx)
	}
	out := r.Clone(ctx)
	if out.Header == nil {
		out.Header = http.Header{}
	}
	t.options.Carrier.put(out.Header, version)
	return out
}

func closeBody(r *http.Request) {
	if r.Body != nil {
		_ = r.Body.Close()
	}
}
