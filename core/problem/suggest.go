package problem

import "strings"

// OneOf says which of the words was meant: ` (did you mean "prefix"?)` when one is near to what was
// written, or else all of them, ` (one of a, b, c)` or ` (only a)`. It is "" if they are many and
// none is near.
func OneOf(written string, words []string) string {
	const most, longest = 24, 300
	if near := Suggest(written, words); near != "" {
		return near
	}
	all := ""
	if len(words) <= most {
		all = strings.Join(words, ", ")
	}
	if all == "" || len(all) > longest || strings.ContainsAny(all, "\n\r\t") {
		return ""
	}
	if len(words) == 1 {
		return " (only " + all + ")"
	}
	return " (one of " + all + ")"
}

// Suggest is ` (did you mean "prefix"?)` when one of the words is near to what was written, else
// "". Capitals count little.
func Suggest(written string, words []string) string {
	// A document can bring many words, long ones, and as many that are not among them; comparing a
	// pair takes the product of lengths.
	const longest, most = 64, 100
	if len(written) > longest || len(words) > most {
		return ""
	}
	near, best := "", len(written)/3+1
	if len(written) == 3 {
		best = 1
	}
	for _, w := range words {
		if len(w) > longest || isOther(written, w) {
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

// isOther reports whether two texts name different things, however few letters differ: v9 and v1,
// or two words of two letters that are not a swap.
func isOther(a, b string) bool {
	const digits = "0123456789"
	if withoutAny(a, digits) == withoutAny(b, digits) && !isAnagram(a, b) {
		return true
	}
	return len(a) <= 2 && len(a) == len(b) && !isAnagram(strings.ToLower(a), strings.ToLower(b))
}

func withoutAny(text, bytes string) string {
	var rest []byte
	for i := 0; i < len(text); i++ {
		if strings.IndexByte(bytes, text[i]) < 0 {
			rest = append(rest, text[i])
		}
	}
	return string(rest)
}

func isAnagram(a, b string) bool {
	for i := 0; i < len(a); i++ {
		at := strings.IndexByte(b, a[i])
		if at < 0 {
			return false
		}
		b = b[:at] + b[at+1:]
	}
	return b == ""
}

// editDistance is the optimal string alignment distance (insertions, deletions, substitutions and
// swaps of neighbours), or more than limit as soon as that is certain.
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
