package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"

	"github.com/grayrelease/gray/core/proxy"
)

// ErrNoInstance is returned, wrapped, when no instance of a service is known.
var ErrNoInstance = errors.New("no instance is known")

// call sends a request to an instance of a service.
func (t *Transport) call(p *pool, r *http.Request, version string) (*http.Response, error) {
	if err := t.await(r.Context(), p); err != nil {
		closeBody(r)
		return nil, err
	}
	routes := p.now.Load()
	serving, stable := routes.view.Serving(version), routes.view.Stable()
	body := heldBody(r)
	response, err := t.tryGroup(p, routes.groups[serving], r, body, version)
	if isUnsent(err) && serving != stable {
		response, err = t.tryGroup(p, routes.groups[stable], r, body, version)
	}
	if errors.Is(err, ErrNoInstance) { // all are left out: better to try one than to fail unheard
		if g := routes.groups[stable]; g != nil && len(g.entries) > 0 {
			response, err = t.send(p, g.entries[g.turn.Add(1)%uint32(len(g.entries))], r, body, version)
		}
	}
	body.release()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.follower.name, withoutMark(err))
	}
	response.Request = r
	return response, nil
}

// await waits until it is known where the service runs.
func (t *Transport) await(ctx context.Context, p *pool) error {
	select {
	case <-p.follower.Ready():
		return nil
	default:
	}
	ctx, cancel := context.WithTimeout(ctx, t.options.Patience)
	defer cancel()
	return p.follower.Await(ctx)
}

// unsent marks an error of a request of which nothing was sent.
type unsent struct{ error }

// Unwrap returns the error that is marked.
func (u unsent) Unwrap() error { return u.error }

func isUnsent(err error) bool {
	_, is := err.(unsent) //nolint:errorlint // nobody wraps it in between
	return is
}

func withoutMark(err error) error {
	if u, is := err.(unsent); is { //nolint:errorlint // as above
		return u.error
	}
	return err
}

// tryGroup tries the instances of a version in turns, until one could be sent the request.
func (t *Transport) tryGroup(p *pool, g *group, r *http.Request, body *held, version string) (*http.Response, error) {
	var failed error = unsent{ErrNoInstance}
	if g == nil {
		return nil, failed
	}
	for range g.each {
		e := p.pick(g)
		if e == nil {
			return nil, failed
		}
		response, err := t.send(p, e, r, body, version)
		if !isUnsent(err) {
			return response, err
		}
		failed = err
	}
	return nil, failed
}

// send sends a request to an instance, and notes how that went.
func (t *Transport) send(p *pool, e *endpoint, r *http.Request, body *held, version string) (*http.Response, error) {
	out := t.copyOf(r, version)
	if out.Host == "" {
		out.Host = r.URL.Host
	}
	out.URL.Scheme, out.URL.Host = "http", e.Address
	isConnected := &atomic.Bool{}
	if e.Scheme == "https" {
		out.URL.Scheme = "https"
		out = out.WithContext(httptrace.WithClientTrace(out.Context(), &httptrace.ClientTrace{
			GotConn: func(httptrace.GotConnInfo) { isConnected.Store(true) },
		}))
	} else {
		isConnected.Store(true) // or the error says that it was not
	}
	if body != nil {
		out.Body = body.attempt()
	}
	response, err := t.direct.RoundTrip(out)
	if err == nil {
		proxy.Succeeded(e.health)
		return response, nil
	}
	switch {
	case r.Context().Err() != nil: // the caller went away
	case isDial(err) || !isConnected.Load() && proxy.IsHandshake(err):
		proxy.Unreachable(e.health, p.cooldown)
		if body == nil || !body.isRead() {
			return nil, unsent{err}
		}
	case proxy.Broke(err, r):
		proxy.Interrupted(e.health, p.cooldown)
	}
	return nil, err
}

// isDial reports whether no connection was made.
func isDial(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && (op.Op == "dial" || op.Op == "proxyconnect")
}

// held is the body of a request that several instances may be sent in turns: it stays open while
// nothing of it was read, although transports close what they could not send.
type held struct {
	mu     sync.Mutex
	body   io.ReadCloser
	read   bool // something was
	closed bool // somebody closed it before anything was read
	free   bool // no further attempt will be made
}

// heldBody holds the body of a request, nil if there is none.
func heldBody(r *http.Request) *held {
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	return &held{body: r.Body}
}

// attempt returns the body for one try.
func (h *held) attempt() io.ReadCloser {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = false
	return h
}

func (h *held) isRead() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.read
}

// release says that there is no further attempt.
func (h *held) release() {
	if h == nil {
		return
	}
	h.mu.Lock()
	h.free = true
	isOver := h.closed && !h.read
	h.mu.Unlock()
	if isOver {
		_ = h.body.Close()
	}
}

// Read implements io.Reader.
func (h *held) Read(p []byte) (int, error) {
	h.mu.Lock()
	h.read = true
	h.mu.Unlock()
	return h.body.Read(p)
}

// Close implements io.Closer.
func (h *held) Close() error {
	h.mu.Lock()
	h.closed = true
	isOver := h.read || h.free
	h.mu.Unlock()
	if isOver {
		return h.body.Close()
	}
	return nil
}
