package backends

import (
	"io"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// Relay passes connections on to a server, counts them, and can cut them.
type Relay struct {
	addr string

	mu    sync.Mutex
	conns map[net.Conn]bool
	most  int
	held  bool // connections are refused

	Target string // the server
}

// NewRelay passes connections on to a server until the test ends.
func NewRelay(t testing.TB, target string) *Relay { return newRelay(t, target) }

// Address is where the relay listens.
func (r *Relay) Address() string { return r.addr }

func newRelay(t testing.TB, target string) *Relay {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r := &Relay{addr: l.Addr().String(), Target: target, conns: map[net.Conn]bool{}}
	t.Cleanup(func() { l.Close(); r.Cut() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go r.pass(c)
		}
	}()
	return r
}

func (r *Relay) pass(c net.Conn) {
	defer c.Close()
	r.mu.Lock()
	held := r.held
	r.mu.Unlock()
	if held {
		return
	}
	s, err := net.Dial("tcp", r.Target)
	if err != nil {
		return
	}
	defer s.Close()
	r.mu.Lock()
	r.conns[c] = true
	r.most = max(r.most, len(r.conns))
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.conns, c)
		r.mu.Unlock()
	}()
	go func() { _, _ = io.Copy(s, c); s.Close(); c.Close() }()
	_, _ = io.Copy(c, s)
}

// Cut closes all connections.
func (r *Relay) Cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.conns {
		c.Close()
	}
}

// Hold closes new connections at once, or no longer.
func (r *Relay) Hold(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held = on
}

// Open returns the number of open connections, and the largest number since the last call.
func (r *Relay) Open() (now, most int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now, most = len(r.conns), r.most
	r.most = now
	return now, most
}
