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
)

// besideTheRamp is the policy of the ways with gray, but for the rule with a percentage.
const besideTheRamp = `		stable v1
		version v1 %[4]s
		version v2 %[5]s
		identity cookie uid, ip
		rule testers v2 {
			when header X-App-Version = beta
		}
		rule staff v2 {
			when cookie role in staff, qa
			when not header X-Device = kiosk
		}
		rule office v2 {
			when ip in 10.0.0.0/8, 2001:db8::/32
		}
		rule new-app v2 {
			when header X-App-Version semver >=2.3.0
		}
`

// The same service in five ways: without versions; without versions, but with the header that names
// the version for upstreams; with gray and five rules; with the last of these under a rollout
// whose guards measure; with Caddy's named matchers and CEL, which have no percentages and so only
// four of the rules.
const fiveWays = `
http://%[1]s {
	reverse_proxy %[4]s
}

http://%[2]s {
	gray shop {
` + besideTheRamp + `		rule ramp v2 {
			percent 5
		}
	}
	reverse_proxy {
		dynamic gray
	}
}

http://%[7]s {
	gray guarded {
` + besideTheRamp + `		rule ramp v2
		rollout ramp {
			step 5%% for 1000h
			guard errors
			guard latency p90
			guard errors < 2%%
		}
	}
	reverse_proxy {
		dynamic gray
	}
}

http://%[3]s {
	@v2 expression <<CEL
		{http.request.header.X-App-Version} == "beta" ||
		({http.request.cookie.role} in ["staff", "qa"] && {http.request.header.X-Device} != "kiosk") ||
		client_ip("10.0.0.0/8", "2001:db8::/32") ||
		{http.request.header.X-App-Version}.matches("^(2\\.([3-9]|[1-9][0-9]+)|[3-9]|[1-9][0-9]+)\\.")
		CEL
	reverse_proxy @v2 %[5]s
	reverse_proxy %[4]s
}

http://%[6]s {
	request_header X-Gray-Version v1
	reverse_proxy %[4]s
}
`

// browser is a request as Firefox sends it. Its user gets stable after all five rules have been
// checked, as u-1 is not among the five percent.
const browser = "GET /cart?item=42 HTTP/1.1\r\nHost: %s\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n" +
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n" +
	"Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nConnection: keep-alive\r\n" +
	"Cookie: theme=dark; session=3f0e8a6c51d94b7e; uid=u-1\r\nX-App-Version: 2.2.9\r\nUpgrade-Insecure-Requests: 1\r\n" +
	"Sec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-User: ?1\r\n" +
	"Priority: u=0, i\r\n\r\n"

// BenchmarkThroughput loads the five in turns, and reports the median of each and its ratio to the
// plain proxy, or that of the guards to the same policy without. GRAY_BENCH_TURN sets how long a
// turn lasts; the default is 150ms.
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
	address := map[string]string{}
	for _, name := range names {
		address[name] = freeAddress(b)
	}
	startGateway(b, address["plain"], fmt.Sprintf(fiveWays, address["plain"], address["gray"], address["cel"], v1.address,
		v2.address, address["header"], address["guards"]))

	load := func(name string) float64 {
		clients := make([]*bench.Connection, connections)
		for i := range clients {
			c, err := bench.Dial(address[name], fmt.Appendf(nil, browser, address[name]))
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
