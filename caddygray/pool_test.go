package caddygray_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Caddy's own metric tells of upstreams that stand in the configuration, before any request.
func TestConfiguredUpstreamsAreTheProxysOwn(t *testing.T) {
	one, two := says(t, "one"), says(t, "two")
	gateway(t, "version v1 http://"+one+" weight=2\nversion v2 "+two, "")
	for _, address := range []string{one, two} {
		require.Eventually(t, func() bool {
			return metric(t, "caddy_reverse_proxy_upstreams_healthy", "upstream="+address) == 1
		}, 10*time.Second, 10*time.Millisecond, address)
	}
}

// One proxy after several handlers has the upstreams of the last one as its own. Those of the
// others are used all the same, and nobody gets any without a decision.
func TestProxyAfterSeveralHandlers(t *testing.T) {
	policy := "stable v1\nversion v1 "
	url := site(t, fmt.Sprintf(`
	@first header X-V first
	@second header X-V second
	@both header X-V both
	route {
		gray @first several-first {
			%s
		}
		gray @both several-first {
			%s
		}
		gray @second several-second {
			%s
		}
		gray @both several-second {
			%s
		}
		reverse_proxy {
			dynamic gray
		}
	}
`, policy+says(t, "one"), policy+says(t, "one again"), policy+says(t, "two"), policy+says(t, "three")))
	for range 3 {
		require.Equal(t, "one told v1", get(t, url, "first").body)
		require.Equal(t, "two told v1", get(t, url, "second").body)
		require.Equal(t, "three told v1", get(t, url, "both").body)
		require.Equal(t, http.StatusServiceUnavailable, get(t, url, "neither").status)
	}
}

// Within `dynamic multi` the version's upstreams are some of several.
func TestUpstreamsBesideAnotherSource(t *testing.T) {
	host, port, err := net.SplitHostPort(says(t, "other"))
	require.NoError(t, err)
	url := site(t, fmt.Sprintf(`
	gray beside {
		stable v1
		version v1 %s
	}
	reverse_proxy {
		dynamic multi {
			gray
			a %s %s
		}
		lb_policy round_robin
	}
`, says(t, "one"), host, port))
	seen := map[string]int{}
	for range 4 {
		seen[get(t, url, "").body]++
	}
	require.Equal(t, map[string]int{"one told v1": 2, "other told v1": 2}, seen)
}

// Where the policy changes, the upstreams of the configuration and those of documents take turns.
func TestDocumentMovesAVersion(t *testing.T) {
	file := filepath.Join(t.TempDir(), "shop.json")
	write := func(versions object) {
		text, err := json.Marshal(object{"service": "moving", "stable": "v1", "versions": versions})
		require.NoError(t, err)
		replaceFile(t, file, string(text))
	}
	configured, moved := says(t, "configured"), says(t, "moved")
	write(object{"v1": object{}})
	url := site(t, fmt.Sprintf(`
	gray moving {
		stable v1
		version v1 %s
		source file://%s
		cache %s
	}
	reverse_proxy {
		dynamic gray
	}
`, configured, file, t.TempDir()))
	becomes := func(body string) {
		t.Helper()
		require.Eventually(t, func() bool { return get(t, url, "").body == body }, 10*time.Second,
			10*time.Millisecond, body)
	}
	becomes("configured told v1")
	write(object{"v1": object{"upstreams": []string{moved}}})
	becomes("moved told v1")
	write(object{"v1": object{"upstreams": []string{configured, configured, moved}}})
	becomes("configured told v1")
	becomes("moved told v1")
	write(object{"v1": object{}})
	becomes("configured told v1")
}
