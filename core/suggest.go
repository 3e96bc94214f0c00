package core

import "github.com/grayrelease/gray/core/internal/words"

// Suggest is ` (did you mean "prefix"?)` when one of the words is near enough to what was written, else "". For hosts that refuse a
// word of their own configuration.
func Suggest(written string, known []string) string {
	return words.Suggest(written, known)
}
