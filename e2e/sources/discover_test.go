package sources

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/e2e/servers"
)

// registry is a real place where instances register.
type registry struct {
	process    *servers.Process
	url        func(version string) string // the discovery URL of a version
	register   func(id, version string, port int)
	deregister func(id string, port int)
	sicken     func(id, version string, port int) // makes a registered instance unhealthy
}

var registries = []struct {
	name  string
	start func(t testing.TB) *registry
}{
	{"consul", consulRegistry},
	{"etcd", etcdRegistry},
	{"nacos", nacosRegistry},
	{"nacos-3", nacos3Registry},
}

func consulRegistry(t testing.TB) *registry {
	p, port := servers.Consul(t)
	base := servers.BaseURL(port) + "/v1/agent/"
	return &registry{process: p,
		url: func(version string) string {
			if version == "v1" {
				return fmt.Sprintf("consul://%s/web?tag=v1", servers.Host(port))
			}
			return fmt.Sprintf("consul://%s/web?version=%s", servers.Host(port), version)
		},
		register: func(id, version string, port int) {
			text, err := json.Marshal(map[string]any{"ID": id, "Name": "web", "Tags": []string{version}, "Meta": map[string]string{"version": version},
				"Address": "127.0.0.1", "Port": port, "Weights": map[string]int{"Passing": 3, "Warning": 1},
				"Check": map[string]any{"TTL": "10m", "Status": "passing"}})
			require.NoError(t, err)
			call(t, "PUT", base+"service/register", "application/json", string(text))
			// An agent that was restarted holds the check that it knows for failed.
			call(t, "PUT", base+"check/pass/service:"+id, "", "")
		},
		deregister: func(id string, _ int) { call(t, "PUT", base+"service/deregister/"+id, "", "") },
		sicken:     func(id, _ string, _ int) { call(t, "PUT", base+"check/fail/service:"+id, "", "") },
	}
}

func etcdRegistry(t testing.TB) *registry {
	p, port := servers.Etcd(t)
	base := servers.BaseURL(port)
	put := func(id, version string, port int, lease int64) {
		// The record that etcd's naming/endpoints package writes.
		text, err := json.Marshal(map[string]any{"Op": 0, "Addr": servers.Host(port), "Metadata": map[string]string{"version": version}})
		require.NoError(t, err)
		etcdPut(t, base, "web/"+id, string(text), lease)
	}
	return &registry{process: p,
		url: func(version string) string {
			return fmt.Sprintf("etcd://%s/web/?version=%s", servers.Host(port), version)
		},
		register:   func(id, version string, port int) { put(id, version, port, 0) },
		deregister: func(id string, _ int) { post(t, base+"/v3/kv/deleterange", map[string]any{"key": []byte("web/" + id)}) },
		// An instance that no longer renews its lease.
		sicken: func(id, version string, port int) {
			lease := post(t, base+"/v3/lease/grant", map[string]any{"TTL": 1})
			n, err := strconv.ParseInt(lease["ID"].(string), 10, 64)
			require.NoError(t, err)
			put(id, version, port, n)
		},
	}
}

func nacosRegistry(t testing.TB) *registry {
	p, port := servers.Nacos(t)
	return nacosAt(t, p, port, "/nacos/v1/ns/instance", "")
}

func nacos3Registry(t testing.TB) *registry {
	p, port := servers.Nacos3(t)
	return nacosAt(t, p, port, "/nacos/v3/client/ns/instance", "&api=v3")
}

func nacosAt(t testing.TB, p *servers.Process, port int, path, option string) *registry {
	base := servers.BaseURL(port) + path
	query := func(id, version string, port, timeout int) string {
		metadata, err := json.Marshal(map[string]string{"version": version, "id": id,
			"preserved.heart.beat.interval": "500", "preserved.heart.beat.timeout": strconv.Itoa(timeout), "preserved.ip.delete.timeout": "6000000"})
		require.NoError(t, err)
		return url.Values{"serviceName": {"web"}, "ip": {"127.0.0.1"}, "port": {strconv.Itoa(port)}, "weight": {"3"}, "ephemeral": {"true"},
			"healthy": {"true"}, "enabled": {"true"}, "metadata": {string(metadata)}}.Encode()
	}
	return &registry{process: p,
		url: func(version string) string {
			return fmt.Sprintf("nacos://%s/web?version=%s%s", servers.Host(port), version, option)
		},
		register: func(id, version string, port int) {
			call(t, "POST", base+"?"+query(id, version, port, 6000000), "", "")
		},
		deregister: func(id string, port int) { call(t, "DELETE", base+"?"+query(id, "", port, 6000000), "", "") },
		// An instance that sends no heartbeat within its time.
		sicken: func(id, version string, port int) { call(t, "POST", base+"?"+query(id, version, port, 1000), "", "") },
	}
}

