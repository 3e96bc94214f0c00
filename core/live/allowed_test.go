package live

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Whoever may write the document may route traffic, and no more.
func TestFollowedDocumentsReadAndAskWhatIsAllowed(t *testing.T) {
	t.Setenv("GRAY_TEST_SECRET", "s3cret")
	var asked atomic.Int64
	registry := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer registry.Close()
	host := registry.Listener.Addr().String()
	document := func(version string) string {
		return `{"service": "shop", "stable": "v1", "versions": {"v1": {}, "v2": ` + version + `}}`
	}
	leak := document(`{"discover": "consul://` + host + `/${GRAY_TEST_SECRET}?token=${GRAY_TEST_SECRET}"}`)
	for _, c := range []struct {
		name, document string
		source         Source
		want           string // "" is in force
	}{
		{"variable", leak, Source{}, "versions.v2.discover: path: ${GRAY_TEST_SECRET} is not allowed here"},
		{"variable of another name", leak, Source{AllowEnv: []string{"GRAY_TEST"}}, "versions.v2.discover: "},
		{"variable that is allowed", leak, Source{AllowEnv: []string{"GRAY_TEST_SECRET"}}, ""},
		{"placeholder", document(`{"discover": "consul://{env.HOME}/shop"}`), Source{},
			"versions.v2.discover: placeholders in braces"},
		{"placeholder in an upstream", document(`{"upstreams": ["{file./etc/passwd}:80"]}`), Source{},
			"versions.v2.upstreams[0]: placeholders in braces"},
		{"TLS file", document(`{"discover": "consul://h/shop?tls=true&ca_file=/etc/shadow"}`), Source{},
			"option ca_file: the file is not allowed here"},
		{"metadata", document(`{"discover": "consul://169.254.169.254:80/shop"}`), Source{},
			"versions.v2.discover: 169.254.169.254 may not be asked"},
		{"metadata that is listed", document(`{"discover": "consul://169.254.169.254:80/shop"}`),
			Source{AllowHosts: []string{"169.254.0.0/16"}}, ""},
		{"host", document(`{"discover": "consul://` + host + `/shop"}`), Source{AllowHosts: []string{"*.example.com"}},
			"versions.v2.discover: 127.0.0.1 may not be asked"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "policy.json")
			putDocument(t, path, c.document)
			c.source.URL = "file://" + path
			before := asked.Load()
			h, err := Open(Options{Source: &c.source})
			require.NoError(t, err)
			defer h.Close()
			if c.want == "" {
				<-h.Ready()
				return
			}
			eventually(t, "the document is refused", func() bool { return h.State().Rejected != nil })
			refused := h.State().Rejected.Error
			assert.Contains(t, refused, c.want)
			assert.NotContains(t, refused, "s3cret")
			assert.Equal(t, before, asked.Load())
		})
	}
	_, err := Open(Options{Source: &Source{URL: "file:///p.json", AllowFiles: []string{"keys"}}})
	require.EqualError(t, err, `source.allow_files: "keys" is not an absolute path`)
}
