package sources

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/e2e/backends"
	"github.com/grayrelease/gray/e2e/servers"
)

// instance is a server that answers with its name.
func instance(t testing.TB, name string) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(name))
	}))
	t.Cleanup(s.Close)
	return s
}

func portOf(t testing.TB, s *httptest.Server) int {
	_, port, err := net.SplitHostPort(strings.TrimPrefix(s.URL, "http://"))
	require.NoError(t, err)
	n, err := strconv.Atoi(port)
	require.NoError(t, err)
	return n
}

// Instances come, fall ill and go; traffic follows and no request fails.
func TestDiscover(t *testing.T) {
	t.Parallel()
	var loads []newGateway
	for _, mode := range modes {
		loads = append(loads, mode.load(t))
	}
	for _, each := range backends.Registries {
		t.Run(each.Name, func(t *testing.T) {
			t.Parallel()
			r := each.Start(t)
			for i, mode := range modes {
				r.Service = "web-" + mode.name
				t.Run(mode.name, func(t *testing.T) { discovery(t, r, loads[i]) })
			}
		})
	}
}

func discovery(t *testing.T, r *backends.Registry, load newGateway) {
	files := backends.File(t)
	files.Put("web.json", fmt.Sprintf(`{"service": "web", "stable": "v1",
		"versions": {"v1": {"discover": %q}, "v2": {"discover": %q}},
		"rules": [{"name": "web", "version": "v2"}]}`, r.URL("v1"), r.URL("v2")))
	stable, a, b := instance(t, "stable"), instance(t, "a"), instance(t, "b")
	r.Register("s", "v1", portOf(t, stable))

	cache := t.TempDir()
	h := start(t, load, files.URL("web.json"), cache)
	count := func(version string, n int) {
		t.Helper()
		h.awaitState(fmt.Sprintf("%s has %d instances", version, n), func(s live.State) bool {
			u := s.Upstreams[version]
			return len(u.Instances) == n && !u.Kept
		})
	}
	count("v1", 1)
	count("v2", 0)
	answers := func() map[string]bool {
		seen := map[string]bool{}
		for range 60 {
			w := h.get()
			require.Equal(t, 200, w.Code)
			seen[w.Body.String()] = true
		}
		return seen
	}
	require.Equal(t, map[string]bool{"stable": true}, answers(), "nobody runs v2, so stable serves")

	stop := requests(t, h)
	defer stop()
	r.Register("a", "v2", portOf(t, a))
	count("v2", 1)
	require.Equal(t, map[string]bool{"a": true}, answers())
	if h.get().Header().Get("X-Weight") != "1" { // etcd's records have none
		require.Equal(t, "3", h.get().Header().Get("X-Weight"))
	}
	r.Register("b", "v2", portOf(t, b))
	count("v2", 2)
	require.Equal(t, map[string]bool{"a": true, "b": true}, answers())
	r.Sicken("a", "v2", portOf(t, a))
	count("v2", 1)
	require.Equal(t, map[string]bool{"b": true}, answers())

	// A registry that is down keeps the last list, over a restart of the gateway too.
	r.Process.Kill()
	h.awaitState("registry is down", func(s live.State) bool { return s.Upstreams["v2"].Error != "" })
	require.Equal(t, map[string]bool{"b": true}, answers())
	h.close()
	stop()
	h = start(t, load, files.URL("web.json"), again(cache))
	require.Equal(t, map[string]bool{"b": true}, answers())
	require.True(t, h.state().Upstreams["v2"].Kept)
	h.close()
	r.Process.Start()
	r.Register("s", "v1", portOf(t, stable)) // Nacos forgets instances of clients that have gone
	r.Register("b", "v2", portOf(t, b))
	h = start(t, load, files.URL("web.json"), again(again(cache)))
	count("v1", 1)
	count("v2", 1)
	stop = requests(t, h)
	defer stop()
	r.Deregister("b", portOf(t, b))
	b.Close()
	count("v2", 0)
	require.Equal(t, map[string]bool{"stable": true}, answers())
}

// SRV records, asked of a real DNS server: Consul's.
func TestDiscoverSRV(t *testing.T) {
	p, port := servers.Consul(t)
	dns := servers.ConsulDNS(p)
	files := backends.File(t)
	files.Put("web.json",
		fmt.Sprintf(`{"service": "web", "stable": "v1", "versions": {"v1": {}, "v2": {"discover": `+
			`"srv://%s/_web._v2.service.consul?interval=100ms"}}}`, dns))
	for _, mode := range modes {
		t.Run(mode.name, func(t *testing.T) {
			h := start(t, mode.load(t), files.URL("web.json"), "")
			h.awaitState("nobody", func(s live.State) bool { u := s.Upstreams["v2"]; return !u.Kept && len(u.Instances) == 0 })
			register := func(id string, servicePort int) {
				backends.Call(t, "PUT", servers.BaseURL(port)+"/v1/agent/service/register", "application/json", fmt.Sprintf(
					`{"ID": %q, "Name": "web", "Tags": ["v2"], "Address": "127.0.0.1", "Port": %d, "Weights": {"Passing": 3, `+
						`"Warning": 1}}`, id, servicePort))
			}
			register("a", 8001)
			register("b", 8002)
			h.awaitState("two", func(s live.State) bool { return len(s.Upstreams["v2"].Instances) == 2 })
			require.EqualValues(t, 3, h.state().Upstreams["v2"].Instances[0].Weight)
			require.Contains(t, h.state().Upstreams["v2"].Instances[0].URL, ":8001")
			for _, id := range []string{"a", "b"} {
				backends.Call(t, "PUT", servers.BaseURL(port)+"/v1/agent/service/deregister/"+id, "", "")
			}
			h.awaitState("nobody again", func(s live.State) bool { return len(s.Upstreams["v2"].Instances) == 0 })
		})
	}
}
