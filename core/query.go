package core

import (
	"net/url"
	"strings"
)

// nextParameter is the next value of a query parameter. Pairs stand between "&"; "+" is a space,
// %XX is decoded; a pair with a bad escape or a semicolon is none, as net/url has it. A name
// without "=" has the empty value.
func nextParameter(query, name string, at *cursor) (string, bool) {
	if len(query) > maxQuery {
		return "", false
	}
	for at.at < len(query) {
		pair := query[at.at:]
		if end := strings.IndexByte(pair, '&'); end >= 0 {
			pair = pair[:end]
		}
		at.at += len(pair) + 1
		if strings.IndexByte(pair, ';') >= 0 {
			continue
		}
		key, value, _ := strings.Cut(pair, "=")
		if key != name {
			key, err := url.QueryUnescape(key)
			if err != nil || key != name {
				continue
			}
		} else if strings.IndexByte(key, '%') >= 0 || strings.IndexByte(key, '+') >= 0 {
			continue // the name is looked for as decoded, and this decodes to another one
		}
		if value, err := url.QueryUnescape(value); err == nil {
			return value, true
		}
	}
	return "", false
}
