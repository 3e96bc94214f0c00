package graygrpc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/service"
	"github.com/grayrelease/gray/service/graygrpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.DiscardHandler)

// echo answers each kind of call with its name, the version in the context, and what the metadata
// say.
type echo struct {
	testpb.UnimplementedTestServiceServer
	name string
}

func (e *echo) text(ctx context.Context) *testpb.Payload {
	md, _ := metadata.FromIncomingContext(ctx)
	return &testpb.Payload{Body: fmt.Appendf(nil, "%s %s %s", e.name, service.Version(ctx), md["baggage"])}
}

func (e *echo) UnaryCall(ctx context.Context, _ *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
	return &testpb.SimpleResponse{Payload: e.text(ctx)}, nil
}

func (e *echo) StreamingOutputCall(_ *testpb.StreamingOutputCallRequest,
	s grpc.ServerStreamingServer[testpb.StreamingOutputCallResponse],
) error {
	return s.Send(&testpb.StreamingOutputCallResponse{Payload: e.text(s.Context())})
}

func (e *echo) StreamingInputCall(
	s grpc.ClientStreamingServer[testpb.StreamingInputCallRequest, testpb.StreamingInputCallResponse],
) error {
	for {
		if _, err := s.Recv(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
	}
	if err := s.SetHeader(metadata.Pairs("text", string(e.text(s.Context()).Body))); err != nil {
		return err
	}
	return s.SendAndClose(&testpb.StreamingInputCallResponse{})
}

func (e *echo) FullDuplexCall(
	s grpc.BidiStreamingServer[testpb.StreamingOutputCallRequest, testpb.StreamingOutputCallResponse],
) error {
	for {
		if _, err := s.Recv(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := s.Send(&testpb.StreamingOutputCallResponse{Payload: e.text(s.Context())}); err != nil {
			return err
		}
	}
}

// place starts an instance and returns its address.
func place(t testing.TB, name string) (address string, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := grpc.NewServer(graygrpc.ServerOptions()...)
	testpb.RegisterTestServiceServer(server, &echo{name: name})
	go func() { _ = server.Serve(l) }()
	t.Cleanup(server.Stop)
	return l.Addr().String(), server.Stop
}

func dial(t testing.TB, target string, o graygrpc.Options) testpb.TestServiceClient {
	t.Helper()
	options, err := graygrpc.DialOptions(o)
	require.NoError(t, err)
	conn, err := grpc.NewClient(target, append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return testpb.NewTestServiceClient(conn)
}

// kinds are the kinds of calls.
var kinds = map[string]func(ctx context.Context, c testpb.TestServiceClient) (string, error){
	"unary": func(ctx context.Context, c testpb.TestServiceClient) (string, error) {
		answer, err := c.UnaryCall(ctx, &testpb.SimpleRequest{})
		return string(answer.GetPayload().GetBody()), err
	},
	"server": func(ctx context.Context, c testpb.TestServiceClient) (string, error) {
		s, err := c.StreamingOutputCall(ctx, &testpb.StreamingOutputCallRequest{})
		if err != nil {
			return "", err
		}
		answer, err := s.Recv()
		return string(answer.GetPayload().GetBody()), err
	},
	"client": func(ctx context.Context, c testpb.TestServiceClient) (string, error) {
		s, err := c.StreamingInputCall(ctx)
		if err != nil {
			return "", err
		}
		if _, err = s.CloseAndRecv(); err != nil {
			return "", err
		}
		header, err := s.Header()
		return strings.Join(header["text"], "+"), err
	},
	"bidirectional": func(ctx context.Context, c testpb.TestServiceClient) (string, error) {
		s, err := c.FullDuplexCall(ctx)
		if err != nil {
			return "", err
		}
		if err = s.Send(&testpb.StreamingOutputCallRequest{}); err != nil {
			return "", err
		}
		answer, err := s.Recv()
		if err == nil {
			err = s.CloseSend()
		}
		return string(answer.GetPayload().GetBody()), err
	},
}

func called(ctx context.Context, t *testing.T, c testpb.TestServiceClient, kind, version string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(service.WithVersion(ctx, version), 20*time.Second)
	defer cancel()
	return kinds[kind](ctx, c)
}

func policy(v1, v2 []string) service.Target {
	return service.Target{Logger: quiet, Policy: &core.Policy{
		Service: "cart", Stable: "v1",
		Versions: map[string]core.Version{"v1": {Upstreams: v1}, "v2": {Upstreams: v2}},
	}}
}

func TestCallsReachVersions(t *testing.T) {
	one, _ := place(t, "one")
	two, _ := place(t, "two")
	c := dial(t, "gray:///cart", graygrpc.Options{Services: map[string]service.Target{
		"cart": policy([]string{one}, []string{two}),
	}})
	for kind := range kinds {
		for version, want := range map[string]string{
			"": "one  []", "v1": "one v1 [gray=v1]", "v2": "two v2 [gray=v2]", "v3": "one v3 [gray=v3]",
		} {
			got, err := called(t.Context(), t, c, kind, version)
			require.NoError(t, err, kind)
			assert.Equal(t, want, got, kind)
		}
	}
}

// A caller who carries a version waits for its instance rather than be the first at another one.
func TestFirstCallIsRight(t *testing.T) {
	one, _ := place(t, "one")
	two, _ := place(t, "two")
	for range 50 {
		c := dial(t, "gray:///cart", graygrpc.Options{Services: map[string]service.Target{
			"*": policy([]string{one}, []string{two}),
		}})
		got, err := called(t.Context(), t, c, "unary", "v2")
		require.NoError(t, err)
		assert.Equal(t, "two v2 [gray=v2]", got)
	}
}

func TestInstancesThatFail(t *testing.T) {
	one, stopOne := place(t, "one")
	two, stopTwo := place(t, "two")
	c := dial(t, "gray:///cart", graygrpc.Options{Services: map[string]service.Target{
		"cart": policy([]string{one}, []string{two, "127.0.0.1:1"}),
	}})
	for range 20 {
		got, err := called(t.Context(), t, c, "unary", "v2")
		require.NoError(t, err)
		require.Equal(t, "two v2 [gray=v2]", got, "the other one cannot be reached")
	}
	stopTwo()
	require.Eventually(t, func() bool {
		got, err := called(t.Context(), t, c, "unary", "v2")
		return err == nil && got == "one v2 [gray=v2]"
	}, 20*time.Second, time.Millisecond, "stable serves, and the version goes on")
	stopOne()
	require.Eventually(t, func() bool {
		_, err := called(t.Context(), t, c, "unary", "v2")
		return status.Code(err) == codes.Unavailable && strings.Contains(err.Error(), "no instance can be reached")
	}, 20*time.Second, time.Millisecond)
}

func TestSwitchCounts(t *testing.T) {
	one, _ := place(t, "one")
	two, _ := place(t, "two")
	document := filepath.Join(t.TempDir(), "cart.json")
	require.NoError(t, os.WriteFile(document, fmt.Appendf(nil, `{"service": "cart", "stable": "v1",
		"versions": {"v1": {"upstreams": [%q]}, "v2": {"upstreams": [%q]}}}`, one, two), 0o600))
	c := dial(t, "gray:///cart", graygrpc.Options{Services: map[string]service.Target{
		"cart": {Logger: quiet, Source: &live.Source{URL: "file://" + document + "?interval=10ms"}},
	}})
	got, err := called(t.Context(), t, c, "unary", "v2")
	require.NoError(t, err)
	require.Equal(t, "two v2 [gray=v2]", got)
	require.NoError(t, os.WriteFile(document+".switch", []byte(`{"epoch": 1, "to": "v1"}`), 0o600))
	require.Eventually(t, func() bool {
		got, err := called(t.Context(), t, c, "unary", "v2")
		return err == nil && got == "one v2 [gray=v2]"
	}, 20*time.Second, time.Millisecond)
}

func TestCarriedToListedHostsAlone(t *testing.T) {
	one, _ := place(t, "one")
	ctx := metadata.AppendToOutgoingContext(t.Context(), "baggage", "a=b,gray=v9", "x-gray-version", "v9", "other", "x")
	for _, c := range []struct {
		domains []string
		want    string
	}{
		{nil, "one  [a=b]"}, {[]string{"127.0.0.1"}, "one v2 [a=b,gray=v2]"}, {[]string{"*.example.com"}, "one  [a=b]"},
	} {
		client := dial(t, one, graygrpc.Options{Domains: c.domains})
		got, err := called(ctx, t, client, "bidirectional", "v2")
		require.NoError(t, err)
		assert.Equal(t, c.want, got, c.domains)
	}
	services := map[string]service.Target{"cart": policy([]string{one}, nil)}
	got, err := called(ctx, t, dial(t, "gray:///cart", graygrpc.Options{Services: services}), "unary", "v2")
	require.NoError(t, err)
	assert.Equal(t, "one v2 [a=b,gray=v2]", got)
}

func TestWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		o    graygrpc.Options
		want string
	}{
		{graygrpc.Options{Domains: []string{"a/b"}}, "Domains: "},
		{graygrpc.Options{MethodConfig: "{"}, "MethodConfig: want a JSON array"},
		{graygrpc.Options{Services: map[string]service.Target{"cart": {Discover: "consul://h/cart"}}},
			"Services.cart.Stable: required without a policy"},
	} {
		_, err := graygrpc.DialOptions(c.o)
		assert.ErrorContains(t, err, c.want)
	}
	o := graygrpc.Options{Patience: 10 * time.Millisecond, Services: map[string]service.Target{
		"cart": {Discover: "consul://127.0.0.1:1/cart", Stable: "v1", Logger: quiet},
		"none": {Policy: &core.Policy{Service: "none", Stable: "v1", Versions: map[string]core.Version{"v1": {}}}},
	}}
	for target, want := range map[string]string{
		"gray:///cart": "cart: it is not known yet where the service runs",
		"gray:///user": `"user" is not one of the services: add it to Services, or "*" for all`,
		"gray://cart":  "want gray:///cart, with three slashes",
		"gray:///none": "it is not known where the stable version runs",
	} {
		options, err := graygrpc.DialOptions(o)
		require.NoError(t, err)
		conn, err := grpc.NewClient(target, append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
		if err == nil {
			_, err = called(t.Context(), t, testpb.NewTestServiceClient(conn), "unary", "v2")
			_ = conn.Close()
		}
		assert.ErrorContains(t, err, want, target)
	}
}

// A server that ends is not serving by its health, serves on, finishes what is open, and stops.
func TestDrain(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := grpc.NewServer(graygrpc.ServerOptions()...)
	testpb.RegisterTestServiceServer(server, &echo{name: "one"})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- graygrpc.Serve(ctx, l, server, service.Runner{Notice: 200 * time.Millisecond, Logger: quiet})
	}()
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	defer conn.Close()
	health, err := healthpb.NewHealthClient(conn).Watch(t.Context(), &healthpb.HealthCheckRequest{})
	require.NoError(t, err)
	answer, err := health.Recv()
	require.NoError(t, err)
	assert.Equal(t, healthpb.HealthCheckResponse_SERVING, answer.Status)
	stream, err := testpb.NewTestServiceClient(conn).FullDuplexCall(t.Context())
	require.NoError(t, err)
	say := func() {
		t.Helper()
		require.NoError(t, stream.Send(&testpb.StreamingOutputCallRequest{}))
		_, err := stream.Recv()
		require.NoError(t, err)
	}
	say()
	cancel()
	answer, err = health.Recv()
	require.NoError(t, err)
	assert.Equal(t, healthpb.HealthCheckResponse_NOT_SERVING, answer.Status)
	_, err = testpb.NewTestServiceClient(conn).UnaryCall(t.Context(), &testpb.SimpleRequest{})
	require.NoError(t, err, "who has not noticed is served")
	say()
	require.NoError(t, stream.CloseSend())
	_, err = stream.Recv()
	require.ErrorIs(t, err, io.EOF)
	_, err = health.Recv()
	require.Equal(t, codes.Canceled, status.Code(err), "a watch would last for ever")
	require.NoError(t, <-ended)
}
