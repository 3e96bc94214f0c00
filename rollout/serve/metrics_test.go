package serve

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
)

// A page of metrics says which signals can be read, without what may be secret in their URLs, and
// which guard has rolled back.
func TestMetrics(t *testing.T) {
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery == "is=down" {
			w.WriteHeader(http.StatusBadGateway)
		}
	}))
	t.Cleanup(page.Close)
	host := strings.TrimPrefix(page.URL, "http://")
	counters := ", canary: {requests: {name: r}, failed: {name: f}}, stable: {requests: {name: r}, failed: {name: f}}}"
	c := start(t, policy("errors"), `services: [SERVICE, scrape: [`+
		`{url: "http://ann:secret@`+host+`/a?token=secret"`+counters+`, `+
		`{url: "http://`+host+`/b?is=down"`+counters+`, {url: "http://`+host+`/b?is=up"`+counters+`]}]`)
	c.awaitPhase(core.PhaseRunning)
	var text string
	has := func(line string) func() bool {
		return func() bool {
			_, text = c.call("GET", "/metrics", "")
			return strings.Contains(text, line)
		}
	}
	for _, line := range []string{
		`gray_signal_up{kind="scrape",service="shop",url="http://` + host + `/a"} 1`,
		`gray_signal_up{kind="scrape",service="shop",url="http://` + host + `/b"} 0`, // one of the two
		`gray_rollout_verdict{cause="no traffic",guard="errors",service="shop",verdict="undecided"} 1`,
		`gray_rollout_epoch{service="shop"} 1`,
	} {
		require.Eventually(t, has(line), 10*time.Second, 10*time.Millisecond, line)
	}
	assert.NotContains(t, text, "secret")
	assert.Regexp(t, `gray_source_connected\{service="shop",source="file://[^"]*shop.json[^"]*"\} 1`, text)
	status, answer := c.call("POST", "/gray/v1/shop/rollback", "")
	require.Equal(t, 200, status, answer)
	line := `gray_rollout_rollbacks_total{guard="",service="shop"} 1`
	require.Eventually(t, has(line), 10*time.Second, 10*time.Millisecond, line)
}
