package jwt

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParsePath(t *testing.T) {
	for text, want := range map[string]Path{
		"sub": "sub", "org.plan": "org/plan", "/org/plan": "org/plan", "/a.b": "a.b", "a/b": "a~1b", "a~b": "a~0b",
		"/a~1b": "a~1b", "/": "", "/a//b": "a//b", "groups.0": "groups/0",
	} {
		got, err := ParsePath(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for text, want := range map[string]string{
		"":                             "the path of a claim is missing",
		".":                            `name 1 in "." is empty (a name with dots is written as a JSON pointer, /a.b)`,
		"a..b":                         `name 2 in "a..b" is empty (a name with dots is written as a JSON pointer, /a.b)`,
		"/a~b":                         `in a JSON pointer "~" is written ~0 and "/" ~1, found "a~b"`,
		"/a~01~":                       `in a JSON pointer "~" is written ~0 and "/" ~1, found "a~01~"`,
		strings.Repeat("a.", 32) + "a": "a claim's path has at most 32 names, this has 33",
	} {
		_, err := ParsePath(text)
		require.EqualError(t, err, want, text)
	}
}
