package core

import (
	"strings"
	"unicode/utf8"

	"github.com/grayrelease/gray/core/problem"
)

// word is a piece of a condition or identity line: its text without quotes, and the byte where it
// starts.
type word struct {
	text   string
	at     int
	quoted bool
}

// isEnd reports whether the line ends where a word was looked for.
func (w word) isEnd() bool { return w.text == "" && !w.quoted }

// lineError is a problem in a condition or identity line, at a byte of it.
type lineError struct {
	at      int
	message string
}

// problem places the error in the document.
func (e *lineError) problem(path, line string) problem.Problem {
	return problem.Problem{Path: path, Column: utf8.RuneCountInString(line[:e.at]) + 1, Message: e.message}
}

// nextWord reads the word that starts at or after byte `at`, and returns the byte where it ends. At
// the end of the line the word is empty.
func nextWord(line string, at int) (word, int, *lineError) {
	at = skipSpace(line, at)
	if at < len(line) && line[at] == '"' {
		return quotedWord(line, at)
	}
	end := at
	for end < len(line) && !isSpace(line[end]) {
		end++
	}
	return word{text: line[at:end], at: at}, end, nil
}

// quotedWord reads the quoted string that starts at byte `at`: \" and \\ are escapes, any other
// backslash is itself.
func quotedWord(line string, at int) (word, int, *lineError) {
	var text []byte
	for i := at + 1; i < len(line); i++ {
		c := line[i]
		if c == '"' {
			return word{text: string(text), at: at, quoted: true}, i + 1, nil
		}
		if c == '\\' && i+1 < len(line) && (line[i+1] == '"' || line[i+1] == '\\') {
			i++
			c = line[i]
		}
		text = append(text, c)
	}
	return word{}, at, &lineError{at, "the quoted text does not end (a \" is missing)"}
}

// skipSpace returns the byte at or after `at` that is not space.
func skipSpace(line string, at int) int {
	for at < len(line) && isSpace(line[at]) {
		at++
	}
	return at
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' }

// isToken reports whether s can be the name of a header (RFC 9110, section 5.6.2).
func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		isLetter := c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
		if !isLetter && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}

func indexOf(words []string, word string) int {
	for i, w := range words {
		if w == word {
			return i
		}
	}
	return -1
}
