// Package plain reads texts as editors and shells save them: with a byte order mark before UTF-8,
// or in an encoding that nothing here reads.
package plain

import (
	"bytes"
	"errors"
	"strings"
)

// Marks that editors put before a text to tell its encoding.
const (
	markUTF8    = "\xef\xbb\xbf"
	markUTF16LE = "\xff\xfe"
	markUTF16BE = "\xfe\xff"
)

var errEncoding = errors.New("it is in UTF-16 or UTF-32: save it as UTF-8 " +
	"(in Windows PowerShell `... | Set-Content -Encoding utf8 FILE` in place of `> FILE`)")

// Text returns a text without the byte order mark that some editors begin it with. UTF-16 and
// UTF-32 are refused: ">" writes UTF-16 in Windows PowerShell.
func Text(text []byte) ([]byte, error) {
	if len(text) > 1 && (text[0] == 0 || text[1] == 0) {
		return nil, errEncoding
	}
	if start := beginning(text); strings.HasPrefix(start, markUTF16LE) || strings.HasPrefix(start, markUTF16BE) {
		return nil, errEncoding
	}
	return bytes.TrimPrefix(text, []byte(markUTF8)), nil
}

// Key is Text for what may be random bytes: only what can be nothing but UTF-16 is refused.
func Key(text []byte) ([]byte, error) {
	start := beginning(text)
	isMarked := strings.HasPrefix(start, markUTF16LE) || strings.HasPrefix(start, markUTF16BE)
	if isMarked && bytes.Count(text, []byte{0}) >= len(text)/2-1 {
		return nil, errEncoding
	}
	return bytes.TrimPrefix(text, []byte(markUTF8)), nil
}

func beginning(text []byte) string {
	if len(text) > len(markUTF8) {
		text = text[:len(markUTF8)]
	}
	return string(text)
}
