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

// Handler forwards every request as Forward does or, if identify is not nil, as ForwardFor does for
// the identity that it returns.
//
// While all is well, a request takes the shortest way that the interpreter can take: it calls
// net/http's reverse proxy, which calls nothing that is interpreted unless the exchange fails.
func Handler(p *Pool, identify func(*http.Request) string, fallback Fallback) http.Handler {
	if identify != nil {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ForwardFor(p, identify(r), w, r, fallback)
		})
	}
	lineupNow := p.current.Load
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u := lineupNow().(*lineup).only
		if u == nil {
			u = pickDirect(p)
		}
		// A body must stay open when an attempt fails, trailers arrive late, and "*", or no path at
		// all, does not join to an upstream.
		if u == nil || r.ContentLength != 0 || r.Trailer != nil || r.URL.Path < "/" {
			forward(p, "", ErrNoUpstream, w, r, fallback)
			return
		}
		result := &http.Response{}
		r.Response = result
		u.direct.ServeHTTP(w, r)
		r.Response = nil
		if result.StatusCode != 0 {
			forwardAgain(p, u, result, w, r, fallback)
		}
	})
}

// Forward sends r to one of the pool's upstreams and the response to w, or calls fallback.
// It does not change method, Host, path and query.
func Forward(p *Pool, w http.ResponseWriter, r *http.Request, fallback Fallback) {
	forward(p, "", ErrNoUpstream, w, r, fallback)
}

// ForwardFor does what Forward does, for a caller who stays on one upstream: the one of the usable
// upstreams that is closest to the identity (see Closeness). With the identity "" it is Forward.
func ForwardFor(p *Pool, identity string, w http.ResponseWriter, r *http.Request, fallback Fallback) {
	forward(p, identity, ErrNoUpstream, w, r, fallback)
}

// forward tries one upstream after the other until the request is sent. Err is why it has not been
// sent so far.
func forward(
	p *Pool, identity string, err error, w http.ResponseWriter, r *http.Request, fallback Fallback,
) {
	for tries := len(p.current.Load().(*lineup).upstreams); tries > 0; tries-- {
		u := pickFor(p, identity)
		if u == nil {
			break
		}
		failed := send(u, w, r)
		if failed == nil {
			succeeded(p, u)
			return
		}
		if !judge(p, u, failed, w) {
			return
		}
		err = failed.err
	}
	fallback(w, r, err)
}

// forwardAgain goes on after a direct attempt that failed.
func forwardAgain(
	p *Pool, u *upstream, result *http.Response, w http.ResponseWriter, r *http.Request, fallback Fallback,
) {
	failed := takeFailure(u, result)
	if judge(p, u, failed, w) {
		forward(p, "", failed.err, w, r, fallback)
	}
}

// The result of an attempt is in the request's field Response, which is meant for clients and which
// nobody reads of a request that a server got. The copies that the reverse proxy makes share it,
// and so the function that is told of a failure finds whose it is. A context would say the same,
// but to make one costs the interpreter more than all else on the way.

// failure is why an attempt has no response.
type failure struct {
	err     error
	out     *http.Request // as it was to be sent
	isGone  bool          // the client went away
	connect *connection   // nil if the attempt was not traced
}

// connection is what a trace saw of an attempt.
type connection struct{ isMade bool }

// noteFailure makes the function that is called when there is no response to pass on. It keeps why
// until the attempt's caller takes it, and answers nothing.
func noteFailure(u *upstream) func(http.ResponseWriter, *http.Request, error) {
	return func(w http.ResponseWriter, out *http.Request, err error) {
		u.failures.Store(out.Response, &failure{err: err, out: out, isGone: out.Context().Err() != nil})
		out.Response.StatusCode = http.StatusBadGateway
	}
}

// takeFailure returns what noteFailure has kept, nil if the attempt did not fail.
func takeFailure(u *upstream, result *http.Response) *failure {
	kept, _ := u.failures.LoadAndDelete(result)
	failed, _ := kept.(*failure)
	return failed
}

// send is an attempt for any request. It returns why there is no response, nil if there is one.
func send(u *upstream, w http.ResponseWriter, r *http.Request) *failure {
	c := &connection{}
	ctx := r.Context()
	if u.secure {
		ctx = traced(ctx, c)
	}
	out := r.WithContext(ctx)
	if out.ContentLength != 0 {
		out.Body = io.NopCloser(out.Body) // a failed attempt must leave it open for the next
	}
	out.Response = &http.Response{Request: r}
	u.proxy.ServeHTTP(w, out)
	if out.Response.StatusCode == 0 {
		return nil
	}
	failed := takeFailure(u, out.Response)
	failed.connect = c
	return failed
}

// traced returns a context that notes whether a connection was made. It is for TLS only, where the
// error does not show that: handshakes fail in too many ways. The interpreter requires names even
// for unused parameters.
func traced(ctx context.Context, c *connection) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(hostPort string) { c.isMade = false },
		GotConn: func(info httptrace.GotConnInfo) { c.isMade = true },
	})
}

// judge decides whose fault a failure is, and reports whether nothing has been sent, so that
// something else can serve the request. Otherwise it answers the request.
func judge(p *Pool, u *upstream, failed *failure, w http.ResponseWriter) bool {
	switch {
	case failed.isGone:
		w.WriteHeader(statusClientClosedRequest)
		return false
	case isUnsent(u, failed):
		Unreachable(u.health, u.cooldown)
		alarm(p)
		return true
	}
	if Broke(failed.err, failed.out) {
		Interrupted(u.health, u.cooldown)
		alarm(p)
	}
	if p.options.Failed != nil {
		p.options.Failed(u.text, failed.err)
	}
	w.WriteHeader(gatewayStatus(failed.err))
	return false
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
func isUnsent(u *upstream, failed *failure) bool {
	var op *net.OpError
	if errors.As(failed.err, &op) && (op.Op == "dial" || op.Op == "proxyconnect") {
		return true
	}
	return u.secure && !failed.connect.isMade && IsHandshake(failed.err)
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
func shareTrailer(out *http.Request) { out.Trailer = out.Response.Request.Trailer }

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
