package caddy

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/e2e/bench"
	"github.com/grayrelease/gray/e2e/servers"
	"github.com/grayrelease/gray/internal/caddysites"
)

// BenchmarkThroughput loads five of caddysites' ways in turns, and reports the median of each and
// its ratio to the plain proxy, or that of the guards to the same policy without. GRAY_BENCH_TURN
// sets how long a turn lasts; the default is 150ms.
func BenchmarkThroughput(b *testing.B) {
	const turns, connections = 100, 32
	length := 150 * time.Millisecond
	if text := os.Getenv("GRAY_BENCH_TURN"); text != "" {
		var err error
		length, err = time.ParseDuration(text)
		require.NoError(b, err)
	}
	v1, v2 := startUpstream(b, "v1"), startUpstream(b, "v2")
	names := []string{"plain", "header", "gray", "guards", "cel"}
	ways, address := caddysites.Ways(v1.address, v2.address, ""), map[string]string{}
	caddyfile := ""
	for _, name := range names {
		address[name] = servers.FreeAddress(b)
		caddyfile += "http://" + address[name] + " {\n" + ways[name] + "}\n"
	}
	startGateway(b, address["plain"], caddyfile)

	load := func(name string) float64 {
		clients := make([]*bench.Connection, connections)
		for i := range clients {
			c, err := bench.Dial(address[name], fmt.Appendf(nil, caddysites.Browser, address[name], 1))
			require.NoError(b, err)
			defer c.Close()
			clients[i] = c
		}
		ctx, stop := context.WithTimeout(context.Background(), length)
		defer stop()
		var wrong atomic.Value
		started := time.Now()
		calls := bench.Closed(ctx, connections, func(worker int) {
			if body, err := clients[worker].Exchange(); err != nil || !strings.HasPrefix(string(body), "v1") {
				wrong.Store(fmt.Sprintf("%s: %q %v", name, body, err))
			}
		})
		require.Nil(b, wrong.Load())
		return float64(calls) / time.Since(started).Seconds()
	}
	for range b.N {
		results := map[string][]float64{}
		ratios := map[string][]float64{}
		var guards []float64
		for turn := range turns + 1 {
			order := slices.Clone(names)
			rand.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
			got := map[string]float64{}
			for _, name := range order {
				got[name] = load(name)
			}
			if turn == 0 {
				continue // to warm up
			}
			for _, name := range names {
				results[name] = append(results[name], got[name])
				ratios[name] = append(ratios[name], got[name]/got["plain"])
			}
			guards = append(guards, got["guards"]/got["gray"])
		}
		for _, name := range names {
			b.ReportMetric(median(results[name]), name+"/s")
		}
		b.ReportMetric(median(ratios["header"]), "header/plain")
		b.ReportMetric(median(ratios["gray"]), "gray/plain")
		b.ReportMetric(median(guards), "guards/gray")
		b.ReportMetric(median(ratios["cel"]), "cel/plain")
	}
	b.ReportMetric(0, "ns/op")
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}
