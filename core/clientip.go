package core

import (
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"github.com/grayrelease/gray/core/problem"
)

// unknownClient is the address of a client that a strategy cannot find, in the word of RFC 7239. No
// condition on `ip` holds for it, and it is not an identity.
const unknownClient = "unknown"

const forwardedFor = "X-Forwarded-For"

// IPStrategy says which address is the client's when proxies in front of the gateway report it in
// X-Forwarded-For. Its fields and what they mean are those of Traefik's option ipStrategy. Only the
// part of that header that trusted proxies wrote may be read: the client may have written
// everything left of it.
type IPStrategy struct {
	// Depth takes the address at that position of X-Forwarded-For, counted from the right, from 1:
	// the number of proxies in front of the gateway. With fewer entries than that the address is
	// unknown. Default: 0, the connection's peer.
	Depth int `json:"depth,omitempty"`
	// ExcludedIPs takes the rightmost entry of X-Forwarded-For that is none of these addresses and
	// prefixes, which name the proxies. Depth comes before it. Default: none.
	ExcludedIPs []string `json:"excludedIPs,omitempty"`
	// IPv6Subnet makes one address of all IPv6 addresses that share so many leading bits, 1 to 128,
	// since a client usually has a whole /64. It does not apply to ExcludedIPs. Default: absent,
	// addresses stay whole.
	IPv6Subnet *int `json:"ipv6Subnet,omitempty"`
}

// NewClientIP returns the function that finds a request's client for Caller.Client. It returns nil
// if the client is the connection's peer, which is the default of Caller. The error is a
// problem.List.
func NewClientIP(s *IPStrategy) (func(*http.Request) string, error) {
	if s == nil {
		return nil, nil
	}
	if problems := checkStrategy(s); len(problems) > 0 {
		return nil, problems
	}
	bits := 0
	if s.IPv6Subnet != nil {
		bits = *s.IPv6Subnet
	}
	depth := s.Depth
	switch {
	case depth > 0 && bits > 0:
		return func(r *http.Request) string { return subnet(forwardedAt(r.Header[forwardedFor], depth), bits) }, nil
	case depth > 0:
		return func(r *http.Request) string { return forwardedAt(r.Header[forwardedFor], depth) }, nil
	case len(s.ExcludedIPs) > 0:
		proxies, _ := listNetworks(s.ExcludedIPs)
		return func(r *http.Request) string { return forwardedBefore(r.Header[forwardedFor], proxies) }, nil
	case bits > 0:
		return func(r *http.Request) string { return peerSubnet(r, bits) }, nil
	}
	return nil, nil
}

func checkStrategy(s *IPStrategy) problem.List {
	var problems problem.List
	if s.Depth < 0 {
		problems = append(problems, problem.Problem{Path: "depth", Message: "must be 0 or more, is " + strconv.Itoa(s.Depth)})
	}
	for i, text := range s.ExcludedIPs {
		if _, ok := parsePrefix(text); !ok {
			problems = append(problems, problem.Problem{
				Path: problem.Index("excludedIPs", i), Message: problem.Quote(text) + " " + notAddress,
			})
		}
	}
	if s.IPv6Subnet != nil && (*s.IPv6Subnet < 1 || *s.IPv6Subnet > 128) {
		problems = append(problems, problem.Problem{
			Path: "ipv6Subnet", Message: "must be from 1 to 128, is " + strconv.Itoa(*s.IPv6Subnet),
		})
	}
	return problems
}

// forwardedAt is the entry at a position from the right. Several header lines are one list, in
// order.
func forwardedAt(lines []string, depth int) string {
	for i := len(lines) - 1; i >= 0; i-- {
		rest := lines[i]
		for {
			comma := strings.LastIndexByte(rest, ',')
			depth--
			if depth == 0 {
				return known(rest[comma+1:])
			}
			if comma < 0 {
				break
			}
			rest = rest[:comma]
		}
	}
	return unknownClient
}

// forwardedBefore returns the rightmost entry that is not a proxy's.
func forwardedBefore(lines []string, proxies *networks) string {
	for i := len(lines) - 1; i >= 0; i-- {
		rest := lines[i]
		for {
			comma := strings.LastIndexByte(rest, ',')
			entry := strings.TrimSpace(rest[comma+1:])
			if entry != "" && !isProxy(entry, proxies) {
				return withoutPort(entry)
			}
			if comma < 0 {
				break
			}
			rest = rest[:comma]
		}
	}
	return unknownClient
}

func isProxy(entry string, proxies *networks) bool {
	addr, ok := cleanAddr(entry)
	return ok && proxies.contain(addr)
}

func known(entry string) string {
	if entry = strings.TrimSpace(entry); entry != "" {
		return withoutPort(entry)
	}
	return unknownClient
}

// withoutPort is the address of an entry to which a proxy has added the client's port, as some do.
func withoutPort(entry string) string {
	if strings.IndexByte(entry, ':') < 0 {
		return entry
	}
	peer, err := netip.ParseAddrPort(entry)
	if err != nil {
		return entry
	}
	return peer.Addr().String()
}

func peerSubnet(r *http.Request, bits int) string {
	addr, ok := peerAddr(r)
	if !ok {
		return unknownClient
	}
	return subnetOf(addr, bits)
}

// subnet is the first address of an IPv6 address's subnet; other text stays as it is.
func subnet(text string, bits int) string {
	addr, ok := cleanAddr(text)
	if !ok {
		return text
	}
	return subnetOf(addr, bits)
}

func subnetOf(addr netip.Addr, bits int) string {
	if addr.Is4() {
		return addr.String()
	}
	prefix, err := addr.Prefix(bits)
	if err != nil {
		return addr.String()
	}
	return prefix.Addr().String()
}
