package graygrpc

import (
	"errors"
	"fmt"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"

	"github.com/grayrelease/gray/service"
)

// balancerName is that of the balancer in service configs.
const balancerName = "gray"

func init() { balancer.Register(balancers{}) }

// balancers builds the balancer of gray:/// targets. gRPC's package base would do, if it told
// instances that connect from those that cannot be reached: a caller who carries a version waits
// for the former.
type balancers struct{}

// Name implements balancer.Builder.
func (balancers) Name() string { return balancerName }

// Build implements balancer.Builder.
func (balancers) Build(conn balancer.ClientConn, _ balancer.BuildOptions) balancer.Balancer {
	return &instances{conn: conn, all: map[string]*instance{}}
}

// instances balances over the instances of all versions of a service. gRPC makes one call at a
// time.
type instances struct {
	conn     balancer.ClientConn
	follower *service.Follower
	view     *service.View
	all      map[string]*instance // by address
	failure  error                // of the last connection that could not be made
}

// instance is a connection to one.
type instance struct {
	conn  balancer.SubConn
	state connectivity.State
}

// UpdateClientConnState implements balancer.Balancer.
func (b *instances) UpdateClientConnState(s balancer.ClientConnState) error {
	attributes := s.ResolverState.Attributes
	follower, ok := attributes.Value(followerKey{}).(*service.Follower)
	view, known := attributes.Value(viewKey{}).(*service.View)
	if !ok || !known {
		return errors.New("the balancer gray serves targets gray:///service only")
	}
	b.follower, b.view = follower, view
	wanted := map[string]bool{}
	for _, address := range s.ResolverState.Addresses {
		wanted[address.Addr] = true
		if b.all[address.Addr] == nil {
			b.connect(address)
		}
	}
	for address, i := range b.all {
		if !wanted[address] {
			delete(b.all, address)
			i.conn.Shutdown() // calls under way finish
		}
	}
	b.show()
	return nil
}

func (b *instances) connect(address resolver.Address) {
	i := &instance{state: connectivity.Idle}
	//nolint:staticcheck // it warns of more than one address
	conn, err := b.conn.NewSubConn([]resolver.Address{address}, balancer.NewSubConnOptions{
		StateListener: func(s balancer.SubConnState) { b.changed(address.Addr, i, s) },
	})
	if err != nil {
		b.failure = err
		return
	}
	i.conn = conn
	b.all[address.Addr] = i
	conn.Connect()
}

// changed notes the state of a connection. One that failed counts as failed until it stands: so
// calls do not wait for what cannot be reached.
func (b *instances) changed(address string, i *instance, s balancer.SubConnState) {
	if b.all[address] != i {
		return // it was let go of
	}
	now := s.ConnectivityState
	if now == connectivity.Idle {
		i.conn.Connect()
	}
	if now == connectivity.TransientFailure {
		b.failure = s.ConnectionError
	}
	if i.state == connectivity.TransientFailure && now != connectivity.Ready {
		return
	}
	i.state = now
	b.show()
}

// show has calls picked by what is known now.
func (b *instances) show() {
	if b.view == nil {
		return
	}
	p := &picker{follower: b.follower, groups: map[string]*group{}, failure: b.failure}
	state := connectivity.TransientFailure
	for _, version := range b.view.Versions() {
		g := &group{}
		for _, u := range b.view.Upstreams(version) {
			i := b.all[u.Address]
			switch {
			case i == nil || i.state == connectivity.TransientFailure:
			case i.state == connectivity.Ready:
				g.ready = append(g.ready, i.conn)
				state = connectivity.Ready
			default:
				g.isPending = true
				if state != connectivity.Ready {
					state = connectivity.Connecting
				}
			}
		}
		g.begin()
		p.groups[version] = g
	}
	b.conn.UpdateState(balancer.State{ConnectivityState: state, Picker: p})
}

// ResolverError implements balancer.Balancer. Errors come before it is known where the service
// runs.
func (b *instances) ResolverError(err error) {
	if b.view == nil {
		b.conn.UpdateState(balancer.State{
			ConnectivityState: connectivity.TransientFailure, Picker: failing{fmt.Errorf("gray: %w", err)},
		})
	}
}

// UpdateSubConnState implements balancer.Balancer. It is not called: each connection has a
// listener.
func (b *instances) UpdateSubConnState(balancer.SubConn, balancer.SubConnState) {}

// ExitIdle implements balancer.Balancer. All connections are kept.
func (b *instances) ExitIdle() {}

// Close implements balancer.Balancer.
func (b *instances) Close() {}
