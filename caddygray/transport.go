package caddygray

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/headers"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/proxy"
)

// transport wraps a proxy's own transport. It watches how each attempt ends, and uses the scheme of
// the upstream's URL. It implements every optional interface that the proxy asks of transports, if
// the wrapped one does.
type transport struct {
	http.RoundTripper
	h2c      *reverseproxy.HTTPTransport // nil where the proxy's transport is not HTTP
	own      *reverseproxy.HTTPTransport // the default one, where the proxy has none of its own
	tls      bool                        // the proxy's transport is meant for TLS and sees to the header Host by itself
	keepHost bool                        // the proxy's configuration says what Host is
	retired  atomic.Bool                 // the configuration has been replaced; its last requests are finishing
}

// watch wraps the proxy's transport.
func watch(ctx caddy.Context, proxy *reverseproxy.Handler) (*transport, error) {
	if outer, ok := proxy.Transport.(*transport); ok {
		return outer, nil // the source is there twice, within `dynamic multi`
	}
	t := &transport{RoundTripper: proxy.Transport}
	if proxy.Transport == nil {
		t.own = new(reverseproxy.HTTPTransport)
		if err := t.own.Provision(ctx); err != nil {
			return nil, err
		}
		t.RoundTripper = t.own
	}
	if plain, ok := t.RoundTripper.(*reverseproxy.HTTPTransport); ok {
		t.tls = plain.TLSEnabled()
		like := *plain
		like.Versions = []string{"h2c", "2"}
		like.Transport, like.TLS, like.NetworkProxyRaw = nil, nil, nil
		if err := like.Provision(ctx); err != nil {
			return nil, err
		}
		t.h2c = &like
	}
	if proxy.Headers != nil && proxy.Headers.Request != nil {
		_, set := proxy.Headers.Request.Set["Host"]
		t.keepHost = set
	}
	proxy.Transport = t
	return t, nil
}

// RoundTrip sends the request to the upstream that the proxy selected.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := t.roundTrip(req)
	if t.retired.Load() {
		t.closeIdle() // a request makes the transport keep connections again, that of this one too
	}
	return res, err
}

func (t *transport) roundTrip(req *http.Request) (*http.Response, error) {
	di, _ := reverseproxy.GetDialInfo(req.Context())
	state := stateOf(req)
	if state == nil || di.Upstream == nil || state.attempt.decided == nil {
		return t.RoundTripper.RoundTrip(req)
	}
	a := &state.attempt
	a.sent++
	u := a.decided.serving.byDial[di.Upstream.Dial]
	if u == nil { // another source's, or a static upstream
		return t.RoundTripper.RoundTrip(req)
	}
	if last := state.decided; last != a.decided || a.decided.fellBack() {
		// Another service was decided later, or a version serves that was not decided. The header
		// is copied because a failed attempt may still be reading it.
		req.Header = req.Header.Clone()
		engine := a.decided.active.engine
		told := core.Told{Header: state.told(engine.Header()), Baggage: last.decision.Baggage()}
		core.Repass(engine, req, told, a.decided.serving.name)
	}
	res, err := t.sendTraced(u, req)
	a.ended(u, req, err)
	return res, a.explained(err)
}

// explained adds what is known about the upstream to the error of a failed connection. It returns
// other errors, and nil, as they are.
func (a *attempt) explained(err error) error {
	if err == nil || !a.decided.serving.isHeld {
		return err
	}
	var dial reverseproxy.DialError // allocated where it is declared
	if !errors.As(err, &dial) {
		return err
	}
	return reverseproxy.NewDialError(fmt.Errorf(
		"the registry lists no instance of version %q, and one of those that it listed last does not answer: %w",
		a.decided.serving.name, err))
}

