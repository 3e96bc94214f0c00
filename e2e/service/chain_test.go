package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"

	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/e2e/backends"
	"github.com/grayrelease/gray/service"
	"github.com/grayrelease/gray/service/graygrpc"
)

// A request names its way as `b:http c:unary d:server`: each service on it calls the next in the
// way that is said. The answer is who served: `a=v1 b=v2 c=v1 d=v2`.

// node is an instance of one of the services of a chain, over HTTP and over gRPC. The latter is
// registered as the service's name and "-rpc".
type node struct {
	testpb.UnimplementedTestServiceServer
	name, version string
	caller        *caller
}

// caller calls services in the ways that there are.
type caller struct {
	http  *http.Client
	conns map[string]testpb.TestServiceClient // by service
}

var ways = []string{"http", "unary", "server", "client", "bidirectional"}

// call goes a way, and returns who served.
func (c *caller) call(ctx context.Context, way string) (string, error) {
	if way == "" {
		return "", nil
	}
	hop, rest, _ := strings.Cut(way, " ")
	name, kind, _ := strings.Cut(hop, ":")
	payload := &testpb.Payload{Body: []byte(rest)}
	switch kind {
	case "http":
		return c.callHTTP(ctx, name, rest)
	case "unary":
		answer, err := c.conns[name].UnaryCall(ctx, &testpb.SimpleRequest{Payload: payload})
		return string(answer.GetPayload().GetBody()), err
	case "server":
		s, err := c.conns[name].StreamingOutputCall(ctx, &testpb.StreamingOutputCallRequest{Payload: payload})
		if err != nil {
			return "", err
		}
		return received(s.Recv)
	case "client":
		s, err := c.conns[name].StreamingInputCall(ctx)
		if err != nil {
			return "", err
		}
		if err = s.Send(&testpb.StreamingInputCallRequest{Payload: payload}); err != nil && !errors.Is(err, io.EOF) {
			return "", err
		}
		if _, err = s.CloseAndRecv(); err != nil {
			return "", err
		}
		return strings.Join(s.Trailer()["trail"], "+"), nil
	}
	s, err := c.conns[name].FullDuplexCall(ctx)
	if err != nil {
		return "", err
	}
	if err = s.Send(&testpb.StreamingOutputCallRequest{Payload: payload}); err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	if err = s.CloseSend(); err != nil {
		return "", err
	}
	return received(s.Recv)
}

func (c *caller) callHTTP(ctx context.Context, name, rest string) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+name+"/", strings.NewReader(rest))
	if err != nil {
		return "", err
	}
	response, err := c.http.Do(r)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answered %d: %s", name, response.StatusCode, text)
	}
	return string(text), err
}

// received reads the answers of a stream to its end.
func received(receive func() (*testpb.StreamingOutputCallResponse, error)) (string, error) {
	text := ""
	for {
		answer, err := receive()
		if errors.Is(err, io.EOF) {
			return text, nil
		} else if err != nil {
			return "", err
		}
		text += string(answer.GetPayload().GetBody())
	}
}

// serve goes on, and says who served.
func (n *node) serve(ctx context.Context, rest string) (string, error) {
	trail, err := n.caller.call(ctx, rest)
	return strings.TrimSpace(n.name + "=" + n.version + " " + trail), err
}

func (n *node) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rest, err := io.ReadAll(r.Body)
	text := ""
	if err == nil {
		text, err = n.serve(r.Context(), string(rest))
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	_, _ = io.WriteString(w, text)
}

func (n *node) UnaryCall(ctx context.Context, q *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
	text, err := n.serve(ctx, string(q.GetPayload().GetBody()))
	return &testpb.SimpleResponse{Payload: &testpb.Payload{Body: []byte(text)}}, err
}

