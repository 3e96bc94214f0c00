package decider

import (
	"fmt"
	"maps"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/grayrelease/gray/internal/casetest"

	"github.com/stretchr/testify/assert"

	"github.com/grayrelease/gray/e2e/servers"
)

// port is how Envoy's configuration has an address.
func socket(address string) string {
	host, port, _ := net.SplitHostPort(address)
	return "{address: " + host + ", port_value: " + port + "}"
}

// startEnvoy starts Envoy with a documented configuration, on an admin port of its own.
func startEnvoy(t *testing.T, config string) {
	t.Helper()
	servers.Envoy(t, func(admin int) string {
		return replaced(t, config, "{address: 127.0.0.1, port_value: 9901}", socket(servers.Host(admin)))
	})
}

// envoyShop starts Envoy as docs/decide.md has it.
func envoyShop(t *testing.T, heading string, s *server, decisions string, pairs ...string) *gateway {
	t.Helper()
	address := servers.FreeAddress(t)
	pairs = append([]string{"{address: 0.0.0.0, port_value: 8080}", socket(address),
		decisions, socket(s.http),
		"{address: 10.0.0.1, port_value: 8080}", socket(upstream(t, "v1")),
		"{address: 10.0.1.1, port_value: 8080}", socket(upstream(t, "v2")),
	}, pairs...)
	config := replaced(t, section(t, heading, "yaml")[0], pairs...)
	startEnvoy(t, config)
	return &gateway{t: t, address: address, server: s}
}

func TestEnvoyGRPC(t *testing.T) {
	s := decideShop(t)
	asked := *s
	asked.http = s.grpc
	g := envoyShop(t, "Envoy by gRPC", &asked, "{address: 127.0.0.1, port_value: 2023}",
		"{address: 10.0.2.1, port_value: 8080}", socket(upstream(t, "c1")),
		"{address: 10.0.3.1, port_value: 8080}", socket(upstream(t, "c2")))
	for _, c := range [][2]string{{"Host: cart.example.com", "c1"}, {"Host: shop.example.com.", "c1"}} {
		a := g.send("GET", "/", c[0])
		a.version(t, c[1])
		a = g.send("GET", "/", c[0], "X-App-Version: beta", "X-Gray-Version: c1")
		a.version(t, "c2")
		assert.Equal(t, "c2", a.seen.Version)
	}
	g.check()
}

func TestEnvoyHTTP(t *testing.T) {
	envoyShop(t, "Envoy by HTTP", decideShop(t), "{address: 127.0.0.1, port_value: 2022}").check()
}

type object = map[string]any

// at goes down a parsed configuration, by names and positions.
func at(t *testing.T, value any, path ...any) any {
	t.Helper()
	for _, step := range path {
		switch step := step.(type) {
		case string:
			of, ok := value.(object)
			require.True(t, ok, "%v", step)
			value = of[step]
		case int:
			of, ok := value.([]any)
			require.True(t, ok && len(of) > step, "%v", step)
			value = of[step]
		}
	}
	return value
}

// envoyCases runs the shared cases through Envoy as docs/decide.md has it, with routes for the
// versions of each group.
func envoyCases(t *testing.T, heading, decisions string, address func(*server) string,
	settings func(g group, filter object) object) {
	all := groups(t)
	s := decideGroups(t, all)
	listen := servers.FreeAddress(t)
	text := replaced(t, section(t, heading, "yaml")[0], "{address: 0.0.0.0, port_value: 8080}", socket(listen),
		decisions, socket(address(s)),
		"timeout: 0.5s", "timeout: 10s")
	var config object
	require.NoError(t, yaml.Unmarshal([]byte(text), &config))
	manager := at(t, config, "static_resources", "listeners", 0, "filter_chains", 0, "filters", 0, "typed_config").(object)
	manager["max_request_headers_kb"] = 200
	manager["common_http_protocol_options"] = object{"max_headers_count": 5000}
	filter := at(t, manager, "http_filters", 0, "typed_config").(object)
	var routes []any
	for _, g := range all {
		own := object{"name": groupHeader, "string_match": object{"exact": g.name}}
		route := func(served string, match ...any) {
			header := func(name, value string) object {
				return object{"header": object{"key": name, "value": value}, "keep_empty_value": true}
			}
			routes = append(routes, object{
				"match":           object{"prefix": "/", "headers": append([]any{own}, match...)},
				"direct_response": object{"status": 200},
				"response_headers_to_add": []any{header("served-by", served), header("told", "%REQ("+g.header+")%"),
					header("rule", "%DYNAMIC_METADATA(envoy.filters.http.ext_authz:"+ruleKey(heading)+")%")},
				"typed_per_filter_config": object{"envoy.filters.http.ext_authz": object{
					"@type":          "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute",
					"check_settings": settings(g, filter),
				}},
			})
		}
		for _, version := range g.versions {
			route(version, object{"name": g.header, "string_match": object{"exact": version}})
		}
		route("nobody")
	}
	manager["route_config"] = object{"virtual_hosts": []any{object{"name": "cases", "domains": []any{"*"},
		"routes": routes}}}
	made, err := yaml.Marshal(config)
	require.NoError(t, err)
	servers.Envoy(t, func(admin int) string {
		return strings.Replace(string(made), "port_value: 9901", fmt.Sprint("port_value: ", admin), 1)
	})
	runCases(t, all, func(group) string { return listen }, notInEnvoy)
}

// notInEnvoy returns why Envoy refuses a request before any filter sees it.
func notInEnvoy(r casetest.Request) string {
	if r.Method == "post" || r.Method == "PUTS" {
		return "a method that nobody has registered"
	}
	if isNotASCII(r.Target) {
		return "a target that is not ASCII"
	}
	return ""
}

// ruleKey is under what name the metadata have the rule.
func ruleKey(heading string) string {
	if heading == "Envoy by gRPC" {
		return "rule"
	}
	return "x-gray-rule"
}

func TestEnvoyGRPCCases(t *testing.T) {
	envoyCases(t, "Envoy by gRPC", "{address: 127.0.0.1, port_value: 2023}", func(s *server) string { return s.grpc },
		func(g group, _ object) object { return object{"context_extensions": object{"service": g.name}} })
}

func TestEnvoyHTTPCases(t *testing.T) {
	envoyCases(t, "Envoy by HTTP", "{address: 127.0.0.1, port_value: 2022}", func(s *server) string { return s.http },
		func(g group, filter object) object {
			asked := maps.Clone(filter["http_service"].(object))
			asked["path_override"] = "/decide/" + g.name
			answered := maps.Clone(asked["authorization_response"].(object))
			answered["allowed_upstream_headers"] = object{"patterns": []any{object{"exact": strings.ToLower(g.header)}}}
			asked["authorization_response"] = answered
			return object{"http_service": asked}
		})
}
