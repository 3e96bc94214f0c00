package core

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParsePolicy(t *testing.T) {
	p, err := ParsePolicy([]byte(`{
		"service": "shop", "enabled": false, "stable": "v1",
		"versions": {"v1": {"upstreams": ["http://10.0.0.1:8080"]}, "v2": {"discover": "consul://127.0.0.1:8500/shop?tag=v2"}, "v3": {}},
		"identity": ["cookie uid", "ip"], "anonymous": "cookie", "cookie": {"name": "who", "lifetime": "1h"},
		"rules": [{"name": "ramp", "version": "v2", "when": ["method = GET"], "percent": 0.5, "salt": "s"}, {"version": "v3"}],
		"lists": {"vip": ["a", "", "ü\u0041"], "none": [], "null": null},
		"header": "X-V", "trust": ["10.0.0.0/8"]
	}`))
	require.NoError(t, err)
	half, off := 0.5, false
	assert.Equal(t, &Policy{
		Service: "shop", Enabled: &off, Stable: "v1",
		Versions: map[string]Version{"v1": {Upstreams: []string{"http://10.0.0.1:8080"}}, "v2": {Discover: "consul://127.0.0.1:8500/shop?tag=v2"}, "v3": {}},
		Identity: []string{"cookie uid", "ip"}, Anonymous: "cookie", Cookie: Cookie{Name: "who", Lifetime: "1h"},
		Rules: []Rule{{Name: "ramp", Version: "v2", When: []string{"method = GET"}, Percent: &half, Salt: "s"}, {Version: "v3"}},
		Lists: map[string][]string{"vip": {"a", "", "üA"}, "none": {}, "null": nil}, Header: "X-V", Trust: []string{"10.0.0.0/8"},
	}, p)
}

func TestListsThatDoNotFit(t *testing.T) {
	for list, want := range map[string][]string{
		`["a", null, 2, true, {"x": [1]}, ["y"], "b"]`: {
			"lists.l[2]: must be a string, is 2", "lists.l[3]: must be a string, is true",
			"lists.l[4]: must be a string, is an object", "lists.l[5]: must be a string, is an array",
		},
		`"a, b"`:   {`lists.l: must be an array, is the string "a, b"`},
		`{"a": 1}`: {`lists.l: must be an array, is an object`},
		`7`:        {`lists.l: must be an array, is 7`},
	} {
		_, err := ParsePolicy([]byte(`{"lists": {"l": ` + list + `}}`))
		require.Error(t, err, list)
		assert.Equal(t, strings.Join(want, "\n"), err.Error(), list)
	}
}

// Where the JSON itself is broken, the place is told.
func TestBrokenJSON(t *testing.T) {
	for document, want := range map[string]string{
		"":                                   "not valid JSON at line 1, column 1: unexpected end of JSON input",
		"{\n \"service\": shop}":             "not valid JSON at line 2, column 13: invalid character 's' looking for beginning of value",
		"{\"service\": \"shop\"":             "not valid JSON at line 1, column 18: unexpected end of JSON input",
		"{} {}":                              "not valid JSON at line 1, column 4: invalid character '{' after top-level value",
		"{\"lists\": {\n\"a\": [\n\"b\", c]": "not valid JSON at line 3, column 6: invalid character 'c' looking for beginning of value",
	} {
		_, err := ParsePolicy([]byte(document))
		require.Error(t, err, document)
		assert.Equal(t, want, err.Error(), document)
	}
}

// A document never costs more than its length asks for, whatever it holds.
func TestNearestWordsAreCheap(t *testing.T) {
	long := strings.Repeat("v", 1<<20)
	_, err := Load([]byte(`{"service": "shop", "stable": "` + long + `w", "versions": {"` + long + `": {}}}`))
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "did you mean")
	assert.Less(t, len(err.Error()), 1000)
}
