package core

import (
	"strconv"
	"strings"
)

// Problem is one thing that is wrong with a policy document.
type Problem struct {
	// Path names the place in the document, such as "rules[2].when[0]"; empty for the document as a whole.
	Path string
	// Column counts the characters of the text at Path, from 1; 0 where the whole value is meant.
	Column int
	// Message says what is wrong and, where one is near, which word was probably meant.
	Message string
}

// String is the problem as people read it: `rules[2].when[0]: column 8: unknown operator "prefx" (did you mean "prefix"?)`.
func (p Problem) String() string {
	s := p.Message
	if p.Column > 0 {
		s = "column " + strconv.Itoa(p.Column) + ": " + s
	}
	if p.Path != "" {
		s = p.Path + ": " + s
	}
	return s
}

// Problems is the error that refuses a policy: everything that is wrong with it, in document order.
type Problems []Problem

// Error has one problem a line.
func (ps Problems) Error() string {
	lines := make([]string, 0, len(ps))
	for _, p := range ps {
		lines = append(lines, p.String())
	}
	return strings.Join(lines, "\n")
}

// quote shows text from a document or a request in a message: quoted, escaped and cut to a readable length.
func quote(s string) string {
	const most = 60
	if len(s) > most {
		return strconv.Quote(s[:most]) + "..."
	}
	return strconv.Quote(s)
}
