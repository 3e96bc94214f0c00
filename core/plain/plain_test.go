package plain

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// wide is an ASCII text in UTF-16, little-endian.
func wide(text string) string { return strings.Join(strings.Split(text, ""), "\x00") + "\x00" }

func TestText(t *testing.T) {
	for _, c := range []struct {
		text, want    string
		isText, isKey bool
	}{
		{"", "", true, true},
		{"{", "{", true, true},
		{`{"a": "ü"}`, `{"a": "ü"}`, true, true},
		{"\xef\xbb\xbf{}", "{}", true, true},
		{"\xef\xbb\xbf", "", true, true},
		{"\xef\xbb\xbf\xef\xbb\xbf{}", "\xef\xbb\xbf{}", true, true}, // the second is a character
		{"\xff\xfe" + wide("{}"), "", false, false},
		{"\xfe\xff\x00" + strings.TrimSuffix(wide("{}"), "\x00"), "", false, false},
		{wide("{}"), wide("{}"), false, true},
		{"\x00\x00\xfe\xff\x00\x00\x00{", "\x00\x00\xfe\xff\x00\x00\x00{", false, true},
		{"\xff\xferandom bytes of a key", "\xff\xferandom bytes of a key", false, true},
		{"r\x00ndom", "r\x00ndom", false, true},
	} {
		got, err := Text([]byte(c.text))
		assert.Equal(t, c.isText, err == nil, "%q", c.text)
		if c.isText {
			assert.Equal(t, c.want, string(got))
		}
		got, err = Key([]byte(c.text))
		assert.Equal(t, c.isKey, err == nil, "%q", c.text)
		if c.isKey {
			assert.Equal(t, c.want, string(got))
		}
	}
	_, err := Text([]byte("\xff\xfe"))
	assert.ErrorContains(t, err, "save it as UTF-8")
}
