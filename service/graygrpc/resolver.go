package graygrpc

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/attributes"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/serviceconfig"

	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/service"
)

// scheme of the targets: gray:///user-service.
const scheme = "gray"

// builder makes resolvers that follow services.
type builder struct {
	services map[string]service.Target
	patience time.Duration
	config   string
}

// NewBuilder returns the resolver of gray:///user-service, for grpc.WithResolvers. Its balancer
// comes with it. DialOptions has it already.
func NewBuilder(o Options) (resolver.Builder, error) {
	config, err := serviceConfig(o.MethodConfig)
	if err != nil {
		return nil, err
	}
	for name, target := range o.Services {
		if err := target.Check(name); err != nil {
			return nil, problem.Of(err).Under(problem.Field("Services", name))
		}
	}
	if o.Patience <= 0 {
		o.Patience = 5 * time.Second
	}
	return &builder{services: o.Services, patience: o.Patience, config: config}, nil
}

// Scheme implements resolver.Builder.
func (b *builder) Scheme() string { return scheme }

// Build implements resolver.Builder.
func (b *builder) Build(
	target resolver.Target, conn resolver.ClientConn, _ resolver.BuildOptions,
) (resolver.Resolver, error) {
	name := strings.ToLower(target.Endpoint())
	of, ok := b.services[name]
	if !ok {
		of, ok = b.services["*"]
	}
	switch {
	case target.URL.Host != "":
		return nil, fmt.Errorf("%s: want gray:///%s, with three slashes", target.URL.String(), target.URL.Host)
	case !ok:
		return nil, fmt.Errorf("%q is not one of the services: add it to Services, or \"*\" for all", name)
	}
	if err := of.Check(name); err != nil {
		return nil, err
	}
	follower, err := service.Follow(name, of)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &following{
		conn: conn, follower: follower, config: conn.ParseServiceConfig(b.config), patience: b.patience,
		changed: make(chan struct{}, 1), cancel: cancel,
	}
	r.running.Go(func() { r.run(ctx) })
	return r, nil
}

// following is a resolver that follows one service.
type following struct {
	conn     resolver.ClientConn
	follower *service.Follower
	config   *serviceconfig.ParseResult
	patience time.Duration
	changed  chan struct{}
	cancel   context.CancelFunc
	running  sync.WaitGroup
}

// ResolveNow implements resolver.Resolver. The registry is followed anyway.
func (r *following) ResolveNow(resolver.ResolveNowOptions) {}

// Close implements resolver.Resolver.
func (r *following) Close() {
	r.cancel()
	r.running.Wait()
	r.follower.Close()
}

func (r *following) run(ctx context.Context) {
	if !r.await(ctx) {
		return
	}
	stop := r.follower.OnChange(func(*service.View) {
		select {
		case r.changed <- struct{}{}:
		default: // it is to look already
		}
	})
	defer stop()
	for {
		select {
		case <-r.changed:
			r.show(r.follower.View())
		case <-ctx.Done():
			return
		}
	}
}

// await waits until it is known where the service runs, and reports whether ctx is still alive.
// Calls fail when that takes long.
func (r *following) await(ctx context.Context) bool {
	for ctx.Err() == nil {
		waiting, cancel := context.WithTimeout(ctx, r.patience)
		err := r.follower.Await(waiting)
		cancel()
		if err == nil {
			return true
		}
		if ctx.Err() == nil {
			r.conn.ReportError(err)
		}
	}
	return false
}

// followerKey has the attribute of a resolver's state by which the balancer gets the follower, and
// viewKey that by which it gets the view.
type (
	followerKey struct{}
	viewKey     struct{}
)

// show hands the instances of all versions to the balancer.
func (r *following) show(v *service.View) {
	var addresses []resolver.Address
	seen := map[string]bool{}
	for _, version := range v.Versions() {
		for _, u := range v.Upstreams(version) {
			if !seen[u.Address] {
				seen[u.Address] = true
				addresses = append(addresses, resolver.Address{Addr: u.Address})
			}
		}
	}
	_ = r.conn.UpdateState(resolver.State{
		Addresses: addresses, ServiceConfig: r.config,
		Attributes: attributes.New(followerKey{}, r.follower).WithValue(viewKey{}, v),
	})
}
