package core

// Suggest is ` (did you mean "prefix"?)` when one of the words is near enough to what was written, else "". For hosts that refuse a
// word of their own configuration.
func Suggest(written string, words []string) string {
	return didYouMean(written, words)
}
