package decider

import (
	"fmt"
	"testing"

	"github.com/grayrelease/gray/e2e/caddy"
	"github.com/grayrelease/gray/e2e/servers"
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
