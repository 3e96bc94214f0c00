// Package live tests policies from config centres and instances from registries with the gateways
// as they are run: Caddy and Traefik, each a process, in front of real servers.
package live

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/e2e/caddy"
	"github.com/grayrelease/gray/e2e/traefik"
)

// Most tests wait, for servers that start and gateways that notice, so several run at once.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err)
	}
	code := m.Run()
	caddy.RemoveBinary()
	os.Exit(code)
}

type object = map[string]any

// settings are what a gateway is configured with.
type settings struct {
	source   string // the policy's URL, or
	discover string // that of the instances of v2, which everybody gets
	cache    string
	routes   int // how many use the policy; 0 is one
	fleet    *fleet
	edition  int // makes the configuration another one
}

// gateway is a running one.
type gateway struct {
	t          testing.TB
	url        string
	paths      []string // of the routes that use the policy
	state      func() live.State
	log        func() string
	kill       func()
	apply      func(settings) // another configuration
	goroutines string         // the profile's URL
}

var gateways = []struct {
	name  string
	start func(t testing.TB, s settings) *gateway
}{
	{"caddy", startCaddy},
	{"traefik", startTraefik},
}

func startCaddy(t testing.TB, s settings) *gateway {
	t.Helper()
	// Caddy inherits its socket. A reload opens its own sockets anew, and the kernel resets what
	// waits in the old queue.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	socket, err := listener.(*net.TCPListener).File()
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	defer socket.Close()
	address := listener.Addr().String()
	process := caddy.Start(t, address, caddyfile(address, s), socket)
	g := &gateway{t: t, url: "http://" + address, kill: process.Kill, log: process.Log,
		goroutines: process.Admin() + "/debug/pprof/goroutine?debug=1"}
	for i := range max(1, s.routes) {
		g.paths = append(g.paths, fmt.Sprintf("/%d", i))
	}
	read(t, g.url+g.paths[0]) // the socket has been there before Caddy, which answers when it is ready
	g.state = func() live.State {
		var states []live.State
		require.NoError(t, json.Unmarshal([]byte(read(t, process.Admin()+"/gray/shop")), &states))
		require.Len(t, states, 1, "however many routes use a source, it is one")
		return states[0]
	}
	g.apply = func(s settings) { require.NoError(t, process.Reload(caddyfile(address, s))) }
	return g
}

func caddyfile(address string, s settings) string {
	policy := fmt.Sprintf("stable v1\nversion v1 %s\ncache %s\ndebug_header X-Edition-%d\n",
		s.fleet.url("v1"), s.cache, s.edition)
	if s.source != "" {
		policy += fmt.Sprintf("source %s\n", s.source)
	}
	if s.discover != "" {
		policy += fmt.Sprintf("version v2 {\ndiscover %s\n}\nrule all v2\n", s.discover)
	}
	text := "http://" + address + " {\nbind fd/3\n"
	for i := range max(1, s.routes) {
		text += fmt.Sprintf("handle /%d {\ngray shop {\n%s}\nreverse_proxy {\ndynamic gray\n}\n}\n", i, policy)
	}
	return text + "}\n"
}

// startTraefik runs both modes at once when there is a source.
func startTraefik(t testing.TB, s settings) *gateway {
	t.Helper()
	process := traefik.Start(t, traefik.Options{Plugins: map[string]string{"gray": "../.."}, Dynamic: dynamic(s)})
	g := &gateway{t: t, url: process.URL, kill: process.Kill, log: process.Log,
		goroutines: process.API + "/debug/pprof/goroutine?debug=1"}
	for i := range max(1, s.routes) {
		g.paths = append(g.paths, fmt.Sprintf("/%d", i))
	}
	if s.source != "" {
		g.paths = append(g.paths, "/header")
	}
	g.state = func() live.State {
		var state live.State
		require.NoError(t, json.Unmarshal([]byte(read(t, process.URL+"/state")), &state))
		return state
	}
	g.apply = func(s settings) { process.Apply(t, dynamic(s)) }
	return g
}

