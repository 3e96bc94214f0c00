package caddygray_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Responses, latency and the evidence of rollouts are about what a version had a say in.
func TestWhatCountsForAVersion(t *testing.T) {
	const asked = 40
	const unused = "the versions' upstreams are not used, and nothing counts for the versions"
	for _, c := range []struct {
		name, upstreams, after, path string
		counts                       bool
		warns                        int
	}{
		{"upstreams", "one", "reverse_proxy {\ndynamic gray\n}", "/", true, 0},
		{"upstreams that nothing uses", "one", "reverse_proxy one", "/", false, 1},
		{"what answers before", "one", "respond /login 500\nreverse_proxy {\ndynamic gray\n}", "/login", false, 0},
		{"another proxy beside", "one", "reverse_proxy /login one\nreverse_proxy {\ndynamic gray\n}", "/login", false, 0},
		{"upstreams of other gateways, and a matcher", "one", "@two gray v2\nrespond @two two\nrespond /* one", "/", true, 0},
		{"what answers before a matcher", "one", "respond /login 500\n@two gray v2\nrespond @two two", "/login", false, 0},
		{"no upstreams", "", "reverse_proxy one", "/", true, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			one := says(t, "one")
			service := "used " + c.name
			address := freeAddress(t)
			logged := startLogging(t, fmt.Sprintf(`http://%s {
	route {
		gray %q {
			stable v1
			version v1 %[3]s
			version v2 %[3]s
			identity cookie uid
			rule ramp v2
			rollout ramp {
				step 50%% for 1h
				guard errors
			}
			cache %[4]s
		}
		%[5]s
	}
}
`, address, service, strings.ReplaceAll(c.upstreams, "one", one), t.TempDir(),
				strings.ReplaceAll(c.after, "proxy one", "proxy "+one)))
			require.Eventually(t, func() bool {
				return metric(t, "caddy_gray_rollout_percent", "service="+service) == 50
			}, 10*time.Second, 5*time.Millisecond)
			before := counted(t, service)
			for i := range asked {
				r, err := http.NewRequest(http.MethodGet, "http://"+address+c.path, nil)
				require.NoError(t, err)
				r.AddCookie(&http.Cookie{Name: "uid", Value: fmt.Sprint("u-", i)})
				res, err := http.DefaultClient.Do(r)
				require.NoError(t, err)
				_, err = io.Copy(io.Discard, res.Body)
				require.NoError(t, err)
				require.NoError(t, res.Body.Close())
			}
			want := 0.0
			if c.counts {
				want = asked
			}
			for what, n := range counted(t, service) {
				assert.Equal(t, want, n-before[what], what)
			}
			assert.Len(t, logged(unused), c.warns)
		})
	}
}

// counted is what counts for a service's versions.
func counted(t *testing.T, service string) map[string]float64 {
	t.Helper()
	n := map[string]float64{}
	for _, version := range []string{"v1", "v2"} {
		for _, class := range []string{"2xx", "5xx"} {
			n["responses"] += metric(t, "caddy_gray_responses_total", "service="+service, "version="+version, "class="+class)
		}
		n["latencies"] += metric(t, "caddy_gray_response_latency_seconds", "service="+service, "version="+version)
	}
	for _, arm := range []string{"canary", "control"} {
		n["callers"] += metric(t, "caddy_gray_rollout_callers_total", "service="+service, "arm="+arm)
	}
	return n
}
