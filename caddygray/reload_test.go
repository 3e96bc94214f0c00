package caddygray_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// TestReloadsLeaveNothingBehind reloads two hundred times under requests, with health checks and
// claims, and then looks for leaked goroutines.
func TestReloadsLeaveNothingBehind(t *testing.T) {
	reloads := 200
	if testing.Short() {
		reloads = 20
	}
	address, one, two := freeAddress(t), says(t, "one"), says(t, "two")
	config := func(percent int) []byte {
		return adapt(t, fmt.Sprintf(`{
	admin off
	persist_config off
	auto_https off
	storage_clean_interval off
	log {
		level FATAL
	}
}
http://%s {
	gray leaks {
		stable v1
		version v1 %s {
			health_uri /
			health_interval 1ms
		}
		version v2 %s
		identity cookie uid, ip
		jwt {
			jwks http://127.0.0.1:1/keys
			plaintext
		}
		rule claimed v2 {
			when claim sub = nobody
		}
		rule ramp v2 {
			percent %d
		}
	}
	reverse_proxy {
		dynamic gray
	}
}
`, address, one, two, percent))
	}
	ignored := goleak.IgnoreCurrent()
	require.NoError(t, caddy.Load(config(0), true))
	decisions := growth(t, "caddy_gray_decisions_total", "service=leaks", "version=v1", "rule=")

	stop := make(chan struct{})
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				// How a connection fails that the reload itself closes is up to Caddy. Only answers
				// are checked here.
				req, _ := http.NewRequest(http.MethodGet, "http://"+address, strings.NewReader(""))
				req.Close = true
				if res, err := http.DefaultTransport.RoundTrip(req); err == nil {
					res.Body.Close()
					if res.StatusCode != http.StatusOK {
						t.Error("status", res.StatusCode)
					}
				}
			}
		})
	}
	for i := range reloads {
		require.NoError(t, caddy.Load(config(i%2), true))
	}
	close(stop)
	clients.Wait()
	require.Positive(t, decisions())
	require.NoError(t, caddy.Stop())
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	goleak.VerifyNone(t, ignored,
		// Caddy's own, one for the process.
		goleak.IgnoreAnyFunction("github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy."+
			"(*Upstream).fillDynamicHost.func1.1"))
}
