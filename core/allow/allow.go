// Package allow bounds what a document may have a gateway read and whom it may have it ask. Whoever
// may write a policy may route traffic. That must not let them read the gateway's environment and
// files, or reach what only the gateway's machine can.
package allow

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
)

// List says what is allowed. A nil List allows everything: the gateway's own configuration has
// that. An empty one allows no variable and no file, and every host but those with link-local
// addresses and the known metadata services of clouds.
type List struct {
	// Env lists environment variables that may be used, as ${NAME}.
	Env []string
	// Files lists folders whose files may be read, and files.
	Files []string
	// Hosts lists who may be asked: names, *.example.com for all names below, addresses, and
	// prefixes (10.0.0.0/8). A name's address is not looked at. If there are any, nobody else may
	// be asked.
	Hosts []string
}

// Key is equal for lists that allow the same.
func (l *List) Key() string {
	if l == nil {
		return ""
	}
	return fmt.Sprintf(" allowed %q %q %q", l.Env, l.Files, l.Hosts)
}

// Check returns what is wrong with the list itself, and where: "env", "files" or "hosts".
func (l *List) Check() (field string, err error) {
	for _, folder := range l.Files {
		if !filepath.IsAbs(folder) {
			return "files", fmt.Errorf("%q is not an absolute path", folder)
		}
	}
	for _, name := range l.Env {
		if name == "" || strings.ContainsAny(name, "${} =") {
			return "env", fmt.Errorf("%q is not the name of a variable (write it as in NAME)", name)
		}
	}
	for _, host := range l.Hosts {
		if _, isPrefix := prefixOf(host); !isPrefix && strings.ContainsAny(host, "/: @") {
			return "hosts", fmt.Errorf("%q is not a host (write it as in keys.example.com, *.example.com or 10.0.0.0/8)", host)
		}
		if !isASCII(host) {
			return "hosts", fmt.Errorf("%q: write it in its ASCII form (as in xn--...)", host)
		}
	}
	return "", nil
}

// Variable returns why an environment variable may not be used, nil if it may.
func (l *List) Variable(name string) error {
	if l == nil || has(l.Env, name) {
		return nil
	}
	return fmt.Errorf("${%s} is not allowed here: a followed document may use variables only that the gateway's "+
		"configuration names in allow_env", name)
}

// File returns why a file may not be read, nil if it may.
func (l *List) File(path string) error {
	if l == nil {
		return nil
	}
	path = filepath.Clean(path)
	for _, folder := range l.Files {
		inside, err := filepath.Rel(filepath.Clean(folder), path)
		if err == nil && inside != ".." && !strings.HasPrefix(inside, ".."+string(filepath.Separator)) {
			return nil
		}
	}
	return errors.New("the file is not allowed here: a followed document may name files only in folders that the " +
		"gateway's configuration names in allow_files")
}

// Host returns why a host may not be asked, nil if it may. It looks nothing up. A port is ignored.
func (l *List) Host(host string) error {
	host = withoutPort(host)
	if l == nil || l.names(host) {
		return nil
	}
	addr, isAddr, err := addressOf(host)
	switch {
	case err != nil:
		return err
	case has(metadataNames, canonical(host)) || len(l.Hosts) == 0 && isAddr && isMetadata(addr):
		return isRefused(host)
	case len(l.Hosts) == 0 || isAddr && l.contains(addr):
		return nil
	case !isAddr && l.hasPrefixes():
		return nil // a name may have an address in a listed prefix, which shows when it is dialled
	}
	return notListed(host)
}

// Upstream returns why requests may not be sent to a host, nil if they may: any host may get them
// but those that only Hosts may name, link-local addresses and metadata services.
func (l *List) Upstream(host string) error {
	if l == nil || l.names(withoutPort(host)) {
		return nil
	}
	if addr, isAddr, _ := addressOf(withoutPort(host)); isAddr && l.contains(addr) {
		return nil
	}
	return (&List{}).Host(host)
}

// Lists reports whether Hosts has a host itself: by its name, or by a prefix if it is an address. A
// port is ignored. A nil or empty list has none.
func (l *List) Lists(host string) bool {
	if l == nil {
		return false
	}
	host = withoutPort(host)
	if l.names(host) {
		return true
	}
	addr, isAddr, err := addressOf(host)
	return err == nil && isAddr && l.contains(addr)
}

func notListed(host string) error {
	return fmt.Errorf("%s may not be asked: a followed document may lead only to hosts that the gateway's configuration "+
		"names in allow_hosts", host)
}

func isRefused(host string) error {
	return fmt.Errorf("%s may not be asked: it has a link-local or metadata address, which the gateway's configuration "+
		"must name in allow_hosts", host)
}

// names reports whether the list has the host by its name.
func (l *List) names(host string) bool {
	host = canonical(host)
	for _, listed := range l.Hosts {
		listed = canonical(listed)
		if listed == host || strings.HasPrefix(listed, "*.") && strings.HasSuffix(host, listed[1:]) {
			return true
		}
	}
	return false
}

func (l *List) contains(addr netip.Addr) bool {
	for _, listed := range l.Hosts {
		if prefix, ok := prefixOf(listed); ok && prefix.Contains(addr.Unmap().WithZone("")) {
			return true
		}
	}
	return false
}

func (l *List) hasPrefixes() bool {
	for _, listed := range l.Hosts {
		if _, ok := prefixOf(listed); ok {
			return true
		}
	}
	return false
}

// prefixOf reads a listed address or prefix.
func prefixOf(text string) (netip.Prefix, bool) {
	if prefix, err := netip.ParsePrefix(text); err == nil {
		return prefix.Masked(), true
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, false
	}
	addr = addr.Unmap()
	return netip.PrefixFrom(addr, addr.BitLen()), true
}

func canonical(host string) string { return strings.ToLower(strings.TrimRight(host, ".")) }

func withoutPort(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.Trim(host, "[]")
}

func has(list []string, s string) bool {
	for _, item := range list {
		if item == s {
			return true
		}
	}
	return false
}
