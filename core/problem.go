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

// didYouMean is ` (did you mean "prefix"?)` when one of the words is near enough to what was written, else "". Capitals count little.
func didYouMean(written string, words []string) string {
	// A document can bring many words, long ones, and as many that are not among them; comparing a pair takes the product of lengths.
	const longest, most = 64, 100
	if len(written) > longest || len(words) > most {
		return ""
	}
	near, best := "", len(written)/3+1
	for _, w := range words {
		if len(w) > longest {
			continue
		}
		if d := editDistance(strings.ToLower(written), strings.ToLower(w), best); d <= best && (near == "" || d < best) {
			near, best = w, d
		}
	}
	if near == "" || near == written {
		return ""
	}
	return ` (did you mean "` + near + `"?)`
}

// editDistance is the optimal string alignment distance (insertions, deletions, substitutions and swaps of neighbours),
// or more than limit as soon as that is certain.
func editDistance(a, b string, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit {
		return limit + 1
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d := last[j-1] + cost
			if last[j]+1 < d {
				d = last[j] + 1
			}
			if row[j-1]+1 < d {
				d = row[j-1] + 1
			}
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] && before[j-2]+1 < d {
				d = before[j-2] + 1
			}
			row[j] = d
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

// quote shows text from a document or a request in a message: quoted, escaped and cut to a readable length.
func quote(s string) string {
	const most = 60
	if len(s) > most {
		return strconv.Quote(s[:most]) + "..."
	}
	return strconv.Quote(s)
}
