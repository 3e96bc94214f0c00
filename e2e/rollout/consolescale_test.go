package rollout

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/heapprofiler"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/internal/daemon"
	"github.com/grayrelease/gray/rollout"
	"github.com/grayrelease/gray/rollout/api"
	"github.com/grayrelease/gray/rollout/console"
)

// busy is a service whose figures change each time that it is looked at.
type busy struct {
	name     string
	engine   *core.Engine
	looks    atomic.Int64
	history  []core.RolloutEvent
	versions map[string][]api.Upstream
	gateways []api.Gateway
}

func newBusy(name string, engine *core.Engine) *busy {
	now := time.Now()
	b := &busy{name: name, engine: engine, versions: map[string][]api.Upstream{}}
	for i := range core.MaxRolloutHistory {
		b.history = append(b.history, core.RolloutEvent{Epoch: int64(i), At: now, Attempt: 1, Phase: "running", Step: 1,
			Percent: 1, Reason: "step 1 of 4 (1 %)", By: "gray"})
	}
	for i, v := range []string{"v1", "v2"} {
		for j := range 20 {
			b.versions[v] = append(b.versions[v], api.Upstream{Address: fmt.Sprintf("10.0.%d.%d:8080", i, j)})
		}
	}
	for i := range 50 {
		b.gateways = append(b.gateways, api.Gateway{Address: fmt.Sprintf("http://10.1.0.%d:2019", i), Connected: true,
			Revision: "4711", Epoch: 4, Percent: 5, Contact: now})
	}
	return b
}

func (b *busy) Name() string         { return b.name }
func (b *busy) Engine() *core.Engine { return b.engine }

func (b *busy) Do(context.Context, rollout.Command) (core.RolloutState, error) {
	return core.RolloutState{}, nil
}

func (b *busy) Throw(_ context.Context, s live.Switch) (live.Switch, error) { return s, nil }

func (b *busy) State() api.State {
	n := int(b.looks.Add(1))
	now := time.Now()
	r := &live.RolloutStatus{Rule: "ramp", Version: "v2", Plan: []string{"1% for 10m", "5% for 30m min 200",
		"25% until approved", "100% for 1h"}, Phase: core.PhaseRunning, Step: 2, Steps: 4, Percent: 5, Attempt: 1, Epoch: 4,
		Reason: "step 2 of 4 (5 %)", By: "gray", Since: now.Add(-time.Minute), Began: now.Add(-time.Hour),
		StepSince: now.Add(-time.Minute), History: b.history}
	for _, line := range []string{"errors", "latency p90", "errors < 2%"} {
		r.Guards = append(r.Guards, core.RolloutVerdict{Guard: line, Then: "rollback", Verdict: "good",
			Evidence: float64(n%7) / 3, Threshold: 6.9, Canary: core.RolloutArm{Callers: n, Bad: n / 100},
			Control: core.RolloutArm{Callers: 20 * n, Bad: n / 5}})
	}
	s := api.State{State: live.State{Service: b.name, Source: "etcd://10.0.0.9:2379/gray/" + b.name, Connected: true,
		Origin: "source", Revision: "4711", Since: now, Rollout: r}, Rules: api.Rules(b.engine),
		Versions: b.versions, Gateways: b.gateways}
	t := &api.Traffic{At: now}
	for i, v := range []string{"v1", "v2"} {
		count := float64(n * (100 - 90*i))
		t.Decisions = append(t.Decisions, api.Decisions{Version: v, Rule: "ramp", Count: count})
		t.Responses = append(t.Responses, api.Responses{Version: v, Count: count, Failed: count / 100,
			Latency: []api.Bucket{{Seconds: 0.1, Count: count / 2}, {Seconds: 1, Count: count}}})
	}
	s.Traffic = t
	return s
}

// counting counts the bytes that are sent.
type counting struct {
	http.ResponseWriter
	sent *atomic.Int64
}

