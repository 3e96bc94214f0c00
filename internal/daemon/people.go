package daemon

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"

	"github.com/grayrelease/gray/core/problem"
)

// People says which proxy authenticates people before it passes their requests on, and who of them
// may do what.
type People struct {
	// From lists addresses and prefixes of the proxies. What others send in the header does not
	// count. Required.
	From []string `json:"from"`
	// Header has the name of the person. The proxy must set it or remove it. Default:
	// X-Forwarded-User.
	Header string `json:"header,omitempty"`
	// Operators are the names of those who may operate, `*` is everybody. The others may look.
	// Default: nobody operates.
	Operators []string `json:"operators,omitempty"`

	from []netip.Prefix
}

// People checks what a configuration says of people, at a path; nil is none.
func (c *Checker) People(path string, p *People) {
	if p == nil {
		return
	}
	if len(p.From) == 0 {
		c.Note(path+".from", "required: the addresses of the proxies that authenticate people")
	}
	p.from = nil
	for i, text := range p.From {
		prefix, err := netip.ParsePrefix(text)
		if address, wrong := netip.ParseAddr(text); wrong == nil {
			prefix, err = netip.PrefixFrom(address, address.BitLen()), nil
		}
		if err != nil {
			c.Note(problem.Index(path+".from", i), "%s is not a valid address or prefix (as in 10.0.0.3, 10.0.0.0/8)",
				problem.Quote(text))
		}
		p.from = append(p.from, prefix.Masked())
	}
	if p.Header == "" {
		p.Header = "X-Forwarded-User"
	}
	if !httpguts.ValidHeaderFieldName(p.Header) {
		c.Note(path+".header", "%s is not a valid header name", problem.Quote(p.Header))
	}
}

// maxName bounds the name of a person, in bytes.
const maxName = 128

// Person returns whom the proxy has authenticated, and the role; "" is nobody.
func (p *People) Person(r *http.Request) (name, role string) {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return "", ""
	}
	address := peer.Addr().Unmap().WithZone("")
	if !slices.ContainsFunc(p.from, func(prefix netip.Prefix) bool { return prefix.Contains(address) }) {
		return "", ""
	}
	lines := r.Header.Values(p.Header)
	if len(lines) != 1 {
		return "", "" // several may not all be the proxy's
	}
	name = strings.TrimSpace(lines[0])
	if len(name) > maxName || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
		return "", ""
	}
	if slices.Contains(p.Operators, name) || slices.Contains(p.Operators, "*") {
		return name, RoleOperate
	}
	return name, RoleView
}
