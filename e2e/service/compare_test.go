package service

import (
	"context"
	"flag"
	"net"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/service"
	"github.com/grayrelease/gray/service/graygrpc"
)

var compare = flag.Bool("compare", false, "run the comparisons, which take minutes and measure")

// benchmarked answers as the server of grpc-go's own benchmark does.
type benchmarked struct {
	testpb.UnimplementedBenchmarkServiceServer
}

func (benchmarked) UnaryCall(_ context.Context, q *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
	return &testpb.SimpleResponse{Payload: &testpb.Payload{Body: make([]byte, q.ResponseSize)}}, nil
}

// A unary call in the shape of grpc-go's own benchmark, one byte there and back, over TCP to three
// instances: by round_robin; the same with the metadata that carry a version, made once by hand;
// with our interceptor and picker in the client instead; and with ours in the server too. They take
// turns. What gray itself costs is the difference to the second: anything in the metadata has a
// price.
func TestCompareCalls(t *testing.T) {
	if !*compare {
		t.Skip("without -compare")
	}
	carried := service.WithVersion(context.Background(), "v2")
	byHand := metadata.NewOutgoingContext(carried, metadata.Pairs("x-gray-version", "v2", "baggage", "gray=v2"))
	plain, gray := startBenchmarked(t, nil), startBenchmarked(t, graygrpc.ServerOptions())
	dials := []struct {
		name   string
		client testpb.BenchmarkServiceClient
		ctx    context.Context
	}{
		{"round_robin", roundRobin(t, plain), carried},
		{"round_robin, metadata by hand", roundRobin(t, plain), byHand},
		{"gray in the client", grayTo(t, plain), carried},
		{"metadata by hand, gray in server", roundRobin(t, gray), byHand},
		{"gray in both", grayTo(t, gray), carried},
	}
	const rounds, calls = 40, 2000
	times, allocations := make([][]float64, len(dials)), make([][]float64, len(dials))
	for range rounds {
		for i, d := range dials {
			took, allocated := measure(t, d.ctx, d.client, calls)
			times[i] = append(times[i], float64(took.Nanoseconds())/calls)
			allocations[i] = append(allocations[i], float64(allocated)/calls)
		}
	}
	for i, d := range dials {
		t.Logf("%-32s %8.0f ns (best %6.0f) %6.1f allocations, to the first %+6.0f ns %+5.1f, to the second %+6.0f ns %+5.1f",
			d.name, median(times[i]), slices.Min(times[i]), median(allocations[i]),
			median(differences(times[i], times[0])), median(differences(allocations[i], allocations[0])),
			median(differences(times[i], times[1])), median(differences(allocations[i], allocations[1])))
	}
}

func startBenchmarked(t *testing.T, options []grpc.ServerOption) (addresses []string) {
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		server := grpc.NewServer(options...)
		testpb.RegisterBenchmarkServiceServer(server, benchmarked{})
		go func() { _ = server.Serve(l) }()
		t.Cleanup(server.Stop)
		addresses = append(addresses, l.Addr().String())
	}
	return addresses
}

func roundRobin(t *testing.T, addresses []string) testpb.BenchmarkServiceClient {
	r := manual.NewBuilderWithScheme("manual")
	state := resolver.State{}
	for _, address := range addresses {
		state.Addresses = append(state.Addresses, resolver.Address{Addr: address})
	}
	r.InitialState(state)
	return dialBenchmarked(t, "manual:///cart", grpc.WithResolvers(r),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig": [{"round_robin": {}}]}`))
}

func grayTo(t *testing.T, addresses []string) testpb.BenchmarkServiceClient {
	options, err := graygrpc.DialOptions(graygrpc.Options{Services: map[string]service.Target{"cart": {
		Logger: quiet, Policy: &core.Policy{Service: "cart", Stable: "v1", Versions: map[string]core.Version{
			"v1": {Upstreams: addresses}, "v2": {Upstreams: addresses},
		}},
	}}})
	require.NoError(t, err)
	return dialBenchmarked(t, "gray:///cart", options...)
}

func dialBenchmarked(t *testing.T, target string, options ...grpc.DialOption) testpb.BenchmarkServiceClient {
	conn, err := grpc.NewClient(target, append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return testpb.NewBenchmarkServiceClient(conn)
}

func measure(t *testing.T, ctx context.Context, client testpb.BenchmarkServiceClient, calls int) (
	took time.Duration, allocated uint64,
) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	for range calls {
		payload := &testpb.Payload{Body: make([]byte, 1)}
		_, err := client.UnaryCall(ctx, &testpb.SimpleRequest{ResponseSize: 1, Payload: payload})
		require.NoError(t, err)
	}
	took = time.Since(began)
	runtime.ReadMemStats(&after)
	return took, after.Mallocs - before.Mallocs
}

func differences(a, b []float64) []float64 {
	all := make([]float64, len(a))
	for i := range a {
		all[i] = a[i] - b[i]
	}
	return all
}

func median(of []float64) float64 {
	sorted := slices.Sorted(slices.Values(of))
	return sorted[len(sorted)/2]
}