func (c counting) Write(p []byte) (int, error) {
	c.sent.Add(int64(len(p)))
	return c.ResponseWriter.Write(p)
}

func (c counting) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// With 200 services and 50 gateways, and an hour of history, the page is there soon and small,
// paints changes fast, and holds no more after an hour's worth of events. Times are logged: they
// are those of the machine, and only far more than expected fails.
func TestConsoleAtScale(t *testing.T) {
	engine, err := core.Load([]byte(newService(t).policy(`"1% for 10m", "5% for 30m min 200", "25% until approved",
		"100% for 1h"`, `"errors", "latency p90", "errors < 2%"`)))
	require.NoError(t, err)
	t.Cleanup(engine.Close)
	var services []api.Service
	for i := range 200 {
		services = append(services, newBusy(fmt.Sprintf("service-%03d", i), engine))
	}
	feed := api.NewFeed(func() []api.Service { return services })
	const samples = 1800 // an hour, each 2 seconds
	began := time.Now()
	for i := range samples {
		feed.Sample(began.Add(time.Duration(i-samples) * 2 * time.Second))
	}
	t.Logf("an hour of samples of 200 services took %v", time.Since(began).Round(time.Millisecond))
	ctx, cancel := context.WithCancel(context.Background())
	var run = make(chan struct{})
	go func() { feed.Run(ctx); close(run) }()
	t.Cleanup(func() { cancel(); <-run })
	callers, err := daemon.ReadCallers(nil, nil)
	require.NoError(t, err)
	handler := console.Handler(api.New(feed, callers))
	var sent atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(counting{w, &sent}, r)
	}))
	t.Cleanup(server.Close) // after the browser: a page whose gateway is gone says so

	b := openPage(t, server.URL, "en-US")
	b.await(`document.querySelectorAll(".list li").length === 200`)
	first := eval[float64](b, `performance.getEntriesByType("resource").
		filter((e) => e.name.endsWith("/gray/v1/"))[0].responseEnd`)
	painted := eval[float64](b, `performance.getEntriesByName("first-contentful-paint")[0].startTime`)
	t.Logf("first paint after %.0f ms, all services known after %.0f ms, %d kB", painted, first, sent.Load()/1000)
	assert.Less(t, sent.Load(), int64(300_000))
	assert.Less(t, first, 5000.0)

	// How long the page is busy with one change of all 200 services.
	longest := eval[float64](b, `new Promise((resolve) => {
		let longest = 0;
		new PerformanceObserver((list) => { for (const e of list.getEntries()) longest = Math.max(longest, e.duration); })
			.observe({type: "longtask"});
		setTimeout(() => resolve(longest), 6000);
	})`)
	t.Logf("the longest task while all services change: %.0f ms (0: less than 50)", longest)
	assert.Less(t, longest, 1000.0)

	b.run(chromedp.Navigate(server.URL + "/#/service-007"))
	b.await(`document.querySelectorAll("figure").length >= 8`)
	used := func() float64 {
		var bytes float64
		b.run(heapprofiler.CollectGarbage(), chromedp.ActionFunc(func(ctx context.Context) error {
			var err error
			bytes, _, _, _, err = runtime.GetHeapUsage().Do(ctx)
			return err
		}))
		return bytes
	}
	nodes := func() int { return eval[int](b, `document.querySelectorAll("*").length`) }
	settle := func(events int) {
		for range events {
			feed.Changed("service-007")
			time.Sleep(time.Millisecond)
		}
		b.run(chromedp.Sleep(3 * time.Second))
	}
	settle(200)
	heapBefore, nodesBefore := used(), nodes()
	settle(3600)
	heapAfter, nodesAfter := used(), nodes()
	t.Logf("heap %.1f MB before, %.1f MB after 3,600 events; %d and %d elements", heapBefore/1e6, heapAfter/1e6,
		nodesBefore, nodesAfter)
	assert.Less(t, heapAfter, 1.5*heapBefore+1e6)
	assert.InDelta(t, nodesBefore, nodesAfter, 100)
}
