package service

import (
	"net/http"

	"github.com/grayrelease/gray/core/allow"
	"github.com/grayrelease/gray/core/problem"
)

// TransportOptions configure a Transport. The zero value carries nothing to anybody.
type TransportOptions struct {
	// Domains lists the hosts that versions are carried to: names, *.example.com for all names below,
	// addresses, and prefixes (10.0.0.0/8). Requests to other hosts go without what they say of
	// versions. Default: none.
	Domains []string
	// Carrier says how versions are written. Default: in X-Gray-Version and the baggage.
	Carrier Carrier
	// Base sends the requests. Default: http.DefaultTransport.
	Base http.RoundTripper
}

// Transport is an http.RoundTripper that carries the version of a request's context on. What it
// sends to whom is in TransportOptions. A request without a version in its context keeps the one in
// its headers, if the host is one that gets any.
//
// With OpenTelemetry, its transport may be the Base of this one or have this one as its base.
type Transport struct {
	options TransportOptions
	domains *allow.List
}

// NewTransport returns a transport. The error is about the options: a problem.List with their names
// as paths.
func NewTransport(o TransportOptions) (*Transport, error) {
	t := &Transport{options: o, domains: &allow.List{Hosts: o.Domains}}
	if _, err := t.domains.Check(); err != nil {
		return nil, problem.New("Domains", "%s", err)
	}
	if t.options.Base == nil {
		t.options.Base = http.DefaultTransport
	}
	return t, nil
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	version := ""
	if t.domains.Lists(r.URL.Host) {
		version = t.version(r)
	}
	return t.options.Base.RoundTrip(t.carry(r, version))
}

// CloseIdleConnections closes connections that wait for another request.
func (t *Transport) CloseIdleConnections() {
	if c, ok := t.options.Base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
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
	out := r.Clone(r.Context())
	if out.Header == nil {
		out.Header = http.Header{}
	}
	t.options.Carrier.put(out.Header, version)
	return out
}
