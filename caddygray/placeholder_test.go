package caddygray_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Conditions and identities read what other modules of Caddy know.
func TestPlaceholdersAsAttributes(t *testing.T) {
	address := freeAddress(t)
	startCaddyfile(t, "http://"+address+` {
	route {
		vars user {http.request.header.X-V}
		gray known {
			stable v1
			version v1
			version v2
			identity {http.vars.user}, ip
			rule ann v2 {
				when {http.vars.user} prefix an
			}
		}
		respond "{http.gray.version} {http.gray.identity}"
	}
}
`)
	require.Equal(t, "v2 ann", get(t, "http://"+address, "ann").body)
	require.Equal(t, "v1 bob", get(t, "http://"+address, "bob").body)
	require.Equal(t, "v1 127.0.0.1", get(t, "http://"+address, "").body)
}

// A followed document may read what a request says, and nothing of the machine.
func TestPlaceholdersInFollowedDocuments(t *testing.T) {
	t.Setenv("GRAY_TEST_SECRET", "s3cret")
	file := filepath.Join(t.TempDir(), "policy.json")
	write := func(attribute string) {
		t.Helper()
		document := `{"service": "known", "stable": "v1", "versions": {"v1": {}, "v2": {}},
			"rules": [{"version": "v2", "when": ["` + attribute + ` exists"]}]}`
		replaceFile(t, file, document)
	}
	write("{http.request.remote.host}")
	address := freeAddress(t)
	logged := startLogging(t, fmt.Sprintf("http://%s {\ngray known {\nsource file://%s?interval=10ms\ncache %s\n}\n"+
		"respond {http.gray.version}\n}\n", address, file, t.TempDir()))
	require.Eventually(t, func() bool { return get(t, "http://"+address, "").body == "v2" },
		10*time.Second, 5*time.Millisecond)
	write("{env.GRAY_TEST_SECRET}")
	require.Eventually(t, func() bool { return len(logged("says nothing about the request")) == 1 },
		10*time.Second, 5*time.Millisecond)
	require.Empty(t, logged("s3cret"))
	require.Equal(t, "v2", get(t, "http://"+address, "").body)
}

// The site that the documentation shows for placeholders: who has logged in decides.
func TestDocumentedPlaceholders(t *testing.T) {
	text, err := os.ReadFile("../docs/caddy.md")
	require.NoError(t, err)
	_, block, found := strings.Cut(string(text), "\n```caddyfile\nroute {\n\tbasic_auth")
	require.True(t, found)
	block, _, _ = strings.Cut("route {\n\tbasic_auth"+block, "\n```")
	// The same password, hashed at a cost for tests.
	block = regexp.MustCompile(`ann \$\S+`).ReplaceAllLiteralString(block,
		"ann $2a$04$jHRtRWdXUavt.Zuq0DmEiOVUv6Kefmfz8RJYEW1tydXJOd5teF8Sq")
	url := site(t, strings.NewReplacer("10.0.0.1:8080", says(t, "one"), "10.0.1.1:8080", says(t, "two"),
		`{http.request.tls.client.subject} contains "O=Partner, Inc"`, "{http.auth.user.id} prefix an").Replace(block))
	r, err := http.NewRequest(http.MethodGet, url, nil)
	require.NoError(t, err)
	r.SetBasicAuth("ann", "hiccup")
	res, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, "two told v2", string(body), res.Status)
}
