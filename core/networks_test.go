package core

import (
	"fmt"
	"math/rand"
	"net/http"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestIPConditions(t *testing.T) {
	for _, c := range []struct {
		operator string
		in       []string
		out      []string
	}{
		{"= 10.1.2.3", []string{"10.1.2.3", "::ffff:10.1.2.3", "::ffff:a01:203"}, []string{"10.1.2.4", "::10.1.2.3", "", "unknown", "10.1.2.3:80", "010.1.2.3"}},
		{"= ::ffff:10.1.2.3", []string{"10.1.2.3"}, []string{"10.1.2.4"}},
		{"in 10.0.0.0/8", []string{"10.0.0.0", "10.255.255.255", "::ffff:10.0.0.1"}, []string{"9.255.255.255", "11.0.0.0"}},
		{"in 10.1.2.3/8", []string{"10.9.9.9"}, []string{"11.0.0.0"}},
		{"in ::ffff:10.0.0.0/104", []string{"10.9.9.9"}, []string{"11.0.0.0"}},
		{"in 0.0.0.0/0", []string{"1.2.3.4", "::ffff:1.2.3.4"}, []string{"::1", "2001:db8::1"}},
		{"in ::/0", []string{"::1", "2001:db8::1"}, []string{"1.2.3.4", "::ffff:1.2.3.4"}},
		{"in 2001:db8::/32, 192.0.2.1", []string{"2001:db8:1::1", "2001:DB8::", "192.0.2.1", "2001:db8::1%eth0"}, []string{"2001:db9::", "192.0.2.2"}},
		{"in fe80::/10", []string{"fe80::1%eth0", "fe80::1"}, []string{"fec0::1"}},
		{"prefix 10.1.", []string{"10.1.2.3", "::ffff:10.1.2.3"}, []string{"10.10.2.3"}},
		{"= 2001:db8::1", []string{"2001:0db8:0:0:0:0:0:1"}, []string{"2001:db8::2"}},
		{"matches ^2001:db8::1$", []string{"2001:0DB8:0:0:0:0:0:1", "2001:db8::1%eth0"}, []string{"2001:db8::11"}},
		{"exists", []string{"1.2.3.4", "::1"}, []string{"@", "unknown", "1.2.3"}},
	} {
		t.Run(c.operator, func(t *testing.T) {
			e := engineWhen(t, "ip "+c.operator)
			not := engineWhen(t, "not ip "+c.operator)
			for _, ip := range append(c.in, c.out...) {
				want, other := "v1", "v2"
				if indexOf(c.in, ip) >= 0 {
					want, other = "v2", "v1"
				}
				r := request("/")
				r.RemoteAddr = "@" // a peer without an address
				caller := &Caller{Request: r, Client: ip}
				assert.Equal(t, want, Decide(e, caller).Version, ip)
				assert.Equal(t, other, Decide(not, caller).Version, ip)
			}
		})
	}
}

// Without an address from the host the connection's peer is the client.
func TestIPOfPeer(t *testing.T) {
	e := engineWhen(t, "ip = 192.0.2.1")
	for peer, version := range map[string]string{
		"192.0.2.1:4000": "v2", "[::ffff:192.0.2.1]:4000": "v2", "192.0.2.1": "v2", "192.0.2.2:4000": "v1", "@": "v1", "": "v1", "/run/gray.sock": "v1",
	} {
		r := request("/", "X-Forwarded-For: 192.0.2.1", "X-Real-Ip: 192.0.2.1", "Forwarded: for=192.0.2.1")
		r.RemoteAddr = peer
		assert.Equal(t, version, Decide(e, &Caller{Request: r}).Version, peer)
	}
}

// The judge is netip, prefix by prefix.
func TestNetworksLikeNetip(t *testing.T) {
	random := rand.New(rand.NewSource(1))
	address := func() netip.Addr { // few different bits, so that prefixes are hit
		if random.Intn(2) == 0 {
			return netip.AddrFrom4([4]byte{10, byte(random.Intn(2)), byte(random.Intn(2)), byte(random.Intn(4))})
		}
		return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, byte(random.Intn(2)), 15: byte(random.Intn(4))})
	}
	hits := 0
	for i := 0; i < 300; i++ {
		nets := newNetworks()
		var prefixes []netip.Prefix
		for n := random.Intn(4); n >= 0; n-- {
			addr := address()
			p, err := addr.Prefix(addr.BitLen() - random.Intn(20))
			require.NoError(t, err)
			prefixes = append(prefixes, p)
			require.True(t, nets.add(p.String()))
		}
		for j := 0; j < 50; j++ {
			addr, want := address(), false
			for _, p := range prefixes {
				want = want || p.Contains(addr)
			}
			if want {
				hits++
			}
			require.Equal(t, want, nets.contain(addr), "%s in %s", addr, prefixes)
		}
	}
	assert.Greater(t, hits, 1000)
}

func TestBadNetworks(t *testing.T) {
	for _, s := range []string{"", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/08", "10.0.0/8", "10.0.0.300", "fe80::1%eth0", "fe80::%eth0/64", "::/129", "host", "10.0.0.1:80", "[::1]", "10.0.0.0-10.0.0.9", " 10.0.0.1"} {
		assert.False(t, newNetworks().add(s), "%q", s)
	}
}

// What isFar leaves unread is in no set: neither an address, nor what is none.
func TestFarAddressesAreNotContained(t *testing.T) {
	random := rand.New(rand.NewSource(1))
	texts := []string{
		"", ".", "1", "1.", "10.", "10.1.2.3", "010.1.2.3", "256.1.2.3", "999.1.1.1", "9999.1.1.1", "1234", "a.b",
		"10.1.2.3:80", "[::ffff:10.1.2.3]:80", "::1.2.3.4", "::ffff:10.1.2.3", "2001:db8::1", "203.0.113.7", "0.0.0.0",
		"255.255.255.255", "0x.1.2.3", "1 .2.3.4", "127.0.0.1",
	}
	for i := 0; i < 200; i++ {
		texts = append(texts, fmt.Sprintf("%d.%d.7.%d", random.Intn(300), random.Intn(256), random.Intn(256)))
	}
	far := 0
	for i := 0; i < 200; i++ {
		n := newNetworks()
		for k := random.Intn(7); k >= 0; k-- {
			n.add(netip.AddrFrom4([4]byte{byte(random.Intn(256)), byte(random.Intn(256))}).String() + fmt.Sprintf("/%d", random.Intn(33)))
		}
		n.add("2001:db8::/32")
		n.add("::/96")
		for _, text := range texts {
			if !n.isFar(text) {
				continue
			}
			far++
			if addr, ok := cleanAddr(text); ok && n.contain(addr) {
				t.Errorf("%q is far of %v", text, n.prefixes)
			}
			if addr, ok := peerAddr(&http.Request{RemoteAddr: text}); ok && n.contain(addr) {
				t.Errorf("peer %q is far of %v", text, n.prefixes)
			}
		}
	}
	if far < 10_000 {
		t.Errorf("only %d are far", far)
	}
}
