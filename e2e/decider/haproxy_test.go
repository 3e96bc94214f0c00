package decider

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/grayrelease/gray/e2e/servers"
	"github.com/grayrelease/gray/internal/casetest"
)

// asker is the documented action, which asks a server.
func asker(t *testing.T, s *server) string {
	t.Helper()
	_, port, _ := net.SplitHostPort(s.http)
	return replaced(t, section(t, "HAProxy", "lua")[0], "2022", port)
}

func startHAProxy(t *testing.T, address string, files map[string]string) {
	t.Helper()
	servers.Run(t, servers.Program{Name: "haproxy", Path: servers.Packaged(t, "haproxy", "/usr/sbin/haproxy"),
		Args: []string{"-db", "-f", "haproxy.cfg"}, Files: files, Ready: "http://" + address + "/"})
}

func TestHAProxy(t *testing.T) {
	s := decideShop(t)
	address := servers.FreeAddress(t)
	startHAProxy(t, address, map[string]string{"gray.lua": asker(t, s),
		"haproxy.cfg": replaced(t, section(t, "HAProxy", "haproxy")[0], "bind :8080", "bind "+address,
			"10.0.0.1:8080", upstream(t, "v1"), "10.0.1.1:8080", upstream(t, "v2"))})
	g := &gateway{t: t, address: address, server: s}
	g.check()
}

// Each group of cases has the documented frontend and action, with the header of its policy.
func TestHAProxyCases(t *testing.T) {
	all := groups(t)
	s := decideGroups(t, all)
	lua := replaced(t, asker(t, s), "0.5", "10")
	global, rest, _ := strings.Cut(section(t, "HAProxy", "haproxy")[0], "frontend shop\n")
	frontend, _, _ := strings.Cut(rest, "\nbackend shop-v1")
	defaults := "\ndefaults" + strings.SplitN(global, "defaults", 2)[1]
	global = "global\n\ttune.bufsize 400000\n\ttune.http.maxhdr 5000\n"
	files, addresses, frontends := map[string]string{}, map[string]string{}, ""
	for i, port := range servers.FreePorts(t, len(all)) {
		g := all[i]
		addresses[g.name] = servers.Host(port)
		files[g.name+".lua"] = replaced(t, lua, `"gray"`, `"`+g.name+`"`, "/decide/shop", "/decide/"+g.name,
			"X-Gray-Version", g.header)
		global += "\tlua-load-per-thread " + g.name + ".lua\n"
		frontends += "frontend " + g.name + "\n" + replaced(t, frontend, "bind :8080", "bind "+servers.Host(port),
			"lua.gray", "lua."+g.name, "use_backend shop-v2 if { req.hdr(X-Gray-Version) v2 }",
			fmt.Sprintf("use_backend %%[req.hdr(%s)]", g.header), "default_backend shop-v1", "default_backend "+g.versions[0])
	}
	for version, address := range versionUpstreams(t, all) {
		frontends += "backend " + version + "\n\tserver a " + address + "\n"
	}
	files["haproxy.cfg"] = global + defaults + frontends
	startHAProxy(t, addresses[all[0].name], files)
	runCases(t, all, func(g group) string { return addresses[g.name] }, notInHAProxy)
}

// notInHAProxy returns why HAProxy refuses a request.
func notInHAProxy(r casetest.Request) string {
	if isNotASCII(r.Target) {
		return "a target that is not ASCII"
	}
	return ""
}