func (n *node) StreamingOutputCall(q *testpb.StreamingOutputCallRequest,
	s grpc.ServerStreamingServer[testpb.StreamingOutputCallResponse],
) error {
	text, err := n.serve(s.Context(), string(q.GetPayload().GetBody()))
	for part := range strings.SplitAfterSeq(text, " ") {
		if err == nil {
			err = s.Send(&testpb.StreamingOutputCallResponse{Payload: &testpb.Payload{Body: []byte(part)}})
		}
	}
	return err
}

func (n *node) StreamingInputCall(
	s grpc.ClientStreamingServer[testpb.StreamingInputCallRequest, testpb.StreamingInputCallResponse],
) error {
	rest := ""
	for {
		q, err := s.Recv()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		rest += string(q.GetPayload().GetBody())
	}
	text, err := n.serve(s.Context(), rest)
	if err != nil {
		return err
	}
	s.SetTrailer(metadata.Pairs("trail", text))
	return s.SendAndClose(&testpb.StreamingInputCallResponse{})
}

func (n *node) FullDuplexCall(
	s grpc.BidiStreamingServer[testpb.StreamingOutputCallRequest, testpb.StreamingOutputCallResponse],
) error {
	for {
		q, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		text, err := n.serve(s.Context(), string(q.GetPayload().GetBody()))
		if err != nil {
			return err
		}
		if err = s.Send(&testpb.StreamingOutputCallResponse{Payload: &testpb.Payload{Body: []byte(text)}}); err != nil {
			return err
		}
	}
}

// start serves and registers a node until the test ends, or end is called. The URL of the registry
// is given as what comes before the service's name, and what comes after.
func (n *node) start(t *testing.T, registry, options string) (end context.CancelFunc) {
	t.Helper()
	rpc := grpc.NewServer(graygrpc.ServerOptions()...)
	testpb.RegisterTestServiceServer(rpc, n)
	runner := service.Runner{
		Instance: service.Instance{Version: n.version}, Notice: 500 * time.Millisecond, Logger: quiet,
		// net/http waits five seconds for the first request of a connection, and clients open some that
		// they do not need in the end.
		Limit: 10 * time.Second,
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() { cancel(); running.Wait() })
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		return l
	}
	overHTTP, overRPC := runner, runner
	overHTTP.Registry, overRPC.Registry = registry+n.name+options, registry+n.name+"-rpc"+options
	running.Go(func() {
		server := &http.Server{Handler: service.Handler(n), ReadHeaderTimeout: time.Minute}
		assert.NoError(t, overHTTP.ServeHTTP(ctx, listen(), server))
	})
	running.Go(func() { assert.NoError(t, graygrpc.Serve(ctx, listen(), rpc, overRPC)) })
	return cancel
}

// chain is four services, the second and the fourth of which have a second version.
type chain struct {
	consul *backends.Backend
	edge   *caller // what a gateway would be
}

var chained = []string{"a", "b", "c", "d"}

func startChain(t *testing.T) *chain {
	t.Helper()
	c := &chain{consul: backends.Consul(t)}
	host := strings.TrimPrefix(c.consul.URL(""), "consul://")
	target := service.Target{
		Discover: "consul://" + host + "{service}", Stable: "v1", Logger: quiet,
		Source: &live.Source{URL: "consul://" + host + "gray/{service}"},
	}
	for _, name := range chained {
		for _, name := range []string{name, name + "-rpc"} {
			c.consul.Put("gray/"+name, fmt.Sprintf(`{"service": %q, "stable": "v1", "versions": {"v1": {}, "v2": {}}}`, name))
		}
	}
	nodes := map[string][]string{"a": {"v1"}, "b": {"v1", "v1", "v2"}, "c": {"v1"}, "d": {"v1", "v2", "v2"}}
	awaited := map[string]*watched{}
	for name, versions := range nodes {
		for _, name := range []string{name, name + "-rpc"} {
			awaited[name] = watch(t, "consul://"+host+name)
		}
		for _, version := range versions {
			n := &node{name: name, version: version}
			n.caller = newCaller(t, target)
			n.start(t, "consul://"+host, "")
		}
	}
	for name, versions := range nodes {
		awaited[name].awaitCount(len(versions))
		awaited[name+"-rpc"].awaitCount(len(versions))
	}
	c.edge = newCaller(t, target)
	return c
}

