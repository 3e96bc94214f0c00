package jwt

import (
	"net/http"
	"net/textproto"
	"strings"
)

// Where a request can carry its token.
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
	prefix string // how the scheme is usually written, with its space; "" if the header holds the bare token
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

// tokenOfLine takes the scheme off a header line. Authorization must say Bearer, other headers may.
func tokenOfLine(p *place, line string) (string, Reason) {
	token := strings.Trim(line, " \t")
	if len(token) > 7 && strings.EqualFold(token[:7], "Bearer ") {
		token = strings.TrimLeft(token[7:], " ")
	} else if p.prefix != "" {
		return "", None
	}
	if token == "" {
		return "", None
	}
	return token, ""
}

// find returns the token in a cookie or the query. Several of the same name are refused: a middleware
// before or a service after gray may read another one than gray would.
func find(p *place, r *http.Request) (string, Reason) {
	var values []string
	if p.kind == inCookie {
		values = cookies(r, p.name)
	} else if len(r.URL.RawQuery) <= maxSearched {
		values = r.URL.Query()[p.name]
	}
	switch {
	case len(values) > 1:
		return "", Repeated
	case len(values) == 0 || values[0] == "":
		return "", None
	}
	return values[0], ""
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
