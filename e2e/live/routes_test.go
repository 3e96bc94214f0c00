package live

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/e2e/caddy"
	"github.com/grayrelease/gray/e2e/traefik"
)

// route is a path /name, served by a policy of its own, which is about the service of that name.
type route struct {
	source string
	allow  map[string][]string // options of the source, by name
}

// routed is a running gateway with routes.
type routed struct {
	name   string
	url    string
	state  func(t testing.TB, route string) live.State
	log    func() string
	metric func(t testing.TB, name, route string) float64 // nil: it has none
}

// startRouted starts each gateway with the same routes. Until a route has a document, the instance
// v1 of the fleet serves.
func startRouted(t testing.TB, routes map[string]route, f *fleet) []*routed {
	t.Helper()
	return []*routed{startRoutedCaddy(t, routes, f), startRoutedTraefik(t, routes, f)}
}

func startRoutedCaddy(t testing.TB, routes map[string]route, f *fleet) *routed {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := l.Addr().String()
	require.NoError(t, l.Close())
	cache := t.TempDir()
	text := "http://" + address + " {\n"
	for _, name := range namesOf(routes) {
		options := ""
		for option, values := range routes[name].allow {
			options += option + " " + strings.Join(values, " ") + "\n"
		}
		text += fmt.Sprintf("handle /%[1]s {\ngray %[1]s {\nstable v1\nversion v1 %s\ncache %s\nsource %s {\n%s}\n}\n"+
			"reverse_proxy {\ndynamic gray\n}\n}\n", name, f.url("v1"), cache, routes[name].source, options)
	}
	process := caddy.Start(t, address, text+"}\n")
	g := &routed{name: "caddy", url: "http://" + address, log: process.Log}
	g.state = func(t testing.TB, route string) live.State {
		var states []live.State
		require.NoError(t, json.Unmarshal([]byte(read(t, process.Admin()+"/gray/"+route)), &states))
		require.Len(t, states, 1)
		return states[0]
	}
	g.metric = func(t testing.TB, name, route string) float64 {
		for line := range strings.Lines(read(t, process.Admin()+"/metrics")) {
			if strings.HasPrefix(line, name+`{service="`+route+`"`) {
				value, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' '):]), 64)
				require.NoError(t, err)
				return value
			}
		}
		return -1
	}
	return g
}

func startRoutedTraefik(t testing.TB, routes map[string]route, f *fleet) *routed {
	t.Helper()
	cache := t.TempDir()
	routers, middlewares := object{}, object{}
	for name, r := range routes {
		source := object{"url": r.source}
		for option, values := range r.allow {
			source[option] = values
		}
		middlewares[name] = object{"plugin": object{"gray": object{"mode": "proxy", "service": name, "stable": "v1",
			"versions": object{"v1": object{}}, "source": source, "cache": cache, "statePath": "/state/" + name}}}
		routers[name] = object{"rule": fmt.Sprintf("Path(`/%[1]s`) || Path(`/state/%[1]s`)", name),
			"middlewares": []any{name}, "service": "v1"}
	}
	dynamic := object{"routers": routers, "middlewares": middlewares,
		"services": object{"v1": object{"loadBalancer": object{"servers": []any{object{"url": f.url("v1")}}}}}}
	process := traefik.Start(t, traefik.Options{Plugins: map[string]string{"gray": "../.."},
		Dynamic: object{"http": dynamic}})
	g := &routed{name: "traefik", url: process.URL, log: process.Log}
	g.state = func(t testing.TB, route string) live.State {
		var state live.State
		require.NoError(t, json.Unmarshal([]byte(read(t, process.URL+"/state/"+route)), &state))
		return state
	}
	return g
}

func namesOf(routes map[string]route) []string {
	var names []string
	for name := range routes {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// gets is the answer to a request, "" if it is not 200.
func (g *routed) gets(route string) string {
	status, body := get(http.DefaultClient, g.url+"/"+route, "")
	if status != http.StatusOK {
		return ""
	}
	return body
}

// follower is a route of all gateways, as a test has it.
type follower struct {
	t        testing.TB
	gateways []*routed
	route    string
}

// serves waits until every gateway serves by the version's instance.
func (f *follower) serves(version string) {
	f.t.Helper()
	for _, g := range f.gateways {
		f.await(g, version, func(live.State) bool { return g.gets(f.route) == answer(version, version) })
	}
}

// says waits until every gateway's state is as wanted.
func (f *follower) says(what string, ok func(live.State) bool) {
	f.t.Helper()
	for _, g := range f.gateways {
		f.await(g, what, ok)
	}
}

// logs waits until every gateway's log has a text.
func (f *follower) logs(text string) {
	f.t.Helper()
	for _, g := range f.gateways {
		f.await(g, "logged: "+text, func(live.State) bool { return strings.Contains(g.log(), text) })
	}
}

// measures waits until a metric of the gateways that have it is as wanted.
func (f *follower) measures(name string, want float64) {
	f.t.Helper()
	for _, g := range f.gateways {
		if g.metric != nil {
			f.await(g, name, func(live.State) bool { return g.metric(f.t, "caddy_gray_"+name, f.route) == want })
		}
	}
}

func (f *follower) await(g *routed, what string, ok func(live.State) bool) {
	f.t.Helper()
	began := time.Now()
	for {
		s := g.state(f.t, f.route)
		if ok(s) {
			return
		}
		if time.Since(began) > patience {
			f.t.Fatalf("after %s %s of %s is not: %s: %+v\n%s", patience, f.route, g.name, what, s, tail(g.log()))
		}
		time.Sleep(tick)
	}
}
