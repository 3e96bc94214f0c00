package graygrpc

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/metadata"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/service"
)

type fakeConn struct{ balancer.SubConn }

// client returns what the interceptor and the picker do for a call.
func client(t testing.TB) func() {
	t.Helper()
	c, err := newCarrier(Options{})
	require.NoError(t, err)
	follower, err := service.Follow("cart", service.Target{Policy: &core.Policy{
		Service: "cart", Stable: "v1", Versions: map[string]core.Version{
			"v1": {Upstreams: []string{"10.0.0.1:1"}}, "v2": {Upstreams: []string{"10.0.0.2:1"}},
		},
	}})
	require.NoError(t, err)
	t.Cleanup(follower.Close)
	ready := []balancer.SubConn{&fakeConn{}, &fakeConn{}}
	p := &picker{follower: follower, groups: map[string]*group{"v1": {ready: ready}, "v2": {ready: ready}}}
	ctx := service.Received(context.Background(), "v2")
	return func() {
		called := c.carry(ctx, "gray:///cart")
		if _, err := p.Pick(balancer.PickInfo{Ctx: called}); err != nil {
			t.Fatal(err)
		}
	}
}

// server returns what the interceptor does for a call.
func server(t testing.TB) func() {
	t.Helper()
	r := receiver{header: defaultHeader}
	ctx := metadata.NewIncomingContext(context.Background(), metadata.MD{
		"x-gray-version": {"v2"}, "baggage": {"gray=v2"}, "content-type": {"application/grpc"},
	})
	handle := func(context.Context, any) (any, error) { return nil, nil }
	return func() { _, _ = r.unary(ctx, nil, &grpc.UnaryServerInfo{}, handle) }
}

func TestAllocations(t *testing.T) {
	require.LessOrEqual(t, testing.AllocsPerRun(1000, client(t)), 2.0)
	require.LessOrEqual(t, testing.AllocsPerRun(1000, server(t)), 2.0)
}

// What gray adds to a call, without the call.
func BenchmarkAdded(b *testing.B) {
	for name, do := range map[string]func(){"client": client(b), "server": server(b)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				do()
			}
		})
	}
}

// FuzzReceive holds what other services send against what is true of all of it, and of what goes
// on.
func FuzzReceive(f *testing.F) {
	f.Add("v2", "a=b,gray=v2;p", true)
	f.Add("v2\r\nx: y", "gray=%76%32", false)
	f.Fuzz(func(t *testing.T, header, line string, both bool) {
		md := metadata.MD{baggageHeader: {line}}
		if both {
			md[defaultHeader] = []string{header}
		}
		ctx := receiver{header: defaultHeader}.receive(metadata.NewIncomingContext(context.Background(), md))
		version := service.Version(ctx)
		if version != "" && !core.IsVersionName(version) {
			t.Fatalf("%q is a version", version)
		}
		c := &carrier{header: defaultHeader}
		out, _ := metadata.FromOutgoingContext(c.carry(metadata.NewOutgoingContext(ctx, md), "gray:///cart"))
		if version == "" {
			return
		}
		got := out[defaultHeader]
		if len(got) != 1 || got[0] != version || core.CarriedVersion(out[baggageHeader]) != version {
			t.Fatalf("%q goes on as %q", version, out)
		}
	})
}

// Versions that callers make up are not kept for ever.
func TestKnownVersionsAreBounded(t *testing.T) {
	c := &carrier{header: defaultHeader}
	for i := range 10 * maxKnown {
		version := fmt.Sprint("v", i)
		require.Equal(t, []string{version}, c.of(version)[defaultHeader])
	}
	require.Len(t, *c.known.Load(), maxKnown)
}
