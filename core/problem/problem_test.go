package problem

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestString(t *testing.T) {
	for want, p := range map[string]Problem{
		"no JSON":                               {Message: "no JSON"},
		"stable: required":                      {Path: "stable", Message: "required"},
		"rules[2].when[0]: column 8: no such x": {Path: "rules[2].when[0]", Column: 8, Message: "no such x"},
	} {
		assert.Equal(t, want, p.String())
	}
	assert.Equal(t, "a: 1\nb: 2", List{{Path: "a", Message: "1"}, {Path: "b", Message: "2"}}.Error())
}

func TestUnder(t *testing.T) {
	given := List{{Path: "depth", Message: "x"}, {Path: "[0]", Message: "y"}, {Path: `["a.b"].c`, Message: "q"},
		{Column: 3, Message: "z"}}
	assert.Equal(t, "at.depth: x\nat[0]: y\nat[\"a.b\"].c: q\nat: column 3: z", given.Under("at").Error())
	assert.Equal(t, given, given.Under(""))
	assert.Equal(t, "depth", given[0].Path, "the list itself stays as it was")
}

func TestOf(t *testing.T) {
	assert.Empty(t, Of(nil))
	assert.NoError(t, List{}.Err())
	l := New("a", "is %d", 1)
	assert.Equal(t, l, Of(l.Err()))
	assert.Equal(t, List{{Message: "broken"}}, Of(errors.New("broken")))
}

func TestPaths(t *testing.T) {
	assert.Equal(t, "versions.v2", Field("versions", "v2"))
	assert.Equal(t, "stable", Field("", "stable"))
	assert.Equal(t, `versions["a.b"]`, Field("versions", "a.b"))
	assert.Equal(t, `versions[""]`, Field("versions", ""))
	assert.Equal(t, "rules[2]", Index("rules", 2))
	assert.Equal(t, `"a\n"`, Quote("a\n"))
	assert.Equal(t, `"`+strings.Repeat("x", 60)+`"...`, Quote(strings.Repeat("x", 100)))
}

func TestSuggestOnlyWhatIsNear(t *testing.T) {
	for written, want := range map[string]string{
		"prefx": `did you mean "prefix"`, "cokie": `did you mean "cookie"`, "ni": `did you mean "in"`,
		"v9": "one of", "v22": "one of", "HS265": `did you mean "HS256"`, "xyz": "one of", "io": "one of",
		"V1": `did you mean "v1"`,
	} {
		said := OneOf(written, []string{"prefix", "cookie", "in", "v1", "v2", "HS256"})
		assert.Contains(t, said, want, written)
	}
	assert.Equal(t, " (one of v1, v2)", OneOf("v9", []string{"v1", "v2"}))
	assert.Equal(t, " (only v2)", OneOf("v1", []string{"v2"}))
	assert.Empty(t, OneOf("v9", nil))
}
