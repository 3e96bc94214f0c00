package jwt

import (
	"net/http"
	"net/textproto"
	"strings"
)

// The places where a request can carry its token.
const (
	inHeader = iota
	inCookie
	inQuery
)

// maxSearched bounds how much of a Cookie line or query is searched for a token.
const maxSearched = 65536

type place struct {
	kind   int
	name   string
	prefix string // the scheme as usually written, with its space; "" if the header holds the bare token
}

func placeOf(cfg *Config) place {
	switch {
	case cfg.Cookie != "":
		return place{kind: inCookie, name: cfg.Cookie}
	case cfg.Query != "":
		return place{kind: inQuery, name: cfg.Query}
	case cfg.Header == "" || strings.EqualFold(cfg.Header, "Authorization"):
		return place{kind: inHeader, name: "Authorization", prefix: "Bearer "}
	}
	return place{kind: inHeader, name: textproto.CanonicalMIMEHeaderKey(cfg.Header)}
}

// find returns the token that a request carries. It refuses several tokens, because a middleware
// before gray or a service after it may read a different one.
func find(p *place, r *http.Request) (string, Reason) {
	values := valuesAt(p, r)
	switch {
	case len(values) > 1:
		return "", Repeated
	case len(values) == 0:
		return "", None
	}
	token := values[0]
	if p.kind == inHeader {
		token = withoutScheme(p, token)
	}
	if token == "" {
		return "", None
	}
	return token, ""
}

func valuesAt(p *place, r *http.Request) []string {
	switch {
	case p.kind == inHeader:
		return r.Header[p.name]
	case p.kind == inCookie:
		return cookies(r, p.name)
	case len(r.URL.RawQuery) <= maxSearched:
		return r.URL.Query()[p.name]
	}
	return nil
}

// withoutScheme returns the token of a header line. Bearer is required in Authorization and
// optional in other headers.
func withoutScheme(p *place, line string) string {
	token := strings.Trim(line, " \t")
	if len(token) > 7 && strings.EqualFold(token[:7], "Bearer ") {
		return strings.TrimLeft(token[7:], " ")
	}
	if p.prefix != "" {
		return ""
	}
	return token
}

func cookies(r *http.Request, name string) []string {
	var values []string
	for _, line := range r.Header["Cookie"] {
		if len(line) > maxSearched {
			continue
		}
		for _, pair := range strings.Split(line, ";") {
			pair = strings.Trim(pair, " \t")
			if len(pair) > len(name) && pair[len(name)] == '=' && pair[:len(name)] == name {
				values = append(values, unquoted(pair[len(name)+1:]))
			}
		}
	}
	return values
}

func unquoted(value string) string {
	if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
		return value[1 : len(value)-1]
	}
	return value
}
