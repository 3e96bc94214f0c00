package proxy_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core/proxy"
)

// closest returns which of the addresses an identity is closest to.
func closest(identity string, addresses []string, shares ...int) string {
	found, most := "", uint64(0)
	for i, address := range addresses {
		share := 1
		if shares != nil {
			share = shares[i]
		}
		c := proxy.Closeness(proxy.Places(address, share), proxy.HashIdentity(identity))
		if c > most {
			found, most = address, c
		}
	}
	return found
}

var five = []string{"10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:8080", "10.0.0.4:8080", "10.0.0.5:8080"}

func TestCallersAreSpreadEvenly(t *testing.T) {
	counts := map[string]int{}
	for n := range 3000 {
		counts[closest(fmt.Sprintf("u-%d", n), five[:3])]++
	}
	for _, address := range five[:3] {
		assert.InDelta(t, 1000, counts[address], 104, "four standard deviations")
	}
}

func TestSharesAreKept(t *testing.T) {
	counts := map[string]int{}
	for n := range 4000 {
		counts[closest(fmt.Sprintf("u-%d", n), five[:2], 3, 1)]++
	}
	assert.InDelta(t, 3000, counts[five[0]], 110)
}

func TestOnlyCallersOfAnInstanceThatGoesMove(t *testing.T) {
	left := append(append([]string{}, five[:2]...), five[3:]...)
	taken := map[string]int{}
	for n := range 5000 {
		id := fmt.Sprintf("u-%d", n)
		before, after := closest(id, five), closest(id, left)
		if before == five[2] {
			taken[after]++
			continue
		}
		require.Equal(t, before, after)
	}
	for _, address := range left {
		assert.InDelta(t, 250, taken[address], 62, "those who move are spread over all others")
	}
}

// All gateways find the same instance for a caller, whatever they are made of.
func TestClosenessStaysAsItIs(t *testing.T) {
	got := ""
	for n := range 20 {
		got += closest(fmt.Sprintf("u-%d", n), five)[7:8]
	}
	assert.Equal(t, "41232524254555443415", got)
}

func TestForwardForKeepsTheInstance(t *testing.T) {
	var urls []string
	servers := map[string]*httptest.Server{}
	for range 5 {
		var server *httptest.Server
		server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(server.URL))
		}))
		t.Cleanup(server.Close)
		servers[server.URL] = server
		urls = append(urls, server.URL)
	}
	pool := proxy.NewPool(proxy.Options{Cooldown: time.Hour})
	defer pool.Close()
	defer http.DefaultClient.CloseIdleConnections()
	require.NoError(t, pool.Set(append(urls, urls[0]))) // one has two shares
	gateway := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		fallback := func(w http.ResponseWriter, _ *http.Request, _ error) { _, _ = w.Write([]byte("fallback")) }
		proxy.ForwardFor(pool, r.Header.Get("X-User"), w, r, fallback)
	})
	ask := func(id string) string {
		req, err := http.NewRequest(http.MethodGet, gateway, nil)
		require.NoError(t, err)
		req.Header.Set("X-User", id)
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		return string(body)
	}
	home := map[string]string{}
	counts := map[string]int{}
	for n := range 600 {
		id := fmt.Sprintf("u-%d", n)
		home[id] = ask(id)
		counts[home[id]]++
	}
	assert.InDelta(t, 200, counts[urls[0]], 70)
	for _, url := range urls[1:] {
		assert.InDelta(t, 100, counts[url], 55)
	}

	servers[urls[1]].Close()
	for id, url := range home {
		if url != urls[1] {
			require.Equal(t, url, ask(id))
		} else {
			now := ask(id)
			require.NotEqual(t, url, now)
			require.Equal(t, now, ask(id))
		}
	}

	seen := map[string]bool{}
	for range 5 {
		seen[ask("")] = true
	}
	assert.Len(t, seen, 4, "callers without identity take turns")
	require.NoError(t, pool.Set(nil))
	assert.Equal(t, "fallback", ask("u-1"))
}
