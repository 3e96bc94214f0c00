package core

import (
	"net/netip"
)

// What messages say of a text that parsePrefix does not take.
const (
	notAddress      = "is not a valid address or prefix"
	addressExamples = " (as in 10.1.2.3, 10.0.0.0/8, 2001:db8::/32)"
)

// networks is a set of addresses and prefixes. A look-up costs one map access for each prefix
// length in use, however many prefixes there are, or a comparison with each of a few.
type networks struct {
	prefixes map[netip.Prefix]bool
	few      []netip.Prefix // all of them, nil if there are more than fewPrefixes
	lengths4 []int
	lengths6 []int
	near     []bool // the first octets of the IPv4 addresses in it
}

// fewPrefixes are compared faster than they are looked up.
const fewPrefixes = 4

func newNetworks() *networks {
	return &networks{prefixes: map[netip.Prefix]bool{}, near: make([]bool, 256)}
}

// listNetworks makes a set of a named list. If an element is neither an address nor a prefix, it
// returns nil and that element.
func listNetworks(values []string) (*networks, string) {
	n := newNetworks()
	for _, v := range values {
		if !n.add(v) {
			return nil, v
		}
	}
	return n, ""
}

// add takes an address or a prefix; IPv4-mapped IPv6 counts as IPv4.
func (n *networks) add(text string) bool {
	p, ok := parsePrefix(text)
	if !ok {
		return false
	}
	if n.prefixes[p] {
		return true
	}
	n.prefixes[p] = true
	if n.few = append(n.few, p); len(n.prefixes) > fewPrefixes {
		n.few = nil
	}
	if p.Addr().Is4() {
		n.lengths4 = addLength(n.lengths4, p.Bits())
		markOctets(n.near, p)
	} else {
		n.lengths6 = addLength(n.lengths6, p.Bits())
	}
	return true
}

// markOctets marks the first octets of the addresses of an IPv4 prefix.
func markOctets(marks []bool, p netip.Prefix) {
	free := 0
	if p.Bits() < 8 {
		free = 8 - p.Bits()
	}
	first := int(p.Addr().As4()[0])
	for octet := first; octet < first+1<<uint(free); octet++ {
		marks[octet] = true
	}
}

func addLength(lengths []int, bits int) []int {
	for _, l := range lengths {
		if l == bits {
			return lengths
		}
	}
	return append(lengths, bits)
}

// isFar reports whether a text begins as an IPv4 address does that is not in the set, which spares
// most callers to have theirs read. The rest may be anything: what is no address is in no set.
func (n *networks) isFar(text string) bool {
	octet := 0
	for i := 0; i < len(text) && i < 4; i++ {
		c := text[i]
		if c == '.' && i > 0 {
			return octet < 256 && !n.near[octet]
		}
		if c < '0' || c > '9' {
			return false
		}
		octet = octet*10 + int(c-'0')
	}
	return false
}

// contain reports whether an address, already unmapped and without a zone, is in the set.
func (n *networks) contain(addr netip.Addr) bool {
	if len(n.prefixes) <= fewPrefixes {
		for _, p := range n.few {
			if p.Contains(addr) {
				return true
			}
		}
		return false
	}
	lengths := n.lengths6
	if addr.Is4() {
		lengths = n.lengths4
	}
	for _, bits := range lengths {
		p, err := addr.Prefix(bits)
		if err == nil && n.prefixes[p] {
			return true
		}
	}
	return false
}

// parsePrefix reads an address (as a prefix of its whole length) or a prefix, masked, IPv4-mapped
// IPv6 as IPv4.
func parsePrefix(text string) (netip.Prefix, bool) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		addr, err := netip.ParseAddr(text)
		if err != nil || addr.Zone() != "" {
			return netip.Prefix{}, false
		}
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), true
	}
	const mapped = 96 // ::ffff:0:0/96 holds the IPv4-mapped addresses
	if p.Addr().Is4In6() && p.Bits() >= mapped {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mapped)
	}
	return p.Masked(), true
}
