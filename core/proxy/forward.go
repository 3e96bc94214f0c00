package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"sync/atomic"
)

// statusClientClosedRequest is what gateways log where the client did not wait for the response.
const statusClientClosedRequest = 499

// Fallback serves a request that no upstream could be reached for. Nothing of the request has been sent, its body has not been
// read and nothing has been written to w. The error says why.
type Fallback func(w http.ResponseWriter, r *http.Request, err error)

// Forward sends the request to one of the pool's upstreams and its response to w, or calls fallback.
// Method, Host, path and query stay as they are.
func Forward(p *Pool, w http.ResponseWriter, r *http.Request, fallback Fallback) {
	err := ErrNoUpstream
	for tries := len(load(p)); tries > 0; tries-- {
		u := pick(p)
		if u == nil {
			break
		}
		a := &attempt{upstream: u}
		send(a, w, r)
		if !a.unsent {
			return
		}
		err = a.err
	}
	fallback(w, r, err)
}

// attempt is how sending a request to one upstream goes.
type attempt struct {
	upstream *upstream
	progress int
	unsent   bool  // it failed before anything was sent
	err      error // why
}

// The steps of an attempt's progress.
const (
	notStarted = iota
	connecting
	connected
)

type contextKey struct{ name string }

// attemptKey is a pointer because the interpreter takes any two empty structs for the same key.
var attemptKey = &contextKey{"attempt"}

// send makes one attempt. The interpreter wants parameters named even where they are not used.
func send(a *attempt, w http.ResponseWriter, r *http.Request) {
	u := a.upstream
	ctx := httptrace.WithClientTrace(context.WithValue(r.Context(), attemptKey, a), &httptrace.ClientTrace{
		GetConn: func(hostPort string) { a.progress = connecting },
		GotConn: func(info httptrace.GotConnInfo) { a.progress = connected },
	})
	out := r.WithContext(ctx)
	if r.Body != nil && r.Body != http.NoBody {
		out.Body = io.NopCloser(r.Body) // a failed attempt must leave it open for the next one
	}
	atomic.AddInt64(&u.inflight, 1)
	defer atomic.AddInt64(&u.inflight, -1)
	u.proxy.ServeHTTP(w, out)
}

// handleError is called in place of a response. It judges whose fault the error is and answers, unless the request can be served
// in another way.
func handleError(w http.ResponseWriter, out *http.Request, err error) {
	a := out.Context().Value(attemptKey).(*attempt)
	a.err = err
	switch {
	case out.Context().Err() != nil: // the client went away
		w.WriteHeader(statusClientClosedRequest)
	case a.progress == connecting:
		a.unsent = true
		leaveOut(a.upstream)
	case a.progress == notStarted: // the transport does not send what this client asks for
		w.WriteHeader(http.StatusBadRequest)
	default:
		if out.Body == nil { // otherwise it may be the client's body that broke off
			countFailure(a.upstream)
		}
		w.WriteHeader(gatewayStatus(err))
	}
}

func gatewayStatus(err error) int {
	var netErr net.Error
	if errors.As(err, &netErr) && netErr.Timeout() {
		return http.StatusGatewayTimeout
	}
	return http.StatusBadGateway
}

// rewriteTo makes the function that directs requests to an upstream.
func rewriteTo(scheme, host string, keepForwarded bool) func(*httputil.ProxyRequest) {
	return func(pr *httputil.ProxyRequest) {
		to := pr.Out.URL
		to.Scheme = scheme
		to.Host = host
		to.RawQuery = pr.In.URL.RawQuery // byte for byte, also where it cannot be parsed
		pr.Out.Trailer = pr.In.Trailer   // shared: its values arrive after the body
		if keepForwarded {
			keepForwardedHeaders(pr)
			return
		}
		pr.SetXForwarded()
	}
}

// keepForwardedHeaders passes on what the gateway left of the forwarding headers, and completes them.
func keepForwardedHeaders(pr *httputil.ProxyRequest) {
	in, out := pr.In.Header, pr.Out.Header
	if v, ok := in["X-Forwarded-For"]; ok {
		out["X-Forwarded-For"] = v
	}
	pr.SetXForwarded()
	if v, ok := in["X-Forwarded-Host"]; ok {
		out["X-Forwarded-Host"] = v
	}
	if v, ok := in["X-Forwarded-Proto"]; ok {
		out["X-Forwarded-Proto"] = v
	}
	if v, ok := in["Forwarded"]; ok {
		out["Forwarded"] = v
	}
}
