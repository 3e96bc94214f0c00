package caddy

import (
	"encoding/json"
	"fmt"
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
)

// leanClient has wrk send what browser is, from one of 100,000 callers each time.
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

// plainSite is the plain proxy once more: how far it is from the first shows how far to trust the
// rest.
const plainSite = `
http://%s {
	reverse_proxy %s
}
`

const peerSite = `
http://%s {
	reverse_proxy %s %s {
		lb_policy dynamic {
			key shop
			file {
				path %s
			}
			fallback first
		}
	}
}
`

// BenchmarkLean loads the ways of BenchmarkThroughput in turns by wrk, which takes less of the
// machine than a client in Go: one thread, 16 connections, 100,000 callers, turns of one second.
// It reports each way's throughput and the processor time of Caddy for a request, over those of the
// plain proxy in the same round.
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
	v1, v2 := startUpstream(b, "v1"), startUpstream(b, "v2")
	const rounds = 25
	names := []string{"plain", "again", "header", "gray", "guards", "cel"}
	address := map[string]string{}
	for _, name := range append(names, "peer") {
		address[name] = freeAddress(b)
	}
	caddyfile := fmt.Sprintf(fiveWays, address["plain"], address["gray"], address["cel"], v1.address, v2.address,
		address["header"], address["guards"]) + fmt.Sprintf(plainSite, address["again"], v1.address)
	if os.Getenv(binaryVariable) != "" {
		rules := filepath.Join(b.TempDir(), "routes")
		require.NoError(b, os.Mkdir(rules, 0o700))
		text, err := json.Marshal(peerRules(v1.address, v2.address))
		require.NoError(b, err)
		require.NoError(b, os.WriteFile(filepath.Join(rules, "routes.json"), text, 0o600))
		names = append(names, "peer")
		caddyfile += fmt.Sprintf(peerSite, address["peer"], v1.address, v2.address, filepath.Join(rules, "routes.json"))
	}
	g := startGateway(b, address["plain"], caddyfile)
	before, after, _ := strings.Cut(browser, "uid=u-1")

	load := func(name string) (perSecond float64, perRequest time.Duration) {
		spent := bench.ProcessorTime(b, g.command.Process.Pid)
		out, err := exec.Command(wrk, "-t1", "-c16", "-d1s", "-s", script, "http://"+address[name], "--",
			fmt.Sprintf(before, address[name])+"uid=u-", after).CombinedOutput()
		require.NoError(b, err, "%s", out)
		spent = bench.ProcessorTime(b, g.command.Process.Pid) - spent
		require.NotContains(b, string(out), "Non-2xx", "%s", name)
		found := regexp.MustCompile(`(\d+) requests in (\S+),`).FindSubmatch(out)
		require.NotNil(b, found, "%s", out)
		requests, err := strconv.Atoi(string(found[1]))
		require.NoError(b, err)
		took, err := time.ParseDuration(string(found[2]))
		require.NoError(b, err)
		return float64(requests) / took.Seconds(), spent / time.Duration(requests)
	}
	for range b.N {
		throughputs, times := map[string][]float64{}, map[string][]float64{}
		var plain, spent []float64
		for round := range rounds + 1 {
			rand.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
			perSecond, perRequest := map[string]float64{}, map[string]time.Duration{}
			for _, name := range names {
				perSecond[name], perRequest[name] = load(name)
			}
			if round == 0 {
				continue // to warm up
			}
			for _, name := range names {
				throughputs[name] = append(throughputs[name], perSecond[name]/perSecond["plain"])
				times[name] = append(times[name], float64(perRequest[name])/float64(perRequest["plain"]))
			}
			plain = append(plain, perSecond["plain"])
			spent = append(spent, float64(perRequest["plain"].Nanoseconds())/1000)
		}
		b.Logf("plain    %.0f requests/s, %.1f us of Caddy's processor time each", median(plain), median(spent))
		slices.Sort(names)
		for _, name := range names {
			b.Logf("%-8s %.3f of plain's throughput, %.3f of its processor time a request", name, median(throughputs[name]),
				median(times[name]))
		}
	}
	b.ReportMetric(0, "ns/op")
}
