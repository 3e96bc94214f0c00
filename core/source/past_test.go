package source

import (
	"cmp"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// A store that was restored from a backup is told from one that is behind, as far as it can be.
func TestPast(t *testing.T) {
	// found, at which revision of the store; 0 is that there is no such key. wrote is told by a watch.
	// Each value is its revision's, but for those with a text.
	type event struct {
		found, now, wrote int64
		text              string
	}
	for _, c := range []struct {
		name      string
		events    []event
		isWritten bool // the last one was written after the one before was read
	}{
		{"a write", []event{{5, 9, 0, ""}, {0, 0, 12, ""}}, true},
		{"a write while the watch was away", []event{{5, 9, 0, ""}, {12, 13, 0, ""}}, true},
		{"a server that is behind", []event{{5, 9, 0, ""}, {0, 0, 12, ""}, {5, 9, 0, ""}}, false},
		{"a restored store", []event{{5, 9, 0, ""}, {0, 0, 12, ""}, {0, 0, 14, ""}, {12, 13, 0, ""}}, false},
		{"written after it was restored", []event{{5, 9, 0, ""}, {0, 0, 12, ""}, {0, 0, 14, ""}, {12, 13, 0, ""}, {0, 0, 14, ""}}, true},
		{"restored and written while the watch was away", []event{{5, 9, 0, ""}, {0, 0, 12, ""}, {0, 0, 14, ""}, {13, 13, 0, ""}}, true},
		{"the same before the watch began, since nothing was written then", []event{{5, 9, 0, ""}, {0, 0, 12, ""}, {7, 7, 0, ""}}, true},
		{"older than what is known", []event{{5, 9, 0, ""}, {0, 0, 12, ""}, {4, 20, 0, ""}}, false},
		{"another value at a revision that was written", []event{{5, 9, 0, ""}, {0, 0, 10, ""}, {0, 0, 11, ""}, {10, 10, 0, "other"}}, true},
		{"the same value at a revision that was written", []event{{5, 9, 0, ""}, {0, 0, 10, ""}, {0, 0, 11, ""}, {10, 10, 0, ""}}, false},
		{"restored twice, to before what is known since", []event{{5, 9, 0, ""}, {0, 0, 12, ""}, {7, 7, 0, ""}, {0, 0, 8, ""}, {6, 6, 0, ""}}, false},
		{"restored twice, an old copy the second time", []event{{5, 9, 0, ""}, {0, 0, 12, ""}, {7, 7, 0, ""}, {0, 0, 8, ""}, {7, 7, 0, ""}}, false},
		{"written again after that", []event{{5, 9, 0, ""}, {0, 0, 12, ""}, {7, 7, 0, ""}, {0, 0, 8, ""}, {7, 7, 0, ""}, {8, 8, 0, ""}}, true},
		{"a key that is new", []event{{0, 9, 0, ""}, {12, 12, 0, ""}}, true},
		{"restored to before the key was there, and written", []event{{0, 9, 0, ""}, {0, 0, 12, ""}, {0, 7, 0, ""}, {8, 8, 0, ""}}, true},
		{"deleted, and written again", []event{{5, 9, 0, ""}, {0, 12, 0, ""}, {13, 13, 0, ""}}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPast()
			var order, before int64
			for _, e := range c.events {
				before = order
				value := []byte(cmp.Or(e.text, fmt.Sprint(e.found+e.wrote)))
				switch {
				case e.wrote > 0:
					p.wrote(e.wrote, value)
					order = p.order(e.wrote)
				case e.found > 0:
					p.found(e.found, value, e.now)
					order = p.order(e.found)
				default:
					p.missed(e.now)
					order = 0
				}
			}
			require.Equal(t, c.isWritten, order > before)
		})
	}
}

func TestPastIsBounded(t *testing.T) {
	p := newPast()
	p.found(1, nil, 1)
	for revision := int64(2); revision < 3*maxWrites; revision++ {
		p.wrote(revision, nil)
		require.LessOrEqual(t, len(p.writes), maxWrites)
		require.Equal(t, revision, p.order(revision))
	}
}
