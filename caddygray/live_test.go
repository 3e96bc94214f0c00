package caddygray_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestSource changes a followed file and its switch under a running Caddy, which tells the state under its admin API.
func TestSource(t *testing.T) {
	backend := func(name string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, name) }))
		t.Cleanup(s.Close)
		return s.URL
	}
	stable, canary := backend("stable"), backend("canary")
	document := fmt.Sprintf(`{"service": "followed", "stable": "v1", "versions": {"v1": {"upstreams": [%q]}, "v2": {"upstreams": [%q]}},
		"rules": [{"name": "all", "version": "v2"}]}`, stable, canary)
	folder := t.TempDir()
	file := filepath.Join(folder, "followed.json")
	write := func(path, text string) {
		require.NoError(t, os.WriteFile(path+"~", []byte(text), 0o600))
		require.NoError(t, os.Rename(path+"~", path))
	}
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
		require.Eventually(t, func() bool { return get(t, "http://"+address, "").body == what }, 10*time.Second, 5*time.Millisecond)
	}
	serves("stable")
	require.Contains(t, get(t, "http://"+admin+"/gray/followed", "").body, `"origin":"none"`, "there is a state before there is a document")
	write(file, document)
	serves("canary")
	write(file+".switch", `{"epoch": 1, "to": "v1", "reason": "errors"}`)
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

	write(file, "{")
	require.Eventually(t, func() bool {
		text := get(t, "http://"+admin+"/metrics", "").body
		labels := `{service="followed",source="file://` + file + `"} `
		return strings.Contains(text, "caddy_gray_source_connected"+labels+"1\n") && strings.Contains(text, "caddy_gray_source_forced"+labels+"1\n") &&
			strings.Contains(text, "caddy_gray_source_rejected"+labels+"1\n") && strings.Contains(text, "caddy_gray_source_rejections_total"+labels+"1\n")
	}, 10*time.Second, 5*time.Millisecond)
	write(file+".switch", `{"epoch": 2, "to": "v2"}`)
	serves("canary")
	write(file+".switch", `{"epoch": 3, "to": ""}`)
	serves("canary")
	write(file, `{"service": "followed", "enabled": false, "stable": "v1", "versions": {"v1": {"upstreams": ["`+stable+`"]}}}`)
	serves("stable")
}

// An upstream that is listed three times, as one of threefold weight in a registry is, gets three times as much.
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