// sendTraced is like send, but reports a failed TLS handshake as a failed connection, because
// nothing has been sent. The error does not show that, as handshakes fail in too many ways, so it
// traces the connection. It is for TLS only, because tracing has a small cost for each request.
func (t *transport) sendTraced(u *upstream, req *http.Request) (*http.Response, error) {
	if t.h2c == nil || u.scheme != "https" && (u.scheme != "" || !t.tls) {
		return t.send(u, req)
	}
	var connected atomic.Bool
	trace := &httptrace.ClientTrace{
		GetConn: func(string) { connected.Store(false) },
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	}
	res, err := t.send(u, req.WithContext(httptrace.WithClientTrace(req.Context(), trace)))
	if err != nil && !connected.Load() && proxy.IsHandshake(err) {
		err = reverseproxy.NewDialError(err)
	}
	return res, err
}

// send sends the request as the upstream's URL says. The request is this attempt's own copy, but
// its URL is shared.
func (t *transport) send(u *upstream, req *http.Request) (*http.Response, error) {
	if u.scheme == "" {
		return t.RoundTripper.RoundTrip(req)
	}
	target := *req.URL
	req.URL = &target
	target.Scheme = u.scheme
	switch {
	case u.scheme == "h2c" && t.h2c != nil:
		target.Scheme = "http"
		return t.h2c.RoundTrip(req)
	case u.scheme == "https" && !t.tls && !t.keepHost:
		req.Host = u.dial // as for any TLS upstream of the proxy
	}
	return t.RoundTripper.RoundTrip(req)
}

// ended notes how an attempt ended.
func (a *attempt) ended(u *upstream, req *http.Request, err error) {
	a.last, a.answered = u, err == nil
	if err == nil {
		u.succeeded()
		return
	}
	if req.Context().Err() != nil {
		return // the client went away
	}
	var dial reverseproxy.DialError
	switch {
	case errors.As(err, &dial):
		a.decided.serving.unreachable.Inc()
		u.unreachable(err)
	case proxy.Broke(err, req):
		a.decided.serving.interrupted.Inc()
		u.interrupted(err)
	default:
		a.decided.serving.interrupted.Inc()
	}
}

func (t *transport) cleanup() error {
	t.retired.Store(true)
	t.closeIdle()
	var first, second error
	if t.h2c != nil {
		first = t.h2c.Cleanup()
	}
	if t.own != nil {
		second = t.own.Cleanup()
	}
	return errors.Join(first, second)
}

func (t *transport) closeIdle() {
	if inner, ok := t.RoundTripper.(*reverseproxy.HTTPTransport); ok {
		inner.Transport.CloseIdleConnections()
		t.h2c.Transport.CloseIdleConnections()
	}
}

// RequestHeaderOps implements reverseproxy.RequestHeaderOpsTransport.
func (t *transport) RequestHeaderOps() *headers.HeaderOps {
	if inner, ok := t.RoundTripper.(reverseproxy.RequestHeaderOpsTransport); ok {
		return inner.RequestHeaderOps()
	}
	return nil
}

// ProxyProtocolEnabled implements reverseproxy.ProxyProtocolTransport.
func (t *transport) ProxyProtocolEnabled() bool {
	inner, ok := t.RoundTripper.(reverseproxy.ProxyProtocolTransport)
	return ok && inner.ProxyProtocolEnabled()
}

// RequiresContentLength implements reverseproxy.ContentLengthRequiredTransport.
func (t *transport) RequiresContentLength() bool {
	inner, ok := t.RoundTripper.(reverseproxy.ContentLengthRequiredTransport)
	return ok && inner.RequiresContentLength()
}

// OverrideHealthCheckScheme implements reverseproxy.HealthCheckSchemeOverriderTransport.
func (t *transport) OverrideHealthCheckScheme(base *url.URL, port string) {
	if inner, ok := t.RoundTripper.(reverseproxy.HealthCheckSchemeOverriderTransport); ok {
		inner.OverrideHealthCheckScheme(base, port)
	}
}

// Interface guards
var (
	_ http.RoundTripper                                = (*transport)(nil)
	_ reverseproxy.RequestHeaderOpsTransport           = (*transport)(nil)
	_ reverseproxy.ProxyProtocolTransport              = (*transport)(nil)
	_ reverseproxy.ContentLengthRequiredTransport      = (*transport)(nil)
	_ reverseproxy.HealthCheckSchemeOverriderTransport = (*transport)(nil)
)
