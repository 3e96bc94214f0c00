package proxy

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// ParseUpstream reads how an upstream is written: host:port, or a URL of scheme http, https or h2c (HTTP/2 without TLS) and a host
// with or without port. It returns the scheme, which is "" where none was given, and host:port. The error says what is wrong with
// the text, which it quotes but for a user and password.
func ParseUpstream(text string) (string, string, error) {
	shown := text[strings.LastIndexByte(text, '@')+1:] // errors end in logs, and a user's password before the @ must not
	scheme, rest, given := strings.Cut(text, "://")
	if !given {
		scheme, rest = "", text
	}
	port := "80"
	switch scheme {
	case "http", "h2c":
	case "https":
		port = "443"
	case "":
		if given {
			return "", "", fmt.Errorf("%q: the scheme is missing before \"://\"", shown)
		}
	default:
		return "", "", fmt.Errorf("%q: the scheme %q is not one of http, https, h2c", shown, scheme)
	}
	target, err := url.Parse("//" + strings.TrimSuffix(rest, "/"))
	if err != nil || !isHost(target.Hostname()) {
		return "", "", fmt.Errorf("%q is neither a URL nor host:port", shown)
	}
	if target.User != nil {
		return "", "", fmt.Errorf("%q: an upstream has no user or password", shown)
	}
	if target.Path != "" || target.RawQuery != "" || target.Fragment != "" {
		return "", "", fmt.Errorf("%q: an upstream is a scheme, a host and a port, without a path", shown)
	}
	if target.Port() != "" {
		port = target.Port()
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", "", fmt.Errorf("%q: there is no port %s", shown, port)
	}
	return scheme, net.JoinHostPort(target.Hostname(), port), nil
}

// isHost tells a name or an address from what is left of a text that is neither.
func isHost(s string) bool {
	if strings.Contains(s, ":") {
		_, err := netip.ParseAddr(s)
		return err == nil
	}
	return s != "" && !strings.ContainsAny(s, " {}*")
}
