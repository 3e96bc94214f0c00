package serve

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/rollout/guard"
	"github.com/grayrelease/gray/rollout/loop"
	"github.com/grayrelease/gray/rollout/weights"
)

// following is what a service's rollout is at, as far as signals need it. It is replaced whole.
type following struct {
	tracker *guard.Tracker // nil while nothing is to be compared
	plan    *core.RolloutPlan
	attempt int64
	step    int
	percent float64
	since   time.Time       // when this controller saw the step begin
	began   time.Time       // the attempt
	wanted  *weights.Wanted // of routes; nil as long as that is not known
	// pausedBy is the guard that has paused the rollout, "" if none has.
	pausedBy string
}

// isSameStep reports whether nothing has changed that figures depend on.
func (f *following) isSameStep(other *following) bool {
	return f != nil && other != nil && f.tracker == other.tracker && f.attempt == other.attempt && f.step == other.step &&
		f.percent == other.percent
}

// service moves the rollout of one service.
type service struct {
	config *Service
	server *Server
	log    *slog.Logger
	use    *loop.Use
	handle *live.Handle
	now    atomic.Pointer[following]

	gateways []*gateway
	routes   []*routed
}

func (v *service) followed() *following { return v.now.Load() }

// start opens the policy and joins the loop of its rollout.
func (v *service) start(state string) error {
	o := loop.Options{Service: v.config.Service, URL: v.config.Source, StoreOptions: v.config.Options, Folder: state,
		Logger: v.server.log, Event: v.server.happened, CountsRequests: len(v.config.Scrape) > 0}
	if v.config.Hook != nil {
		h := &hook{config: v.config.Hook, service: v.config.Service, client: v.server.client}
		o.Gate = h.ask
	}
	for i := range v.config.Routes {
		v.routes = append(v.routes, newRouted(v.server.cluster, &v.config.Routes[i]))
	}
	var err error
	if v.use, err = loop.Open(o); err != nil {
		return err
	}
	v.handle, err = live.Open(live.Options{Source: v.config.source(), Service: v.config.Service, Cache: state,
		Logger: v.server.log, Apply: v.apply})
	if err != nil {
		v.use.Close()
		return err
	}
	v.use.Start(v.handle)
	for _, address := range v.config.Gateways {
		v.gateways = append(v.gateways, &gateway{url: address, service: v.config.Service, client: v.server.client})
	}
	return nil
}

func (v *service) close() {
	v.use.Close()
	v.handle.Close()
}

// apply takes over what is in force.
func (v *service) apply(c *live.Current) error {
	f := &following{tracker: v.use.Follow(c)}
	if c.Engine != nil && c.Engine.Rollout() != nil && c.Rollout != nil {
		f.plan = c.Engine.Rollout()
		f.attempt = c.Rollout.Attempt
		f.step = c.Rollout.Step
		f.percent = c.Rollout.Percent
		f.began = c.Rollout.Began
		if c.Rollout.Phase == core.PhasePaused && c.Rollout.Verdict != nil {
			f.pausedBy = c.Rollout.Verdict.Guard
		}
	} else {
		f.tracker = nil
	}
	f.since = time.Now()
	if before := v.now.Load(); f.isSameStep(before) {
		f.since = before.since
	}
	f.wanted = wantedOf(c.Engine, c.Rollout)
	v.now.Store(f)
	for _, r := range v.routes {
		r.wake()
	}
	v.server.alerts.report(f)
	v.server.feed.Changed(v.config.Service)
	return nil
}

// run reads the service's signals until the context ends.
func (v *service) run(ctx context.Context) {
	var group sync.WaitGroup
	background := func(each time.Duration, look func(at time.Time)) {
		group.Go(func() { every(ctx, each, look) })
	}
	hear := func(kind, url string, each time.Duration, look func(f *following, at time.Time) error) {
		background(each, func(at time.Time) {
			if f := v.followed(); f != nil && f.tracker != nil {
				v.heard(signal{v.config.Service, kind, url}, look(f, at))
			}
		})
	}
	for i := range v.config.Scrape {
		s := &scraper{config: &v.config.Scrape[i], client: v.server.client}
		hear("scrape", s.config.URL, s.config.every, func(f *following, at time.Time) error {
			_, err := s.look(ctx, f, at)
			return err
		})
	}
	for _, address := range v.config.Gateways {
		g := &peer{url: address, service: v.config.Service, client: v.server.client}
		hear("gateway", address, time.Second, func(f *following, at time.Time) error { return g.look(ctx, f, at) })
	}
	for _, r := range v.routes {
		group.Go(func() { r.follow(ctx, v) })
	}
	for _, g := range v.gateways {
		background(max(gatewayEvery, time.Duration(v.server.countGateways())*lookEvery), func(at time.Time) {
			own := v.handle.State()
			g.look(ctx, &own, at)
		})
	}
	if p := v.server.config.Prometheus; p != nil {
		q, err := newQuerier(p, v.server.client)
		look := func(f *following, at time.Time) error {
			if err != nil {
				return err
			}
			return q.look(ctx, v.config.Service, f, at)
		}
		hear("prometheus", p.URL, p.every, look)
	}
	group.Wait()
}

// every calls look at once and then each interval, until the context ends.
func every(ctx context.Context, interval time.Duration, look func(at time.Time)) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		look(time.Now())
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// newClient speaks to signals, hooks and webhooks. It follows no redirects. Who asks sets the limit
// of time.
func newClient() *http.Client {
	return &http.Client{
		Transport:     http.DefaultTransport.(*http.Transport).Clone(),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
