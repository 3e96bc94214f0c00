package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"strings"
)

// statusClientClosedRequest is what gateways log if the client did not wait for the response.
const statusClientClosedRequest = 499

// Fallback serves a request for which no upstream could be reached; err says why. Nothing of the
// request has been sent, its body has not been read, and nothing has been written to w.
type Fallback func(w http.ResponseWriter, r *http.Request, err error)

// Forward sends r to one of the pool's upstreams and the response to w, or calls fallback.
// It does not change method, Host, path and query.
func Forward(p *Pool, w http.ResponseWriter, r *http.Request, fallback Fallback) {
	a := &attempt{upstream: pick(p), request: r}
	if a.upstream != nil {
		send(a, w)
	}
	if a.upstream == nil || a.unsent {
		forwardElsewhere(p, a, w, fallback)
	}
}

// ForwardFor does what Forward does, for a caller who stays on one upstream: the one of the usable
// upstreams that is closest to the identity (see Closeness). With the identity "" it is Forward.
func ForwardFor(p *Pool, identity string, w http.ResponseWriter, r *http.Request, fallback Fallback) {
	a := &attempt{upstream: pickFor(p, identity), identity: identity, request: r}
	if a.upstream != nil {
		send(a, w)
	}
	if a.upstream == nil || a.unsent {
		forwardElsewhere(p, a, w, fallback)
	}
}

// forwardElsewhere tries the other upstreams after the first could not be reached.
func forwardElsewhere(p *Pool, a *attempt, w http.ResponseWriter, fallback Fallback) {
	err := a.err
	for tries := len(p.current.Load().([]*upstream)); tries > 1 && a.unsent; tries-- {
		a = &attempt{upstream: pickFor(p, a.identity), identity: a.identity, request: a.request}
		if a.upstream == nil {
			break
		}
		send(a, w)
		if !a.unsent {
			return
		}
		err = a.err
	}
	if err == nil {
		err = ErrNoUpstream
	}
	fallback(w, a.request, err)
}

// attempt is one try to send a request to one upstream.
type attempt struct {
	upstream  *upstream
	identity  string        // of the caller; "" for one who may change upstreams
	request   *http.Request // as the gateway received it
	connected bool          // a trace saw a connection; see prepared
	unsent    bool          // it failed before anything was sent
	err       error         // why it failed
}

type contextKey struct{ name string }

// attemptKey is a pointer because the interpreter considers any two empty structs the same key.
var attemptKey = &contextKey{"attempt"}

func send(a *attempt, w http.ResponseWriter) {
	out := a.request.WithContext(context.WithValue(a.request.Context(), attemptKey, a))
	if out.ContentLength != 0 || a.upstream.secure {
		out = prepared(a, out)
	}
	a.upstream.proxy.ServeHTTP(w, out)
	if a.err == nil {
		Succeeded(a.upstream.health)
	}
}

// prepared returns the request with what only some requests need: a body that stays open, and a
// trace.
func prepared(a *attempt, out *http.Request) *http.Request {
	if out.ContentLength != 0 {
		out.Body = io.NopCloser(out.Body) // a failed attempt must leave it open for the next
	}
	if a.upstream.secure {
		return out.WithContext(traced(out.Context(), a))
	}
	return out
}

// traced returns a context that notes whether a connection was made. It is for TLS only, where the
// error does not show that: handshakes fail in too many ways. The interpreter requires names even
// for unused parameters.
func traced(ctx context.Context, a *attempt) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(hostPort string) { a.connected = false },
		GotConn: func(info httptrace.GotConnInfo) { a.connected = true },
	})
}