func dynamic(s settings) object {
	policy := func(mode string) object {
		config := object{"mode": mode, "cache": s.cache, "service": "shop", "stable": "v1",
			"versions": object{"v1": object{}},
			"lists":    object{"edition": []any{fmt.Sprintf("e-%d", s.edition)}}}
		if mode == "proxy" {
			config["statePath"] = "/state"
		}
		if s.source != "" {
			config["source"] = object{"url": s.source}
		}
		if s.discover != "" {
			config["versions"] = object{"v1": object{}, "v2": object{"discover": s.discover}}
			config["rules"] = []any{object{"name": "all", "version": "v2"}}
		}
		return object{"plugin": object{"gray": config}}
	}
	routers := object{"state": object{"rule": "Path(`/state`)", "middlewares": []any{"proxy"}, "service": "v1"}}
	for i := range max(1, s.routes) {
		routers[fmt.Sprintf("proxy-%d", i)] = object{"rule": fmt.Sprintf("Path(`/%d`)", i),
			"middlewares": []any{"proxy"}, "service": "v1"}
	}
	middlewares := object{"proxy": policy("proxy")}
	services := object{}
	if s.source != "" {
		routers["parent"] = object{"rule": "Path(`/header`)", "middlewares": []any{"header"}}
		middlewares["header"] = policy("header")
	}
	for name := range s.fleet.instances {
		services[name] = object{"loadBalancer": object{"servers": []any{object{"url": s.fleet.url(name)}}}}
		if s.source != "" {
			routers["child-"+name] = object{"rule": "Header(`X-Gray-Version`, `" + name + "`)",
				"parentRefs": []any{"parent"}, "service": name}
		}
	}
	return object{"http": object{"routers": routers, "middlewares": middlewares, "services": services}}
}

// read is the body of an answer. Caddy's admin endpoint is away for a moment after a reload.
func read(t testing.TB, url string) string {
	t.Helper()
	var problem error
	for range 50 {
		response, err := http.Get(url)
		if err != nil {
			problem = err
			time.Sleep(20 * time.Millisecond)
			continue
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, response.StatusCode, "%s: %s", url, body)
		return string(body)
	}
	require.NoError(t, problem)
	return ""
}

// patience bounds every wait; tick is how often something is looked at.
const (
	patience = 40 * time.Second
	tick     = 10 * time.Millisecond
)

// await waits until every route is served by an instance as the version of its name.
func (g *gateway) await(name string) {
	g.t.Helper()
	for _, path := range g.paths {
		g.awaitAt(path, answer(name, name))
	}
}

// awaitAt waits for an answer, and returns how long that took.
func (g *gateway) awaitAt(path, want string) time.Duration {
	g.t.Helper()
	began := time.Now()
	for {
		status, got := get(http.DefaultClient, g.url+path, "")
		if status == http.StatusOK && got == want {
			return time.Since(began)
		}
		if time.Since(began) > patience {
			g.t.Fatalf("after %s %s is answered by %d %q, not %q; state: %+v\n%s", patience, path, status, got, want,
				g.state(), tail(g.log()))
		}
		time.Sleep(500 * time.Microsecond)
	}
}

// awaitState waits until the state is as wanted.
func (g *gateway) awaitState(what string, ok func(live.State) bool) live.State {
	g.t.Helper()
	began := time.Now()
	for {
		s := g.state()
		if ok(s) {
			return s
		}
		if time.Since(began) > patience {
			g.t.Fatalf("after %s the state is not: %s: %+v\n%s", patience, what, s, tail(g.log()))
		}
		time.Sleep(tick)
	}
}

// count is how many goroutines there are.
func (g *gateway) count() int {
	g.t.Helper()
	var n int
	text := read(g.t, g.goroutines)
	_, err := fmt.Sscanf(text, "goroutine profile: total %d", &n)
	require.NoError(g.t, err, text)
	return n
}

func tail(log string) string {
	var lines []string
	for line := range strings.Lines(log) {
		if strings.Contains(line, "gray") && !strings.Contains(line, `"DBG"`) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines[max(0, len(lines)-30):], "")
}
