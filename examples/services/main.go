// Command services is one of three services, registered in Consul: a calls b over HTTP, and b calls
// c over gRPC. Each says who it is, and c says which version the caller has.
//
//	go run ./examples/services -name b -version v2
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/service"
	"github.com/grayrelease/gray/service/graygrpc"
)

func main() {
	name := flag.String("name", "a", "which service: a, b or c")
	version := flag.String("version", "v1", "its version")
	consul := flag.String("consul", "127.0.0.1:8500", "the Consul agent")
	flag.Parse()
	runner := service.Runner{
		Registry: "consul://" + *consul + "/" + *name,
		Instance: service.Instance{Version: *version},
		Notice:   time.Second, // gateways and callers follow Consul, which tells them at once
	}
	// Where any of the services runs, and the policy with the switch beside it that all obey.
	others := map[string]service.Target{"*": {
		Discover: "consul://" + *consul + "/{service}",
		Source:   &live.Source{URL: "consul://" + *consul + "/gray/shop"},
	}}
	self := *name + " " + *version
	var err error
	switch *name {
	case "a":
		err = runA(self, runner, others)
	case "b":
		err = runB(self, runner, others)
	case "c":
		err = runC(self, runner)
	default:
		err = fmt.Errorf("%q: want a, b or c", *name)
	}
	if err != nil {
		log.Fatal(err)
	}
}

// runA answers over HTTP, and calls b over HTTP.
func runA(self string, runner service.Runner, others map[string]service.Target) error {
	transport, err := service.NewTransport(service.TransportOptions{Services: others})
	if err != nil {
		return err
	}
	defer transport.Close()
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	return serve(runner, self, func(ctx context.Context) (string, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "gray://b/", http.NoBody)
		if err != nil {
			return "", err
		}
		response, err := client.Do(r)
		if err != nil {
			return "", err
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		return string(text), err
	})
}

// runB answers over HTTP, and calls c over gRPC.
func runB(self string, runner service.Runner, others map[string]service.Target) error {
	options, err := graygrpc.DialOptions(graygrpc.Options{Services: others})
	if err != nil {
		return err
	}
	options = append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))
	conn, err := grpc.NewClient("gray:///c", options...)
	if err != nil {
		return err
	}
	defer conn.Close()
	return serve(runner, self, func(ctx context.Context) (string, error) {
		answer := &wrapperspb.StringValue{}
		err := conn.Invoke(ctx, whoMethod, &emptypb.Empty{}, answer)
		return answer.GetValue(), err
	})
}

// serve answers over HTTP with who it is, and with what the next service says.
func serve(runner service.Runner, self string, next func(context.Context) (string, error)) error {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, err := next(r.Context())
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		_, _ = fmt.Fprintf(w, "%s > %s", self, text)
	})
	return runner.Run(&http.Server{
		Addr: "127.0.0.1:0", Handler: service.Handler(handler), ReadHeaderTimeout: 10 * time.Second,
	})
}

// runC answers over gRPC.
func runC(self string, runner service.Runner) error {
	server := grpc.NewServer(graygrpc.ServerOptions()...)
	server.RegisterService(&whoService, self)
	return graygrpc.Run("127.0.0.1:0", server, runner)
}

const whoMethod = "/example.C/Who"

// whoService is what protoc would generate for
//
//	service C { rpc Who(google.protobuf.Empty) returns (google.protobuf.StringValue); }
var whoService = grpc.ServiceDesc{ServiceName: "example.C", HandlerType: (*any)(nil), Methods: []grpc.MethodDesc{{
	MethodName: "Who",
	Handler: func(
		self any, ctx context.Context, decode func(any) error, intercept grpc.UnaryServerInterceptor,
	) (any, error) {
		request := &emptypb.Empty{}
		if err := decode(request); err != nil {
			return nil, err
		}
		info := &grpc.UnaryServerInfo{Server: self, FullMethod: whoMethod}
		return intercept(ctx, request, info, func(ctx context.Context, _ any) (any, error) {
			return wrapperspb.String(fmt.Sprintf("%s, for a caller of %s", self, service.Version(ctx))), nil
		})
	},
}}}