// handleError is called instead of passing a response. It decides whose fault the error is. It
// answers the request, unless nothing has been sent, so that something else can serve it.
func handleError(w http.ResponseWriter, out *http.Request, err error) {
	a := out.Context().Value(attemptKey).(*attempt)
	a.err = err
	switch {
	case out.Context().Err() != nil: // the client went away
		w.WriteHeader(statusClientClosedRequest)
	case isUnsent(a, err):
		a.unsent = true
		Unreachable(a.upstream.health, a.upstream.cooldown)
	default:
		if Broke(err, out) {
			Interrupted(a.upstream.health, a.upstream.cooldown)
		}
		if a.upstream.failed != nil {
			a.upstream.failed(a.upstream.text, err)
		}
		w.WriteHeader(gatewayStatus(err))
	}
}

// upstreamFailures lists how the messages of net/http begin if the upstream made an exchange fail.
// These errors have no types. Errors in the client's body begin differently: "malformed chunked
// encoding", "malformed MIME header", "invalid byte", "unexpected EOF".
var upstreamFailures = []string{
	"net/http: HTTP/1.x transport connection broken",
	"net/http: Transport failed to read from server",
	"http: server closed idle connection",
	"readLoopPeekFailLocked",
	"malformed HTTP ", // the response is not HTTP
	"stream error: ",
	"http2: server sent GOAWAY",
	"http2: client conn",
	"http2: failed reading the frame payload",
	"http2: frame too large",
}

// Broke reports whether the upstream made an exchange fail, rather than the client of r. If r has a
// body, the client may have broken off, unless the error shows otherwise.
func Broke(err error, r *http.Request) bool {
	if errors.Is(err, io.EOF) || (r.Body == nil || r.Body == http.NoBody) && isBroken(err) {
		return true
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Addr != nil && op.Addr.String() != r.RemoteAddr {
		return true
	}
	text := err.Error()
	for _, start := range upstreamFailures {
		if strings.HasPrefix(text, start) {
			return true
		}
	}
	return false
}

// isUnsent reports whether no connection was made. An odd request that net/http refuses to send
// does not count: that is the client's error.
func isUnsent(a *attempt, err error) bool {
	var op *net.OpError
	if errors.As(err, &op) && (op.Op == "dial" || op.Op == "proxyconnect") {
		return true
	}
	return a.upstream.secure && !a.connected && IsHandshake(err)
}

// isBroken reports whether a connection broke.
func isBroken(err error) bool {
	var netErr net.Error
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &netErr)
}

// IsHandshake reports whether an error can come from a failed TLS handshake. A request that
// net/http refuses to send gives a different error.
func IsHandshake(err error) bool {
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	return isBroken(err) || errors.As(err, &certificate) || errors.As(err, &record) ||
		strings.HasPrefix(err.Error(), "tls: ")
}

func gatewayStatus(err error) int {
	var netErr net.Error
	if errors.As(err, &netErr) && netErr.Timeout() {
		return http.StatusGatewayTimeout
	}
	return http.StatusBadGateway
}

// directTo returns the function that directs requests to an upstream if the gateway takes care of
// the forwarding headers. net/http adds the peer to X-Forwarded-For.
func directTo(scheme, host string) func(*http.Request) {
	return func(out *http.Request) {
		to := out.URL
		to.Scheme = scheme
		to.Host = host
		if out.Trailer != nil {
			shareTrailer(out)
		}
	}
}

// shareTrailer makes out share the trailers of the original request, as their values arrive after
// the body.
func shareTrailer(out *http.Request) {
	out.Trailer = out.Context().Value(attemptKey).(*attempt).request.Trailer
}

// rewriteTo returns the function that directs requests to an upstream and replaces all forwarding
// headers.
func rewriteTo(scheme, host string) func(*httputil.ProxyRequest) {
	return func(pr *httputil.ProxyRequest) {
		to := pr.Out.URL
		to.Scheme = scheme
		to.Host = host
		to.RawQuery = pr.In.URL.RawQuery // byte for byte, even if it cannot be parsed
		if pr.Out.Trailer != nil {
			shareTrailer(pr.Out)
		}
		pr.SetXForwarded()
	}
}
