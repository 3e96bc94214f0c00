package manifest

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRead(t *testing.T) {
	objects, err := Read([]byte("\ufeff# a comment\n---\nkind: A\nmetadata: {name: a, uid: x}\n--- # next\n" +
		`{"kind": "List", "items": [{"kind": "B", "apiVersion": "g/v1", "metadata": {"name": "b", "namespace": "n"}}]}` +
		"\n---\n---\nkind: C\nspec: {text: \"--- no separator\"}\r\n---\r\nkind: D\n"))
	require.NoError(t, err)
	var names []string
	for _, o := range objects {
		names = append(names, o.String())
	}
	assert.Equal(t, []string{`A "a"`, `B "n/b"`, `C ""`, `D ""`}, names)
	assert.Equal(t, "g", objects[1].Group())
	assert.JSONEq(t, `{"text": "--- no separator"}`, string(objects[2].Spec))

	for text, message := range map[string]string{
		"a: 1":                         "document 1: not a Kubernetes object",
		"kind: A\nkind: B":             "already set",
		"kind: A\n---\n[":              "document 2",
		"kind: 5":                      "document 1",
		"kind: L\nitems: [{kind: 5}]":  "items[0]",
		strings.Repeat(" ", MaxSize+1): "longer than 8 MiB",
	} {
		_, err := Read([]byte(text))
		assert.ErrorContains(t, err, message)
	}
}

// A document that would grow to billions of values is refused, or stays small.
func TestReadIsBounded(t *testing.T) {
	text := "kind: A\nspec:\n  a: &a [x, x, x, x, x, x, x, x, x, x]\n"
	for c := 'b'; c <= 'k'; c++ {
		previous := string(c - 1)
		text += "  " + string(c) + ": &" + string(c) + " [" + strings.Repeat("*"+previous+", ", 10) + "]\n"
	}
	_, err := Read([]byte(text))
	assert.ErrorContains(t, err, "excessive aliasing")
	_, err = Read([]byte("kind: L\nitems: [" + strings.Repeat("{kind: a},", maxObjects+2) + "]"))
	assert.ErrorContains(t, err, "more than 10000 objects")
}

func TestLabelName(t *testing.T) {
	for text, want := range map[string]string{
		"shop": "shop", "User Service": "user-service", "v1.2": "v1-2", "***": "", "-a-": "a",
		strings.Repeat("a", 70): strings.Repeat("a", 63),
	} {
		assert.Equal(t, want, LabelName(text))
	}
}
