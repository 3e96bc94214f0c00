package core

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestCarriedVersion(t *testing.T) {
	for _, c := range []struct {
		lines []string
		want  string
	}{
		{nil, ""},
		{[]string{"gray=v2"}, "v2"},
		{[]string{"a=b", "c=d, gray = v2 ;p=1"}, "v2"},
		{[]string{"gray=v%32"}, "v2"},
		{[]string{"gray=v2,gray=v3"}, "v2"},
		{[]string{"gray=%zz,gray=v3"}, "v3"},
		{[]string{"gray=", "gray=v3"}, ""},
		{[]string{"gray=v2%0d%0aX: y"}, ""},
		{[]string{"gray=" + strings.Repeat("v", 64)}, ""},
		{[]string{"Gray=v2"}, ""},
	} {
		assert.Equal(t, c.want, CarriedVersion(c.lines), "%q", c.lines)
	}
}

func TestCarryVersion(t *testing.T) {
	for _, c := range []struct {
		lines   []string
		version string
		want    string
	}{
		{nil, "v2", "gray=v2"},
		{nil, "", ""},
		{[]string{"gray=v2"}, "", ""},
		{[]string{"a=b;p=q, gray=v1", "c=%20"}, "v2", "a=b;p=q,c=%20,gray=v2"},
		{[]string{"a=b,gray=v1"}, "", "a=b"},
	} {
		assert.Equal(t, c.want, CarryVersion(c.lines, c.version), "%q", c.lines)
	}
}
