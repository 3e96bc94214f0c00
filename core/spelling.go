package core

import (
	"net/http"
	"sort"
	"strings"
)

// maxSeparators bounds how many spellings a header's name has: one less than 2 to that power.
const maxSeparators = 6

var defaultSpellings = headerSpellings(DefaultHeader)

func separators(name string) int { return strings.Count(name, "-") + strings.Count(name, "_") }

// headerSpellings returns the other canonical names that become the same as a header's where - and
// _ are one (RFC 3875, section 4.1.18), sorted.
func headerSpellings(name string) []string {
	n := separators(name)
	spellings := make([]string, 0, 1<<uint(n)-1)
	for choice := 0; choice < 1<<uint(n); choice++ {
		spelling := []byte(name)
		rest := choice
		for i := range spelling {
			if spelling[i] != '-' && spelling[i] != '_' {
				continue
			}
			spelling[i] = '-'
			if rest&1 == 1 {
				spelling[i] = '_'
			}
			rest >>= 1
		}
		if s := http.CanonicalHeaderKey(string(spelling)); s != name {
			spellings = append(spellings, s)
		}
	}
	sort.Strings(spellings)
	return spellings
}
