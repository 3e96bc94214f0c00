// Package problem describes what is wrong with a configuration: where, what, and which word was
// probably meant. A package that reads a part of one returns a List with paths relative to that
// part. Its caller adds the path of the part by Under.
package problem

import (
	"fmt"
	"strconv"
	"strings"
)

// Problem is one thing that is wrong.
type Problem struct {
	// Path is the place, such as "rules[2].when[0]", relative to what was read; "" is all of it.
	Path string
	// Column counts the characters of the text at Path, from 1; 0 means the whole value.
	Column int
	// Message says what is wrong and, where one is near, which word was probably meant.
	Message string
}

// String returns the problem as people read it:
//
//	rules[2].when[0]: column 8: unknown operator "prefx" (did you mean "prefix"?)
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

// List is an error with everything that is wrong, in the order of the configuration's parts.
type List []Problem

// Error returns one problem per line.
func (l List) Error() string {
	lines := make([]string, 0, len(l))
	for _, p := range l {
		lines = append(lines, p.String())
	}
	return strings.Join(lines, "\n")
}

// Under returns the problems with their paths below another path: "depth" under "ipStrategy" is
// "ipStrategy.depth", "[0]" is "ipStrategy[0]".
func (l List) Under(path string) List {
	moved := make(List, 0, len(l))
	for _, p := range l {
		p.Path = join(path, p.Path)
		moved = append(moved, p)
	}
	return moved
}

// Err returns the list as an error, or nil if it is empty.
func (l List) Err() error {
	if len(l) == 0 {
		return nil
	}
	return l
}

// Of returns the problems of an error. For a List they are its own, for any other error one problem
// with the error's text and no path, and for nil none.
func Of(err error) List {
	if err == nil {
		return nil
	}
	if l, ok := err.(List); ok { // errors.As does not find types that Yaegi interprets
		return l
	}
	return List{{Message: err.Error()}}
}

// New returns a list with one problem.
func New(path, format string, args ...any) List {
	return List{{Path: path, Message: fmt.Sprintf(format, args...)}}
}

func join(path, rest string) string {
	if path == "" || rest == "" || rest[0] == '[' {
		return path + rest
	}
	return path + "." + rest
}

// Field returns the path of a field, such as versions.v2. A key that would be misread in a path is
// quoted.
func Field(path, key string) string {
	if strings.ContainsAny(key, ".[] \"\n\r\t") || key == "" || len(key) > 60 {
		return path + "[" + Quote(key) + "]"
	}
	return join(path, key)
}

// Index returns the path of an element, such as rules[2].
func Index(path string, i int) string {
	return path + "[" + strconv.Itoa(i) + "]"
}

// Quote returns untrusted text for a message: quoted, escaped and cut to a readable length.
func Quote(s string) string {
	const most = 60
	if len(s) > most {
		return strconv.Quote(s[:most]) + "..."
	}
	return strconv.Quote(s)
}
