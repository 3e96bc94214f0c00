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

// wide matches the files whose comments are still to be wrapped. The list only shrinks.
var wide = regexp.MustCompile(
	`^(core/[^/]+\.go|core/(discover|live|source)/|internal/remote/|rollout/store/|traefikgray/|caddygray/handler\.go)`)

var (
	commentLine = map[string]*regexp.Regexp{
		".go":  regexp.MustCompile(`^\s*//[^\s]*\s`),
		".yml": regexp.MustCompile(`^\s*# `),
		".mod": regexp.MustCompile(`^// (?:[^a]|a[^m])`), // not what go mod tidy says of ambiguous imports
		"":     regexp.MustCompile(`^# `),                // Makefile and scripts
	}
	directive = regexp.MustCompile(`^\s*//(go|nolint|yaegi):?`)
)

func TestCommentsAreWrapped(t *testing.T) {
	files := 0
	for _, path := range tracked(t) {
		comment, known := commentLine[filepath.Ext(path)]
		if !known || wide.MatchString(path) || path == "LICENSE" {
			continue
		}
		files++
		for i, line := range strings.Split(read(t, path), "\n") {
			if comment.MatchString(line) && !directive.MatchString(line) {
				assert.LessOrEqual(t, utf8.RuneCountInString(line), maxComment, "%s:%d: wrap the comment", path, i+1)
			}
		}
	}
	assert.Greater(t, files, 100)
}
