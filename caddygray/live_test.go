package caddygray_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestSource changes a followed file and its switch under a running Caddy, whose admin API reports
// the state.
func TestSource(t *testing.T) {
	backend := func(name string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, name) }))
		t.Cleanup(s.Close)
		return s.URL
	}
	stable, canary := backend("stable"), backend("canary")
	document := fmt.Sprintf(`{"service": "followed", "stable": "v1",
		"versions": {"v1": {"upstreams": [%q]}, "v2": {"upstreams": [%q]}},
		"rules": [{"name": "all", "version": "v2"}]}`, stable, canary)
	folder := t.TempDir()
	file := filepath.Join(folder, "followed.json")
	address, admin := freeAddress(t), freeAddress(t)
	load(t, adapt(t, fmt.Sprintf(`{
	admin %s
	persist_config off
	grace_period 1ns
	log {
		level FATAL
	}
}
http://%s {
	gray followed {
		stable v1
		version v1 %s
		source file://%s
		cache %s
	}
	reverse_proxy {
		dynamic gray
	}
}
`, admin, address, stable, file, folder)))
	serves := func(what string) {
		t.Helper()
		require.Eventually(t, func() bool {
			return get(t, "http://"+address, "").body == what
		}, 10*time.Second, 5*time.Millisecond)
	}
	serves("stable")
	require.Contains(t, get(t, "http://"+admin+"/gray/followed", "").body, `"origin":"none"`,
		"there is a state before there is a document")
	replaceFile(t, file, document)
	serves("canary")
	replaceFile(t, file+".switch", `{"epoch": 1, "to": "v1", "reason": "errors"}`)
	serves("stable")

	var states []struct {
		Service, Origin, Forced string
		Switch                  struct{ Reason string }
	}
	answer := get(t, "http://"+admin+"/gray/followed", "")
	require.NoError(t, json.Unmarshal([]byte(answer.body), &states), answer.body)
	require.Len(t, states, 1)
	require.Equal(t, "v1", states[0].Forced)
	require.Equal(t, "errors", states[0].Switch.Reason)
	require.Equal(t, http.StatusNotFound, get(t, "http://"+admin+"/gray/nobody", "").status)

	replaceFile(t, file, "{")
	require.Eventually(t, func() bool {
		text := get(t, "http://"+admin+"/metrics", "").body
		labels := `{service="followed",source="file://` + file + `"} `
		return strings.Contains(text, "caddy_gray_source_connected"+labels+"1\n") &&
			strings.Contains(text, "caddy_gray_source_forced"+labels+"1\n") &&
			strings.Contains(text, "caddy_gray_source_rejected"+labels+"1\n") &&
			strings.Contains(text, "caddy_gray_source_rejections_total"+labels+"1\n")
	}, 10*time.Second, 5*time.Millisecond)
	replaceFile(t, file+".switch", `{"epoch": 2, "to": "v2"}`)
	serves("canary")
	replaceFile(t, file+".switch", `{"epoch": 3, "to": ""}`)
	serves("canary")
	replaceFile(t, file,
		`{"service": "followed", "enabled": false, "stable": "v1", "versions": {"v1": {"upstreams": ["`+stable+`"]}}}`)
	serves("stable")
}

func TestLogOfFollowedPolicies(t *testing.T) {
	file := filepath.Join(t.TempDir(), "policy.json")
	document := `{"service": "noted", "stable": "v1", "versions": {"v1": {}, "v2": {}}, "rules": [{"version": "v2"}]}`
	require.NoError(t, os.WriteFile(file, []byte(document), 0o600))
	address := freeAddress(t)
	logged := startLogging(t, "http://"+address+` {
	gray noted {
		stable v1
		version v1
		off
		source file://`+file+`?interval=10ms
		cache `+t.TempDir()+`
	}
	respond "{http.gray.version} {http.gray.reason}"
}
`)
	const off = "the configuration beside the source says off: everybody gets the stable version"
	require.Eventually(t, func() bool { return len(logged("policy in force")) == 1 }, 10*time.Second, 5*time.Millisecond)
	require.Equal(t, "v1 "+off, get(t, "http://"+address, "").body)
	require.NotEmpty(t, logged(off))
	require.LessOrEqual(t, len(logged(off)), 2, "for the configuration, and for the document")

	replaceFile(t, file, "{")
	require.Eventually(t, func() bool { return len(logged("policy refused")) == 1 }, 10*time.Second, 5*time.Millisecond)
	for _, line := range append(logged("policy refused"), logged("policy in force")...) {
		require.Contains(t, line, `"logger":"http.handlers.gray"`)
		require.NotContains(t, line, "stacktrace")
	}
}

func TestLogOfKeys(t *testing.T) {
	var fetches atomic.Int64
	dead := backend(t, func(w http.ResponseWriter, _ *http.Request) {
		fetches.Add(1)
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	logged := startLogging(t, "http://"+freeAddress(t)+` {
	gray keyed {
		stable v1
		version v1
		jwt {
			jwks http://`+dead+`/keys
			plaintext
		}
		rule claimed v1 {
			when claim sub = a
		}
	}
}
`)
	const text = "keys for tokens cannot be read"
	require.Eventually(t, func() bool { return fetches.Load() > 1 }, 10*time.Second, 10*time.Millisecond, "the second try")
	time.Sleep(50 * time.Millisecond)
	lines := logged(text)
	require.Len(t, lines, 1, "not one for each try")
	require.Contains(t, lines[0], `"level":"warn"`)
	require.Contains(t, lines[0], `"logger":"http.handlers.gray"`)
	require.Contains(t, lines[0], `"service":"keyed"`)
}

// An upstream that is listed three times, as a registry lists one of threefold weight, gets three
// times as many requests.
func TestShares(t *testing.T) {
	var counts [2]int
	var urls [2]string
	for i := range counts {
		s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { counts[i]++ }))
		t.Cleanup(s.Close)
		urls[i] = s.URL
	}
	address := freeAddress(t)
	load(t, adapt(t, fmt.Sprintf(`{
	admin off
	persist_config off
	grace_period 1ns
	log {
		level FATAL
	}
}
http://%s {
	gray shares {
		stable v1
		version v1 %[2]s %[2]s %[2]s %[3]s
	}
	reverse_proxy {
		dynamic gray
		lb_policy round_robin
	}
}
`, address, urls[0], urls[1])))
	for range 40 {
		require.Equal(t, http.StatusOK, get(t, "http://"+address, "").status)
	}
	require.Equal(t, [2]int{30, 10}, counts)
}
