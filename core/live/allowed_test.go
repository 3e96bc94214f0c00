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
		{"placeholder as a secret", `{"service": "shop", "stable": "v1", "versions": {"v1": {}},
			"cookie": {"secret": "{env.GRAY_TEST_SECRET} and more than 32 bytes"}}`, Source{}, "cookie.secret: placeholders in braces"},
		{"placeholder as a tester's secret", `{"service": "shop", "stable": "v1", "versions": {"v1": {}},
			"tester": {"secret": "{file./etc/gray/secret} and more than 32 bytes"}}`, Source{}, "tester.secret: placeholders in braces"},
		{"variable as a key", `{"service": "shop", "stable": "v1", "versions": {"v1": {}},
			"jwt": {"secret": "${GRAY_TEST_SECRET} and more than 32 bytes"}}`, Source{}, "jwt.secret: placeholders in braces"},
		{"TLS file", document(`{"discover": "consul://h/shop?tls=true&ca_file=/etc/shadow"}`), Source{},
			"option ca_file: the file is not allowed here"},
		{"metadata", document(`{"discover": "consul://169.254.169.254:80/shop"}`), Source{},
			"versions.v2.discover: 169.254.169.254 may not be asked"},
		{"metadata that is listed", document(`{"discover": "consul://169.254.169.254:80/shop"}`),
			Source{AllowHosts: []string{"169.254.0.0/16"}}, ""},
		{"metadata, spelled oddly", document(`{"discover": "consul://0xa9fea9fe:80/shop"}`), Source{},
			"versions.v2.discover: 0xa9fea9fe may not be asked"},
		{"metadata as an upstream", document(`{"upstreams": ["10.0.0.1:80", "http://169.254.169.254"]}`), Source{},
			"versions.v2.upstreams[1]: 169.254.169.254 may not be asked"},
		{"metadata as an upstream with a weight", document(`{"upstreams": ["[::ffff:a9fe:a9fe]:80 weight=3"]}`), Source{},
			"versions.v2.upstreams[0]: ::ffff:a9fe:a9fe may not be asked"},
		{"metadata as an upstream that is listed", document(`{"upstreams": ["2852039166:80"]}`),
			Source{AllowHosts: []string{"169.254.169.254"}}, ""},
		{"upstream elsewhere than what may be asked", document(`{"upstreams": ["10.0.0.1:80"]}`),
			Source{AllowHosts: []string{"*.example.com"}}, ""},
		{"socket as an upstream", document(`{"upstreams": ["unix//var/run/docker.sock"]}`), Source{},
			"versions.v2.upstreams[0]: the file is not allowed here"},
		{"socket as an upstream, in HTTP/2", document(`{"upstreams": ["unix+h2c//run/shop/../docker.sock"]}`),
			Source{AllowFiles: []string{"/run/shop"}}, "versions.v2.upstreams[0]: the file is not allowed here"},
		{"socket as an upstream that is allowed", document(`{"upstreams": ["unix//run/shop/v2.sock"]}`),
			Source{AllowFiles: []string{"/run/shop"}}, ""},
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

// Whoever may write a document may name a registry of their own. It lists upstreams, and no more.
func TestRegistriesListNoMetadataServices(t *testing.T) {
	registry := newFakeConsul(t)
	registry.list("one", "169.254.169.254", "10.0.0.1", "2852039166", "fe80::1", "::ffff:a9fe:a9fe", "metadata")
	path := filepath.Join(t.TempDir(), "p")
	putDocument(t, path, `{"service": "s", "stable": "v1", "versions": {"v1": {"discover": "consul://`+
		registry.Listener.Addr().String()+`/one"}}}`)
	for listed, want := range map[string]int{"127.0.0.1": 1, "169.254.169.254": 4} {
		h, err := Open(Options{Source: &Source{URL: "file://" + path, AllowHosts: []string{"127.0.0.1", listed}}})
		require.NoError(t, err)
		eventually(t, "listed", func() bool { return len(h.Current().Upstreams["v1"]) == want })
		h.Close()
	}
}
