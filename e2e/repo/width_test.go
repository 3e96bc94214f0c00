package repo

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
)

// maxComment is the width of comments, in characters; a tab counts as one. The linter's lll checks
// that code has at most 120.
const maxComment = 100

var (
	commentLine = map[string]*regexp.Regexp{
		".go":  regexp.MustCompile(`^\s*//[^\s]*\s`),
		".yml": regexp.MustCompile(`^\s*# `),
		".mod": regexp.MustCompile(`^// (?:[^a]|a[^m])`), // not what go mod tidy says of ambiguous imports
		"":     regexp.MustCompile(`^# `),                // Makefile and scripts
	}
	directive = regexp.MustCompile(`^\s*//(go|nolint|yaegi):?`)
	// What a doc comment indents is shown as it is: syntax, tables of URLs.
	preformatted = regexp.MustCompile(`^\s*//\t`)
)

func TestCommentsAreWrapped(t *testing.T) {
	files := 0
	for _, path := range tracked(t) {
		comment, known := commentLine[filepath.Ext(path)]
		if !known || path == "LICENSE" {
			continue
		}
		files++
		for i, line := range strings.Split(read(t, path), "\n") {
			if comment.MatchString(line) && !directive.MatchString(line) && !preformatted.MatchString(line) {
				assert.LessOrEqual(t, utf8.RuneCountInString(line), maxComment, "%s:%d: wrap the comment", path, i+1)
			}
		}
	}
	assert.Greater(t, files, 100)
}
