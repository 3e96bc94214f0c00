package core

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestHeaderSpellings(t *testing.T) {
	for name, want := range map[string][]string{
		"X-Gray-Version": {"X-Gray_version", "X_gray-Version", "X_gray_version"},
		"X_gray":         {"X-Gray"},
		"Gray":           {},
	} {
		assert.Equal(t, want, headerSpellings(name), name)
	}
	assert.Len(t, headerSpellings("A-B-C-D-E-F-G"), 63)
	_, err := Load([]byte(`{"service": "shop", "stable": "v1", "versions": {"v1": {}}, "header": "A-B-C-D-E-F-G-H"}`))
	require.Error(t, err)
	assert.Contains(t, err.Error(), `header: "A-B-C-D-E-F-G-H" has more than 6 dashes and underscores`)
}

// CGI, WSGI and PHP see HTTP_X_GRAY_VERSION for each of them.
func TestUnderscoresDoNotReachTheService(t *testing.T) {
	sent := []string{"X_Gray_Version: v2", "X-Gray_Version: v2", "x_gray-version: v2", "X_Other: 1"}
	want := http.Header{"X-Gray-Version": {"v1"}, "X_other": {"1"}}
	for _, policy := range []string{"", `"enabled": false`, betaRule} {
		passed, _ := serve(engineFor(t, policy), request("/", sent...))
		assert.Equal(t, want, passed, policy)
	}
	r := request("/", sent...)
	PassNothing(r)
	assert.Equal(t, http.Header{"X_other": {"1"}}, r.Header)
}
