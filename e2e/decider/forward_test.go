package decider

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/grayrelease/gray/e2e/caddy"
	"github.com/grayrelease/gray/e2e/servers"
	"github.com/grayrelease/gray/internal/casetest"
)

func TestTraefik(t *testing.T) {
	s := decide(t, "trusted_proxies: [127.0.0.1]\nservices:\n  - {service: shop, source: '"+policyFile(t, shop)+"'}\n")
	ports := servers.FreePorts(t, 2)
	address, own := servers.Host(ports[0]), servers.Host(ports[1])
	blocks := section(t, "Traefik", "yaml")
	servers.Run(t, servers.Program{Name: "traefik", Path: servers.Path(t, "traefik"),
		Args: []string{"--configFile=traefik.yml"},
		Files: map[string]string{
			"traefik.yml": replaced(t, blocks[0], ":8080", address, "127.0.0.1:8082", own),
			"dynamic.yml": replaced(t, blocks[1], "127.0.0.1:8082", own, "127.0.0.1:2022", s.http,
				"10.0.0.1:8080", upstream(t, "v1"), "10.0.1.1:8080", upstream(t, "v2")),
		}, Ready: "http://" + own + "/ping"})
	g := &gateway{t: t, address: address, server: s, limits: limits{noCookieUpstream: true, noPrivate: true}}
	g.awaitServing()
	g.check()
}

func TestCaddy(t *testing.T) {
	s := decideShop(t)
	port := servers.FreePorts(t, 1)[0]
	address := servers.Host(port)
	config := replaced(t, section(t, "Caddy", "caddyfile")[0], ":8080 {", fmt.Sprintf(":%d {", port), "127.0.0.1:2022",
		s.http,
		"10.0.0.1:8080", upstream(t, "v1"), "10.0.1.1:8080", upstream(t, "v2"))
	servers.Run(t, servers.Program{Name: "caddy", Path: caddy.Binary(t),
		Args:  []string{"run", "--adapter", "caddyfile", "--config", "Caddyfile"},
		Files: map[string]string{"Caddyfile": "{\n\tadmin off\n}\n" + config}, Ready: "http://" + address + "/"})
	g := &gateway{t: t, address: address, server: s}
	g.check()
}

// Each group of cases has the documented site at a port of its own, with the header of its policy.
func TestCaddyCases(t *testing.T) {
	all := groups(t)
	s := decideGroups(t, all)
	site := replaced(t, section(t, "Caddy", "caddyfile")[0], "127.0.0.1:2022", s.http, " 500ms", " 10s")
	upstreams, addresses := versionUpstreams(t, all), map[string]string{}
	config := "{\n\tadmin off\n\tservers {\n\t\ttrusted_proxies static 127.0.0.0/8\n\t\tmax_header_size 1MB\n\t}\n}\n"
	for i, port := range servers.FreePorts(t, len(all)) {
		g := all[i]
		addresses[g.name] = servers.Host(port)
		routes := ""
		for j, version := range g.versions {
			routes += fmt.Sprintf("\t\t@version%d header %s %s\n\t\treverse_proxy @version%d %s\n", j, g.header, version, j,
				upstreams[version])
		}
		config += replaced(t, site, ":8080 {", fmt.Sprintf(":%d {", port), "/decide/shop", "/decide/"+g.name,
			"\t\t@v2 header X-Gray-Version v2\n\t\treverse_proxy @v2 10.0.1.1:8080\n\t\treverse_proxy 10.0.0.1:8080\n", routes,
			"X-Gray-Version", g.header, "reverse_proxy 10.0.0.1:8080", "respond 500")
	}
	servers.Run(t, servers.Program{Name: "caddy", Path: caddy.Binary(t),
		Args:  []string{"run", "--adapter", "caddyfile", "--config", "Caddyfile"},
		Files: map[string]string{"Caddyfile": config}, Ready: "http://" + addresses[all[0].name] + "/"})
	runCases(t, all, func(g group) string { return addresses[g.name] }, nothing)
}

// Each group of cases has the documented routers and middleware, with the header of its policy. The
// test says who the client is, so that this Traefik trusts who connects to it.
func TestTraefikCases(t *testing.T) {
	all := groups(t)
	s := decideGroups(t, all)
	ports := servers.FreePorts(t, 2)
	address, own := servers.Host(ports[0]), servers.Host(ports[1])
	blocks := section(t, "Traefik", "yaml")
	static := replaced(t, blocks[0], `web: {address: ":8080"}`,
		`web: {address: "`+address+`", forwardedHeaders: {insecure: true}, `+
			`http: {sanitizePath: false, encodedCharacters: {allowEncodedSlash: true, allowEncodedBackSlash: true, `+
			`allowEncodedNullCharacter: true, allowEncodedSemicolon: true, allowEncodedPercent: true, `+
			`allowEncodedQuestionMark: true, allowEncodedHash: true}}}`, "127.0.0.1:8082", own)
	dynamic := replaced(t, blocks[1], "127.0.0.1:8082", own, "127.0.0.1:2022", s.http, " 500ms", " 10s")
	var config object
	require.NoError(t, yaml.Unmarshal([]byte(dynamic), &config))
	routers := at(t, config, "http", "routers").(object)
	middlewares := at(t, config, "http", "middlewares").(object)
	services := at(t, config, "http", "services").(object)
	upstreams := versionUpstreams(t, all)
	for version, upstream := range upstreams {
		services["version-"+strings.ReplaceAll(version, ".", "-")] = object{"loadBalancer": object{
			"servers": []any{object{"url": "http://" + upstream}}}}
	}
	for _, g := range all {
		auth := maps.Clone(at(t, middlewares, "shop-gray", "forwardAuth").(object))
		auth["address"] = strings.Replace(auth["address"].(string), "/decide/shop", "/decide/"+g.name, 1)
		auth["authResponseHeaders"] = []any{g.header, "Baggage"}
		auth["trustForwardHeader"] = true
		middlewares[g.name] = object{"forwardAuth": auth}
		routers[g.name] = object{"entryPoints": []any{"web"}, "rule": "Header(`" + groupHeader + "`, `" + g.name + "`)",
			"priority": 100, "middlewares": []any{g.name}}
		for _, version := range g.versions {
			routers[g.name+"-"+strings.ReplaceAll(version, ".", "-")] = object{"parentRefs": []any{g.name},
				"rule":    "Header(`" + g.header + "`, `" + version + "`)",
				"service": "version-" + strings.ReplaceAll(version, ".", "-")}
		}
	}
	made, err := yaml.Marshal(config)
	require.NoError(t, err)
	servers.Run(t, servers.Program{Name: "traefik", Path: servers.Path(t, "traefik"),
		Args:  []string{"--configFile=traefik.yml"},
		Files: map[string]string{"traefik.yml": static, "dynamic.yml": string(made)}, Ready: "http://" + own + "/ping"})
	require.Eventually(t, func() bool {
		r, err := http.NewRequest("GET", "http://"+address, nil)
		require.NoError(t, err)
		r.Header.Set(groupHeader, all[len(all)-1].name)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.Header.Get("Served-By") != ""
	}, time.Minute, 50*time.Millisecond)
	runCases(t, all, func(group) string { return address }, nothing)
}

// nothing is what a gateway refuses that takes all cases.
func nothing(casetest.Request) string { return "" }
