package decider

import (
	"strings"
	"testing"

	"github.com/grayrelease/gray/e2e/servers"
	"github.com/grayrelease/gray/internal/casetest"
)

// startNginx starts nginx with a configuration, which serves at an address.
func startNginx(t *testing.T, config, address string) {
	t.Helper()
	// A test's nginx writes to its own folder.
	config = "daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log error.log;\n" +
		replaced(t, config, "http {\n",
			"http {\n\taccess_log off;\n\tclient_body_temp_path body;\n\tproxy_temp_path proxy;\n"+
				"\tfastcgi_temp_path fastcgi;\n\tuwsgi_temp_path uwsgi;\n\tscgi_temp_path scgi;\n")
	servers.Run(t, servers.Program{Name: "nginx", Path: servers.Packaged(t, "nginx", "/usr/sbin/nginx"),
		Args:  []string{"-p", "./", "-e", "error.log", "-c", "nginx.conf"},
		Files: map[string]string{"nginx.conf": config}, Ready: "http://" + address + "/"})
}

func TestNginx(t *testing.T) {
	s := decideShop(t)
	address := servers.FreeAddress(t)
	startNginx(t, replaced(t, section(t, "nginx", "nginx")[0], "127.0.0.1:2022", s.http, "listen 8080", "listen "+address,
		"10.0.0.1:8080", upstream(t, "v1"), "10.0.1.1:8080", upstream(t, "v2")), address)
	g := &gateway{t: t, address: address, server: s}
	g.check()
}

// Each group of cases has the documented server at a port of its own, with the header of its
// policy.
func TestNginxCases(t *testing.T) {
	all := groups(t)
	s := decideGroups(t, all)
	config := replaced(t, section(t, "nginx", "nginx")[0], "127.0.0.1:2022", s.http, " 500ms;", " 10s;")
	head, server, _ := strings.Cut(config, "\tserver {\n")
	head = replaced(t, head, "\tupstream shop-v1 { server 10.0.0.1:8080; }\n", "",
		"\tupstream shop-v2 { server 10.0.1.1:8080; }\n", "", "\t\tv2      shop-v2;\n", "", "default shop-v1;",
		"default $gray_version;")
	for version, address := range versionUpstreams(t, all) {
		head += "\tupstream " + version + " { server " + address + "; }\n"
	}
	head += "\tlarge_client_header_buffers 64 256k;\n\tproxy_headers_hash_max_size 4096;\n"
	server = strings.TrimSuffix(strings.TrimSpace(server), "}")
	addresses := map[string]string{}
	for i, port := range servers.FreePorts(t, len(all)) {
		g := all[i]
		addresses[g.name] = servers.Host(port)
		variable := strings.ToLower(strings.ReplaceAll(g.header, "-", "_"))
		head += "\tserver {\n" + replaced(t, server, "listen 8080", "listen "+servers.Host(port),
			"upstream_http_x_gray_version", "upstream_http_"+variable, "X-Gray-Version", g.header,
			"/decide/shop", "/decide/"+g.name)
	}
	startNginx(t, head+"}\n", addresses[all[0].name])
	runCases(t, all, func(g group) string { return addresses[g.name] }, notInNginx)
}

// notInNginx returns why nginx refuses a request.
func notInNginx(r casetest.Request) string {
	switch {
	case r.Method == "post":
		return "a method in small letters"
	case strings.HasSuffix(r.Host, ".."):
		return "a host that ends in two dots"
	case len(r.Headers) >= 1000:
		return "1,000 lines of header"
	}
	return ""
}
