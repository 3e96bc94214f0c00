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

// statusClientClosedRequest is what gateways log where the client did not wait for the response.
const statusClientClosedRequest = 499

// Fallback serves a request that no upstream could be reached for. Nothing of the request has been sent, its body has not been
// read and nothing has been written to w. The error says why.
type Fallback func(w http.ResponseWriter, r *http.Request, err error)

// Forward sends the request to one of the pool's upstreams and its response to w, or calls fallback.
// Method, Host, path and query stay as they are.
func Forward(p *Pool, w http.ResponseWriter, r *http.Request, fallback Fallback) {
	a := &attempt{upstream: pick(p), request: r}
	if a.upstream != nil {
		send(a, w)
	}
	if a.upstream == nil || a.unsent {
		forwardElsewhere(p, a, w, fallback)
	}
}

// forwardElsewhere tries the other upstreams once the first cannot be reached.
func forwardElsewhere(p *Pool, a *attempt, w http.ResponseWriter, fallback Fallback) {
	err := a.err
	for tries := len(p.current.Load().([]*upstream)); tries > 1 && a.unsent; tries-- {
		a = &attempt{upstream: pick(p), request: a.request}
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

// attempt is how sending a request to one upstream goes.
type attempt struct {
	upstream  *upstream
	request   *http.Request // as the gateway got it
	connected bool          // by what a trace of the connection says; see send
	unsent    bool          // it failed before anything was sent
	err       error         // why it failed
}

type contextKey struct{ name string }

// attemptKey is a pointer because the interpreter takes any two empty structs for the same key.
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

// prepared adds what not every request needs.
func prepared(a *attempt, out *http.Request) *http.Request {
	if out.ContentLength != 0 {
		out.Body = io.NopCloser(out.Body) // a failed attempt must leave it open for the next one
	}
	if a.upstream.secure {
		return out.WithContext(traced(out.Context(), a))
	}
	return out
}

// traced notes whether a connection was made. Only for TLS: its handshake fails in so many ways that the error does not tell. The
// interpreter wants parameters named even where they are not used.
func traced(ctx context.Context, a *attempt) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(hostPort string) { a.connected = false },
		GotConn: func(info httptrace.GotConnInfo) { a.connected = true },
	})
}

// handleError is called in place of a response. It judges whose fault the error is and answers, unless the request can be served
// in another way.
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

// upstreamFailures are how net/http begins to say that an exchange failed by what the upstream did; its errors have no types to tell by.
// What is wrong with the client's body begins otherwise: "malformed chunked encoding", "malformed MIME header", "invalid byte", "unexpected EOF".
var upstreamFailures = []string{
	"net/http: HTTP/1.x transport connection broken", "net/http: Transport failed to read from server", "http: server closed idle connection",
	"readLoopPeekFailLocked", "malformed HTTP ", // what comes is no HTTP
	"stream error: ", "http2: server sent GOAWAY", "http2: client conn", "http2: failed reading the frame payload", "http2: frame too large",
}

// Broke reports whether an exchange with an upstream failed by the upstream's doing, not by that of the request's client: if there is a
// body, it may be the client who broke off, unless the error says otherwise.
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

// isUnsent reports whether no connection was made. What net/http refuses to send, because a client asked for something odd, is no
// error of the network and none of the upstream's.
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

// IsHandshake reports whether an error is what a failed TLS handshake gives. What net/http refuses to send is not.
func IsHandshake(err error) bool {
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	return isBroken(err) || errors.As(err, &certificate) || errors.As(err, &record) || strings.HasPrefix(err.Error(), "tls: ")
}

func gatewayStatus(err error) int {
	var netErr net.Error
	if errors.As(err, &netErr) && netErr.Timeout() {
		return http.StatusGatewayTimeout
	}
	return http.StatusBadGateway
}

// directTo makes the function that directs requests to an upstream where the gateway looks after the forwarding headers: net/http
// itself adds the peer to X-Forwarded-For.
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

// shareTrailer undoes a copy: the values of trailers arrive after the body.
func shareTrailer(out *http.Request) {
	out.Trailer = out.Context().Value(attemptKey).(*attempt).request.Trailer
}

// rewriteTo makes the function that directs requests to an upstream, with forwarding headers of our own alone.
func rewriteTo(scheme, host string) func(*httputil.ProxyRequest) {
	return func(pr *httputil.ProxyRequest) {
		to := pr.Out.URL
		to.Scheme = scheme
		to.Host = host
		to.RawQuery = pr.In.URL.RawQuery // byte for byte, also where it cannot be parsed
		if pr.Out.Trailer != nil {
			shareTrailer(pr.Out)
		}
		pr.SetXForwarded()
	}
}
