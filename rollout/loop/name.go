package loop

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// FileName returns a file's name for any text: what people can read of it, and a hash.
func FileName(text string) string {
	readable := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, text)
	const longest = 60
	if len(readable) > longest {
		readable = readable[:longest]
	}
	sum := sha256.Sum256([]byte(text))
	return readable + "-" + hex.EncodeToString(sum[:6])
}
