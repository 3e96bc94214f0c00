package live

import (
	"fmt"
	"strings"
	"time"
)

// Bounds of the journal: entries, and bytes of one entry's text.
const (
	maxEntries   = 64
	maxEntryText = 512
)

// Entry is something that happened to a policy.
type Entry struct {
	At   time.Time `json:"at"`
	Text string    `json:"text"`
}

// journal holds the newest entries.
type journal struct{ entries []Entry }

// add notes a log line: its text, and its pairs of key and value.
func (j *journal) add(at time.Time, text string, pairs []any) {
	var b strings.Builder
	b.WriteString(text)
	for i := 0; i+1 < len(pairs); i += 2 {
		fmt.Fprintf(&b, " %v=%q", pairs[i], fmt.Sprint(pairs[i+1]))
	}
	line := b.String()
	if len(line) > maxEntryText {
		line = strings.ToValidUTF8(line[:maxEntryText], "") + "..."
	}
	if len(j.entries) == maxEntries {
		j.entries = j.entries[1:]
	}
	j.entries = append(j.entries, Entry{at, line})
}

// list returns a copy, the oldest first.
func (j *journal) list() []Entry { return append([]Entry(nil), j.entries...) }
