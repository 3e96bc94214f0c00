package core

import "strings"

// nextCookie is the value of the first cookie of that name at or after byte `at` of a Cookie header
// line, and the byte to go on from, which is -1 when there is none.
//
// A line is what browsers send (RFC 6265, section 5.4): pairs between semicolons, the name before
// the first "=". As in net/http, spaces and tabs around the pair and the name do not count, nor
// does one pair of double quotes around the value, and nothing is decoded; unlike there, any byte
// may be in a value, since browsers send what scripts have put there.
func nextCookie(line, name string, at int) (string, int) {
	// Searching for the name beats splitting the line, most of all where this is interpreted.
	for {
		i := strings.Index(line[at:], name)
		if i < 0 {
			return "", -1
		}
		i += at
		at = i + len(name)
		for at < len(line) && isSpace(line[at]) {
			at++
		}
		if at < len(line) && line[at] == '=' && startsPair(line, i) {
			value := line[at+1:]
			if end := strings.IndexByte(value, ';'); end >= 0 {
				value = value[:end]
			}
			return cookieText(value), at + 1 + len(value)
		}
	}
}

// nextOnLines returns the next value of a cookie over all Cookie header lines.
func nextOnLines(lines []string, name string, at *cursor) (string, bool) {
	for at.line < len(lines) {
		value, next := nextCookie(lines[at.line], name, at.at)
		if next >= 0 {
			at.at = next
			return value, true
		}
		at.line++
		at.at = 0
	}
	return "", false
}

// startsPair reports whether only space is between byte i and the semicolon before it.
func startsPair(line string, i int) bool {
	for i > 0 && isSpace(line[i-1]) {
		i--
	}
	return i == 0 || line[i-1] == ';'
}

// cookieText is a value without the space that belongs to the pair, and without quotes.
func cookieText(value string) string {
	for value != "" && isSpace(value[len(value)-1]) {
		value = value[:len(value)-1]
	}
	if len(value) > 1 && value[0] == '"' && value[len(value)-1] == '"' {
		value = value[1 : len(value)-1]
	}
	return value
}

// isPlainCookie reports whether net/http would take the value for a cookie's: printable ASCII
// without quotes and backslashes.
func isPlainCookie(value string) bool {
	for i := 0; i < len(value); i++ {
		if c := value[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
