package proxy

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// ParseUpstream parses an upstream: host:port, or a URL of scheme http, https or h2c (HTTP/2
// without TLS) and a host with an optional port. It returns the scheme, or "" if none is given, and
// host:port. Its errors quote the text, but never a user or a password.
func ParseUpstream(text string) (string, string, error) {
	shown := text[strings.LastIndexByte(text, '@')+1:] // a password before the @ must not be logged with an error
	scheme, rest, given := strings.Cut(text, "://")
	if !given {
		scheme, rest = "", text
	}
	if wrong := notOneAddress(rest); wrong != "" {
		return "", "", fmt.Errorf("%q %s", shown, wrong)
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
		return "", "", fmt.Errorf("%q: %s is not a valid port (1 to 65535)", shown, port)
	}
	return scheme, net.JoinHostPort(target.Hostname(), port), nil
}

// notOneAddress says what is wrong with a text that has no host, or more than one upstream.
func notOneAddress(text string) string {
	host, port := cutPort(text)
	first, last, isRange := strings.Cut(port, "-")
	switch {
	case strings.Contains(text, "@"): // no part of a password is quoted
	case strings.Contains(text, ","):
		return "has a comma: write each upstream by itself"
	case host == "" && isNumber(port):
		return "has no host: write localhost:" + port
	case port == "" && isNumber(host):
		return "has no host: write localhost:" + host
	case isRange && isNumber(first) && isNumber(last):
		return "has a range of ports: write each upstream by itself"
	case strings.Count(text, ":") > 1 && !strings.HasPrefix(text, "["):
		if _, err := netip.ParseAddr(text); err == nil {
			return "is an IPv6 address: write [" + text + "]:80, with its port"
		}
	}
	return ""
}

// cutPort cuts a text at its last colon, if that is not within an IPv6 address.
func cutPort(text string) (string, string) {
	colon := strings.LastIndexByte(text, ':')
	if colon < 0 || colon < strings.LastIndexByte(text, ']') {
		return text, ""
	}
	return text[:colon], text[colon+1:]
}

func isNumber(text string) bool {
	_, err := strconv.ParseUint(text, 10, 32)
	return err == nil
}

// isHost reports whether s is an address or can be a name.
func isHost(s string) bool {
	if strings.Contains(s, ":") {
		_, err := netip.ParseAddr(s)
		return err == nil
	}
	return s != "" && !strings.ContainsAny(s, " {}*")
}