// awaitCount waits until so many instances are listed.
func (w *watched) awaitCount(want int) {
	w.t.Helper()
	for len(w.last) != want {
		select {
		case w.last = <-w.news:
		case <-time.After(time.Minute):
			w.t.Fatalf("%d instances, not %d", len(w.last), want)
		}
	}
}

// newCaller returns what an instance of a service would have.
func newCaller(t *testing.T, target service.Target) *caller {
	t.Helper()
	services := map[string]service.Target{}
	for _, name := range chained {
		services[name] = target
	}
	transport, err := service.NewTransport(service.TransportOptions{Services: services})
	require.NoError(t, err)
	t.Cleanup(transport.Close)
	c := &caller{http: &http.Client{Transport: transport}, conns: map[string]testpb.TestServiceClient{}}
	options, err := graygrpc.DialOptions(graygrpc.Options{Services: map[string]service.Target{"*": target}})
	require.NoError(t, err)
	options = append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))
	for _, name := range chained {
		conn, err := grpc.NewClient("gray:///"+name+"-rpc", options...)
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		c.conns[name] = testpb.NewTestServiceClient(conn)
	}
	return c
}

// request goes through all four services in ways taken at random.
func (c *chain) request(version string) (trail string, err error) {
	hops := make([]string, 0, len(chained))
	for _, name := range chained {
		hops = append(hops, name+":"+ways[rand.IntN(len(ways))])
	}
	ctx, cancel := context.WithTimeout(service.WithVersion(context.Background(), version), time.Minute)
	defer cancel()
	return c.edge.call(ctx, strings.Join(hops, " "))
}

const (
	allStable = "a=v1 b=v1 c=v1 d=v1"
	allGray   = "a=v1 b=v2 c=v1 d=v2"
)

// Ten thousand requests through four services, in all ways: never a gray instance for a stable
// caller, always for a gray one. In the middle the switches of the two services that have a canary
// are thrown, and nobody gets one any more.
func TestChain(t *testing.T) {
	requests := 10000
	if testing.Short() {
		requests = 2000
	}
	c := startChain(t)
	for version, want := range map[string]string{"": allStable, "v1": allStable, "v2": allGray} {
		got, err := c.request(version)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	var (
		next, gray, stable atomic.Int64
		thrown, lastGray   atomic.Int64 // when, in nanoseconds
		all                sync.WaitGroup
	)
	for range 16 {
		all.Go(func() {
			for {
				n := next.Add(1)
				if n > int64(requests) {
					return
				}
				if n == int64(requests)/2 {
					thrown.Store(time.Now().UnixNano())
					for _, name := range []string{"b", "b-rpc", "d", "d-rpc"} {
						c.consul.Put("gray/"+name+"/switch", `{"epoch": 1, "to": "v1"}`)
					}
				}
				version := []string{"v2", "v1", "v2", ""}[n%4]
				began := time.Now().UnixNano()
				trail, err := c.request(version)
				if !assert.NoError(t, err, "request %d", n) {
					return
				}
				if version != "v2" {
					stable.Add(1)
					assert.Equal(t, allStable, trail, "request %d", n)
					continue
				}
				gray.Add(1)
				if thrown.Load() == 0 {
					assert.Equal(t, allGray, trail, "request %d", n)
				} else if strings.Contains(trail, "v2") {
					for last := lastGray.Load(); last < began && !lastGray.CompareAndSwap(last, began); last = lastGray.Load() {
					}
				}
			}
		})
	}
	all.Wait()
	late := time.Duration(max(lastGray.Load()-thrown.Load(), 0))
	t.Logf("%d requests of stable callers, %d of gray ones; the last gray call began %s after the switch",
		stable.Load(), gray.Load(), late)
	assert.Less(t, late, time.Second)
	got, err := c.request("v2")
	require.NoError(t, err)
	assert.Equal(t, allStable, got)
}
