package caddy

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/e2e/bench"
	"github.com/grayrelease/gray/e2e/servers"
	"github.com/grayrelease/gray/internal/caddysites"
)

// leanClient has wrk send what a browser sends, from one of 100,000 callers each time.
const leanClient = `
local before, after
function setup(thread) thread:set("seed", os.time()) end
function init(args)
	math.randomseed(seed)
	before, after = args[1], args[2]
end
function request() return before .. math.random(100000) .. after end
`

// peerRules are the five rules, as far as caddy-dynamic-routing has them, for a selection policy
// over a static pool. It has neither networks, nor lists, nor "not", so those are patterns; its
// percentage is by chance.
func peerRules(v1, v2 string) map[string]any {
	to := func(address string) []map[string]any { return []map[string]any{{"address": address}} }
	rule := func(priority int, upstreams []map[string]any, match map[string]string) map[string]any {
		return map[string]any{"priority": priority, "upstreams": upstreams, "match": match}
	}
	return map[string]any{"shop": map[string]any{"rules": []map[string]any{
		rule(5, to(v2), map[string]string{"http.request.header.X-App-Version": "beta"}),
		rule(4, to(v2), map[string]string{"http.request.cookie.role": "~^(staff|qa)$"}),
		rule(3, to(v2), map[string]string{"http.request.remote.host": "~^(10\\.|2001:db8:)"}),
		rule(2, to(v2), map[string]string{
			"http.request.header.X-App-Version": `~^(2\.([3-9]|[1-9][0-9]+)|[3-9]|[1-9][0-9]+)\.`,
		}),
		rule(1, []map[string]any{{"address": v1, "weight": 95}, {"address": v2, "weight": 5}}, nil),
	}}}
}

// peerWay is that of caddy-dynamic-routing.
const peerWay = `
	reverse_proxy %s %s {
		lb_policy dynamic {
			key shop
			file {
				path %s
			}
			fallback first
		}
	}
`

// BenchmarkLean loads caddysites' ways in turns by wrk, which takes less of the machine than a
// client in Go: one thread, 16 connections, 100,000 callers, turns of one second. It reports each
// way's throughput and the processor time of Caddy for a request, over the mean of two plain
// proxies in the same round. Of the three rounds of a run it takes the median, and of these the
// median of fifteen runs, each with a Caddy of its own: two equal sites of a process may differ by
// some percent for as long as it runs.
//
// GRAY_TEST_CADDY names a Caddy that has both gray and caddy-dynamic-routing, which is then
// measured beside it.
func BenchmarkLean(b *testing.B) {
	wrk, err := exec.LookPath("wrk")
	if err != nil {
		b.Skip("needs wrk: ", err)
	}
	script := filepath.Join(b.TempDir(), "lean.lua")
	require.NoError(b, os.WriteFile(script, []byte(leanClient), 0o600))
	for range b.N {
		throughputs, times := map[string][]float64{}, map[string][]float64{}
		for range 15 {
			c := startLean(b, wrk, script)
			for name, way := range c.run(3) {
				throughputs[name] = append(throughputs[name], way.throughput)
				times[name] = append(times[name], way.time)
			}
			c.gateway.kill()
		}
		text := ""
		delete(times, "again") // it is as far from the mean as the other
		for _, name := range slices.Sorted(maps.Keys(times)) {
			dearer := 0
			for i, took := range times[name] {
				if took > times["gray"][i] {
					dearer++
				}
			}
			text += fmt.Sprintf("\n%-6s  throughput %.3f (%s)  processor time %.3f (%s), more than gray's in %d of %d", name,
				median(throughputs[name]), spread(throughputs[name]), median(times[name]), spread(times[name]), dearer,
				len(times[name]))
		}
		b.Log(text)
	}
	b.ReportMetric(0, "ns/op")
}

// spread says between what most of fifteen figures are: all but the four least and the four most.
func spread(figures []float64) string {
	sorted := slices.Sorted(slices.Values(figures))
	return fmt.Sprintf("%.3f to %.3f", sorted[4], sorted[len(sorted)-5])
}

// lean is a Caddy with all ways, and the client that loads it.
type lean struct {
	b           *testing.B
	wrk, script string
	gateway     *Gateway
	addresses   map[string]string // by way
}

// way is what one way has of a plain proxy.
type way struct{ throughput, time float64 }

func startLean(b *testing.B, wrk, script string) *lean {
	c := &lean{b: b, wrk: wrk, script: script, addresses: map[string]string{}}
	v1, v2 := startUpstream(b, "v1").address, startUpstream(b, "v2").address
	ways := caddysites.Ways(v1, v2, "")
	if os.Getenv(binaryVariable) != "" {
		rules := filepath.Join(b.TempDir(), "routes.json")
		text, err := json.Marshal(peerRules(v1, v2))
		require.NoError(b, err)
		require.NoError(b, os.WriteFile(rules, text, 0o600))
		ways["peer"] = fmt.Sprintf(peerWay, v1, v2, rules)
	}
	caddyfile := ""
	for name, way := range ways {
		c.addresses[name] = servers.FreeAddress(b)
		caddyfile += "http://" + c.addresses[name] + " {\n" + way + "}\n"
	}
	c.gateway = startGateway(b, c.addresses["plain"], caddyfile)
	return c
}

// run loads all ways in turns.
func (c *lean) run(rounds int) map[string]way {
	names := slices.Collect(maps.Keys(c.addresses))
	throughputs, times := map[string][]float64{}, map[string][]float64{}
	for round := range rounds + 1 {
		rand.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		perSecond, perRequest := map[string]float64{}, map[string]float64{}
		for _, name := range names {
			perSecond[name], perRequest[name] = c.load(c.addresses[name])
		}
		if round == 0 {
			continue // to warm up
		}
		for _, name := range names {
			throughputs[name] = append(throughputs[name], 2*perSecond[name]/(perSecond["plain"]+perSecond["again"]))
			times[name] = append(times[name], 2*perRequest[name]/(perRequest["plain"]+perRequest["again"]))
		}
	}
	ways := map[string]way{}
	for _, name := range names {
		ways[name] = way{median(throughputs[name]), median(times[name])}
	}
	return ways
}

// load has wrk ask for a second. It returns requests a second, and how many seconds of Caddy's
// processor time each took.
func (c *lean) load(address string) (perSecond, perRequest float64) {
	before, after, _ := strings.Cut(fmt.Sprintf(caddysites.Browser, address, 1), "u-1")
	pid := c.gateway.command.Process.Pid
	spent := bench.ProcessorTime(c.b, pid)
	out, err := exec.Command(c.wrk, "-t1", "-c16", "-d1s", "-s", c.script, "http://"+address, "--", before+"u-",
		after).CombinedOutput()
	require.NoError(c.b, err, "%s", out)
	spent = bench.ProcessorTime(c.b, pid) - spent
	require.NotContains(c.b, string(out), "Non-2xx", "%s", address)
	found := regexp.MustCompile(`(\d+) requests in (\S+),`).FindSubmatch(out)
	require.NotNil(c.b, found, "%s", out)
	requests, err := strconv.ParseFloat(string(found[1]), 64)
	require.NoError(c.b, err)
	took, err := time.ParseDuration(string(found[2]))
	require.NoError(c.b, err)
	return requests / took.Seconds(), spent.Seconds() / requests
}