// instance is a server that answers with its name.
func instance(t testing.TB, name string) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(name)) }))
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
	for _, mode := range modes {
		load := mode.load(t)
		for _, each := range registries {
			t.Run(mode.name+"/"+each.name, func(t *testing.T) { discovery(t, each.start(t), load) })
		}
	}
}

func discovery(t *testing.T, r *registry, load newGateway) {
	files := fileBackend(t)
	files.put("web.json", fmt.Sprintf(`{"service": "web", "stable": "v1", "versions": {"v1": {"discover": %q}, "v2": {"discover": %q}},
		"rules": [{"name": "web", "version": "v2"}]}`, r.url("v1"), r.url("v2")))
	stable, a, b := instance(t, "stable"), instance(t, "a"), instance(t, "b")
	r.register("s", "v1", portOf(t, stable))

	cache := t.TempDir()
	h := start(t, load, files.url("web.json"), cache, "")
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
	r.register("a", "v2", portOf(t, a))
	count("v2", 1)
	require.Equal(t, map[string]bool{"a": true}, answers())
	if h.get().Header().Get("X-Weight") != "1" { // etcd's records have none
		require.Equal(t, "3", h.get().Header().Get("X-Weight"))
	}
	r.register("b", "v2", portOf(t, b))
	count("v2", 2)
	require.Equal(t, map[string]bool{"a": true, "b": true}, answers())
	r.sicken("a", "v2", portOf(t, a))
	count("v2", 1)
	require.Equal(t, map[string]bool{"b": true}, answers())

	// A registry that is down keeps the last list, over a restart of the gateway too.
	r.process.Kill()
	h.awaitState("registry is down", func(s live.State) bool { return s.Upstreams["v2"].Error != "" })
	require.Equal(t, map[string]bool{"b": true}, answers())
	h.close()
	stop()
	h = start(t, load, files.url("web.json"), cache, "restarted")
	require.Equal(t, map[string]bool{"b": true}, answers())
	require.True(t, h.state().Upstreams["v2"].Kept)
	h.close()
	r.process.Start()
	r.register("s", "v1", portOf(t, stable)) // Nacos forgets instances of clients that have gone
	r.register("b", "v2", portOf(t, b))
	h = start(t, load, files.url("web.json"), cache, "again")
	count("v1", 1)
	count("v2", 1)
	stop = requests(t, h)
	defer stop()
	r.deregister("b", portOf(t, b))
	b.Close()
	count("v2", 0)
	require.Equal(t, map[string]bool{"stable": true}, answers())
}

// SRV records, asked of a real DNS server: Consul's.
func TestDiscoverSRV(t *testing.T) {
	p, port := servers.Consul(t)
	dns := servers.ConsulDNS(p)
	files := fileBackend(t)
	files.put("web.json", fmt.Sprintf(`{"service": "web", "stable": "v1", "versions": {"v1": {}, "v2": {"discover": "srv://%s/_web._v2.service.consul?interval=100ms"}}}`, dns))
	for _, mode := range modes {
		t.Run(mode.name, func(t *testing.T) {
			h := start(t, mode.load(t), files.url("web.json"), "", mode.name)
			h.awaitState("nobody", func(s live.State) bool { u := s.Upstreams["v2"]; return !u.Kept && len(u.Instances) == 0 })
			register := func(id string, servicePort int) {
				call(t, "PUT", servers.BaseURL(port)+"/v1/agent/service/register", "application/json", fmt.Sprintf(
					`{"ID": %q, "Name": "web", "Tags": ["v2"], "Address": "127.0.0.1", "Port": %d, "Weights": {"Passing": 3, "Warning": 1}}`, id, servicePort))
			}
			register("a", 8001)
			register("b", 8002)
			h.awaitState("two", func(s live.State) bool { return len(s.Upstreams["v2"].Instances) == 2 })
			require.EqualValues(t, 3, h.state().Upstreams["v2"].Instances[0].Weight)
			require.Contains(t, h.state().Upstreams["v2"].Instances[0].URL, ":8001")
			for _, id := range []string{"a", "b"} {
				call(t, "PUT", servers.BaseURL(port)+"/v1/agent/service/deregister/"+id, "", "")
			}
			h.awaitState("nobody again", func(s live.State) bool { return len(s.Upstreams["v2"].Instances) == 0 })
		})
	}
}
