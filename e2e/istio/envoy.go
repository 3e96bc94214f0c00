package istio

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/e2e/servers"
)

type object = map[string]any

// Envoy is a real Envoy with a listener for each list of routes.
type Envoy struct {
	ports []int
}

// StartEnvoy starts an Envoy with routes as Istio makes them. Its listeners treat paths as Istio's
// gateways do. What the routes lead to answers with the version that the cluster is of.
func StartEnvoy(t testing.TB, routes ...[]json.RawMessage) *Envoy {
	t.Helper()
	return startEnvoy(t, nil, nil, routes...)
}

// startEnvoy has filters before the router, too, which ask servers by gRPC: their addresses are by
// the names of their clusters.
func startEnvoy(t testing.TB, filters []json.RawMessage, asked map[string]string, routes ...[]json.RawMessage) *Envoy {
	t.Helper()
	e := &Envoy{ports: servers.FreePorts(t, len(routes))}
	upstreams := map[string]string{}
	clusters := map[string]object{}
	for name, at := range asked {
		clusters[name] = cluster(name, at)
		clusters[name]["typed_extension_protocol_options"] = object{
			"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": object{
				"@type":                "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
				"explicit_http_config": object{"http2_protocol_options": object{}}}}
	}
	var listeners []object
	for i, list := range routes {
		for _, route := range list {
			for _, name := range clusterNames(route) {
				version := versionOf(name)
				if upstreams[version] == "" {
					upstreams[version] = startUpstream(t, version)
				}
				clusters[name] = cluster(name, upstreams[version])
			}
		}
		listeners = append(listeners, listener(e.ports[i], filters, list))
	}
	var all []object
	for _, c := range clusters {
		all = append(all, c)
	}
	servers.Envoy(t, func(admin int) string {
		text, err := json.Marshal(object{
			"admin":            object{"address": address("127.0.0.1", admin)},
			"static_resources": object{"listeners": listeners, "clusters": all},
			// As in Istio's bootstrap.
			"layered_runtime": object{"layers": []object{{"name": "static", "static_layer": object{
				"re2.max_program_size.error_level": 32768}}}},
		})
		require.NoError(t, err)
		return string(text)
	})
	return e
}

func address(host string, port int) object {
	return object{"socket_address": object{"address": host, "port_value": port}}
}

func listener(port int, filters, routes []json.RawMessage) object {
	var all []any
	for _, filter := range filters {
		all = append(all, filter)
	}
	all = append(all, object{"name": "envoy.filters.http.router", "typed_config": object{
		"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}})
	manager := object{
		"@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3." +
			"HttpConnectionManager",
		"stat_prefix": "gray", "normalize_path": true, "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
		"route_config": object{"name": strconv.Itoa(port), "virtual_hosts": []object{
			{"name": "all", "domains": []string{"*"}, "routes": routes}}},
		"http_filters": all,
	}
	return object{"name": strconv.Itoa(port), "address": address("127.0.0.1", port), "filter_chains": []object{
		{"filters": []object{{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}}}}}
}

func cluster(name, at string) object {
	host, text, _ := net.SplitHostPort(at)
	port, _ := strconv.Atoi(text)
	return object{"name": name, "connect_timeout": "5s", "type": "STATIC", "load_assignment": object{
		"cluster_name": name, "endpoints": []object{{"lb_endpoints": []object{
			{"endpoint": object{"address": address(host, port)}}}}}}}
}

// clusterNames returns the clusters that a route leads to.
func clusterNames(route json.RawMessage) []string {
	var r struct {
		Route struct {
			Cluster  string `json:"cluster"`
			Weighted struct {
				Clusters []struct {
					Name string `json:"name"`
				} `json:"clusters"`
			} `json:"weightedClusters"`
		} `json:"route"`
	}
	_ = json.Unmarshal(route, &r)
	var names []string
	if r.Route.Cluster != "" {
		names = append(names, r.Route.Cluster)
	}
	for _, c := range r.Route.Weighted.Clusters {
		names = append(names, c.Name)
	}
	return names
}

// versionOf is the subset of a cluster, or what its service has behind the dash.
func versionOf(cluster string) string {
	parts := strings.Split(cluster, "|")
	if parts[2] != "" {
		return parts[2]
	}
	service, _, _ := strings.Cut(parts[3], ".")
	_, version, _ := strings.Cut(service, "-")
	return version
}

func startUpstream(t testing.TB, version string) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Served-By", version)
		w.Header().Set("Was-Told", r.Header.Get("X-Gray-Version"))
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// Served is who answered a request: a version and what it was told that it is, or Envoy itself by a
// status.
type Served struct {
	Version, Told string
	Status        int
}

// Send sends a request as it is on the wire, over a connection of its own.
func (e *Envoy) Send(t testing.TB, listener int, raw []byte) Served {
	t.Helper()
	conn, err := net.DialTimeout("tcp", servers.Host(e.ports[listener]), 5*time.Second)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	_, err = conn.Write(raw)
	require.NoError(t, err)
	method, _, _ := bytes.Cut(raw, []byte(" "))
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: string(method)})
	require.NoError(t, err)
	defer resp.Body.Close()
	return Served{resp.Header.Get("Served-By"), resp.Header.Get("Was-Told"), resp.StatusCode}
}

// Count sends the same request many times over one connection, and counts the versions.
func (e *Envoy) Count(t testing.TB, listener, requests int, header http.Header) map[string]int {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 1}
	defer transport.CloseIdleConnections()
	counts := map[string]int{}
	for range requests {
		r, err := http.NewRequest(http.MethodGet, fmt.Sprint("http://", servers.Host(e.ports[listener]), "/"), nil)
		require.NoError(t, err)
		r.Header = header.Clone()
		resp, err := transport.RoundTrip(r)
		require.NoError(t, err)
		_ = resp.Body.Close()
		require.Equal(t, 200, resp.StatusCode)
		counts[resp.Header.Get("Served-By")]++
	}
	return counts
}

// requestOf is a request with a header.
func requestOf(name, value string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "http://shop.example.com/", nil)
	r.Header.Set(name, value)
	return r
}
