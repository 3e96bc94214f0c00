package servers

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Etcd starts etcd; it answers at Host(port).
func Etcd(t testing.TB) (p *Process, port int) {
	t.Helper()
	path := Path(t, "etcd")
	ports := FreePorts(t, 2)
	p = newProcess(t, "etcd", 30*time.Second)
	client, peer := BaseURL(ports[0]), BaseURL(ports[1])
	p.args = []string{path, "--name=e2e", "--data-dir=" + filepath.Join(p.dir, "data"), "--unsafe-no-fsync",
		flag("--listen-client-urls", client), flag("--advertise-client-urls", client),
		flag("--listen-peer-urls", peer), flag("--initial-advertise-peer-urls", peer), flag("--initial-cluster", "e2e="+peer)}
	p.ready = client + "/health"
	p.Start()
	return p, ports[0]
}

// Consul starts a Consul server whose data outlive Kill; it answers at Host(port).
func Consul(t testing.TB) (p *Process, port int) {
	t.Helper()
	path := Path(t, "consul")
	ports := FreePorts(t, 6)
	p = newProcess(t, "consul", 60*time.Second)
	config := filepath.Join(p.dir, "config.json")
	writeFile(t, config,
		`{"performance": {"raft_multiplier": 1, "leave_drain_time": "10ms"}, "disable_update_check": true, "connect": `+
			`{"enabled": false}}`)
	p.args = []string{path, "agent", "-server", "-bootstrap-expect=1", "-node=e2e", "-bind=127.0.0.1", "-client=127.0.0.1",
		"-config-file=" + config, "-data-dir=" + filepath.Join(p.dir, "data"), flag("-http-port",
			ports[0]), flag("-serf-lan-port", ports[1]),
		"-serf-wan-port=-1", flag("-server-port", ports[2]), flag("-dns-port",
			ports[3]), "-grpc-port=-1", "-grpc-tls-port=-1", "-log-level=warn"}
	p.ready = BaseURL(ports[0]) + "/v1/catalog/nodes?index=1&wait=1s"
	p.Start()
	return p, ports[0]
}

// Nacos starts a standalone Nacos 2 with the given properties in addition to the usual ones. It
// answers at Host(port) under /nacos.
func Nacos(t testing.TB, properties ...string) (p *Process, port int) {
	t.Helper()
	ports := nacosPorts(t)
	p = nacos(t, "nacos", append([]string{
		flag("server.port", ports[0]), "server.servlet.contextPath=/nacos",
	}, properties...))
	p.ready = BaseURL(ports[0]) + "/nacos/v1/ns/operator/metrics"
	p.Start()
	return p, ports[0]
}

// Nacos3 starts a standalone Nacos 3, without its console; it answers at Host(port) under /nacos.
func Nacos3(t testing.TB, properties ...string) (p *Process, port int) {
	t.Helper()
	ports := nacosPorts(t)
	p = nacos(t, "nacos-3", append([]string{
		flag("nacos.server.main.port", ports[0]), "nacos.server.contextPath=/nacos",
		"nacos.core.auth.admin.enabled=false", "nacos.core.auth.console.enabled=false",
	}, properties...))
	p.ready = BaseURL(ports[0]) + "/nacos/v3/client/ns/instance/list?serviceName=ready"
	p.Start()
	return p, ports[0]
}

// nacosTurn is held while a Nacos starts: several at once are too slow for the time that each of
// them gives its database.
var nacosTurn sync.Mutex

func nacos(t testing.TB, name string, properties []string) *Process {
	t.Helper()
	path := Path(t, name)
	p := newProcess(t, name, 3*time.Minute)
	p.turn = &nacosTurn
	conf := filepath.Join(p.dir, "conf")
	if err := os.MkdirAll(conf, 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(conf, "application.properties"),
		strings.Join(append([]string{"nacos.core.auth.system.type=nacos"}, properties...), "\n"))
	p.args = []string{"java", "-Xms64m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
		"-Dnacos.standalone=true", "-Dnacos.home=" + p.dir,
		"--add-opens=java.base/java.lang=ALL-UNNAMED", "--add-opens=java.base/java.util=ALL-UNNAMED",
		"-cp", conf + ":" + filepath.Join(path, "classes") + ":" + filepath.Join(path, "lib", "*"), "Nacos"}
	return p
}

// nacosPorts finds a port whose neighbours at the fixed distances that Nacos uses are free too.
func nacosPorts(t testing.TB) []int {
	t.Helper()
	for range 50 {
		port := FreePorts(t, 1)[0]
		if portFree(port+1000) && portFree(port+1001) && portFree(port-1000) {
			return []int{port}
		}
	}
	t.Fatal("nacos: no free ports")
	return nil
}

func writeFile(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// ConsulDNS is where a Consul server answers DNS.
func ConsulDNS(p *Process) string {
	for i, arg := range p.args {
		if port, ok := strings.CutPrefix(arg, "-dns-port="); ok && i > 0 {
			return "127.0.0.1:" + port
		}
	}
	return ""
}
