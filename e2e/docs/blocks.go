// Package docs runs what README.md and docs show: each block of configuration, code and commands,
// as it is written.
package docs

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

const root = "../.."

// block is a fenced block of a document.
type block struct {
	file     string // relative to the root
	line     int    // of its first line
	language string // "" if the fence names none
	text     string
}

// String says where the block is.
func (b block) String() string { return fmt.Sprintf("%s:%d (%s)", b.file, b.line, b.language) }

// begins reports whether the block begins with a text.
func (b block) begins(text string) bool { return strings.HasPrefix(b.text, text) }

var fence = regexp.MustCompile("^```([a-z]*)$")

// blocks returns the blocks of all documents. A fence that is not closed, or not at the start of
// its line, is an error.
func blocks() ([]block, error) {
	paths, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		return nil, err
	}
	var all []block
	for _, path := range append([]string{filepath.Join(root, "README.md")}, paths...) {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return nil, err
		}
		of, err := blocksOf(filepath.ToSlash(name), string(text))
		if err != nil {
			return nil, err
		}
		all = append(all, of...)
	}
	return all, nil
}

func blocksOf(file, text string) ([]block, error) {
	var all []block
	var open *block
	for i, line := range strings.Split(text, "\n") {
		m := fence.FindStringSubmatch(line)
		switch {
		case m == nil && strings.HasPrefix(strings.TrimSpace(line), "```"):
			return nil, fmt.Errorf("%s:%d: not a fence: %q", file, i+1, line)
		case m != nil && open == nil:
			open = &block{file: file, line: i + 2, language: m[1]}
		case m != nil && m[1] != "":
			return nil, fmt.Errorf("%s:%d: a fence within a fence", file, i+1)
		case m != nil:
			all = append(all, *open)
			open = nil
		case open != nil:
			open.text += line + "\n"
		}
	}
	if open != nil {
		return nil, fmt.Errorf("%s:%d: the block does not end", file, open.line)
	}
	return all, nil
}
