package live

import (
	"fmt"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"
)

// nameServer answers each question with one SRV record, or with NXDOMAIN.
type nameServer struct {
	net.PacketConn
	isEmpty atomic.Bool
}

func newNameServer(t *testing.T) *nameServer {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &nameServer{PacketConn: conn}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buffer := make([]byte, 1024)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			if answer, err := s.answer(buffer[:n]); err == nil {
				_, _ = conn.WriteTo(answer, from)
			}
		}
	}()
	t.Cleanup(func() { _ = conn.Close(); <-done })
	return s
}

func (s *nameServer) answer(query []byte) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil {
		return nil, err
	}
	m.Response = true
	m.Additionals = nil
	if s.isEmpty.Load() {
		m.RCode = dnsmessage.RCodeNameError
		return m.Pack()
	}
	m.Answers = []dnsmessage.Resource{{
		Header: dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Type: dnsmessage.TypeSRV, Class: dnsmessage.ClassINET},
		Body:   &dnsmessage.SRVResource{Priority: 1, Weight: 1, Port: 8080, Target: dnsmessage.MustNewName("one.test.")},
	}}
	return m.Pack()
}

// A name that is gone from DNS for a moment is an empty list, as a registry's is.
func TestStableKeepsItsLastInstancesWithoutAName(t *testing.T) {
	s := newNameServer(t)
	path := filepath.Join(t.TempDir(), "p")
	putDocument(t, path, fmt.Sprintf(`{"service": "s", "stable": "v1", "versions": {
		"v1": {"discover": "srv://%[1]s/_http._tcp.v1.test?interval=100ms"},
		"v2": {"discover": "srv://%[1]s/_http._tcp.v2.test?interval=100ms"}}}`, s.LocalAddr()))
	h, _ := open(t, Options{Source: from("file://" + path + "?interval=10ms")})
	listed := func(v1, v2 int, isHeld bool) func() bool {
		return func() bool {
			c := h.Current()
			return len(c.Upstreams["v1"]) == v1 && len(c.Upstreams["v2"]) == v2 && c.StableHeld == isHeld
		}
	}
	eventually(t, "listed", listed(1, 1, false))
	s.isEmpty.Store(true)
	eventually(t, "stable is held, and the canary is gone", listed(1, 0, true))
	s.isEmpty.Store(false)
	eventually(t, "listed again", listed(1, 1, false))
}
