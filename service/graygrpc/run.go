package graygrpc

import (
	"context"
	"net"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/grayrelease/gray/service"
)

// Run serves on an address until SIGTERM or SIGINT, and drains, as service.Runner does. The server
// answers gRPC's health service by the Runner's Health, unless it has one already.
func Run(address string, server *grpc.Server, r service.Runner) error {
	prepare(server, &r)
	return r.RunServer(address, Server(server))
}

// Serve is Run on a listener until ctx ends.
func Serve(ctx context.Context, l net.Listener, server *grpc.Server, r service.Runner) error {
	prepare(server, &r)
	return r.Serve(ctx, l, Server(server))
}

func prepare(server *grpc.Server, r *service.Runner) {
	if r.Health == nil {
		r.Health = &service.Health{Logger: r.Logger}
	}
	if _, isThere := server.GetServiceInfo()[healthpb.Health_ServiceDesc.ServiceName]; !isThere {
		RegisterHealth(server, r.Health)
	}
}

// Server makes a service.Server of a gRPC server, for service.Runner.
func Server(server *grpc.Server) service.Server { return adapted{server} }

type adapted struct{ *grpc.Server }

// Shutdown implements service.Server.
func (s adapted) Shutdown(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.GracefulStop()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		s.Stop()
		<-done
		return ctx.Err()
	}
}
