package caddygray_test

import (
	"fmt"
	"os"
	"path/filepath"
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
		require.NoError(t, os.WriteFile(file+"~", []byte(document), 0o600))
		require.NoError(t, os.Rename(file+"~", file))
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
