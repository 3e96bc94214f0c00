package graygrpc

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/grayrelease/gray/service"
)

// RegisterHealth has a server answer gRPC's health service: as SERVING while h is ready, for the
// whole server (the service ""). Once h drains, watches end with that news, as the server would
// wait for them. It is called before the server serves.
func RegisterHealth(server *grpc.Server, h *service.Health) {
	answers := health.NewServer()
	h.OnReady(func(failure error) {
		status := healthpb.HealthCheckResponse_SERVING
		if failure != nil {
			status = healthpb.HealthCheckResponse_NOT_SERVING
		}
		answers.SetServingStatus("", status)
	})
	healthpb.RegisterHealthServer(server, &healthServer{answers, h})
}

type healthServer struct {
	*health.Server
	health *service.Health
}

// Watch implements healthpb.HealthServer.
func (s *healthServer) Watch(r *healthpb.HealthCheckRequest, stream healthpb.Health_WatchServer) error {
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	return s.Server.Watch(r, &healthWatch{stream, s.health, ctx, cancel})
}

// healthWatch is a watch that ends with the news that the service drains.
type healthWatch struct {
	healthpb.Health_WatchServer
	health *service.Health
	ctx    context.Context
	end    context.CancelFunc
}

// Context implements grpc.ServerStream.
func (w *healthWatch) Context() context.Context { return w.ctx }

// Send implements healthpb.Health_WatchServer.
func (w *healthWatch) Send(r *healthpb.HealthCheckResponse) error {
	err := w.Health_WatchServer.Send(r)
	if w.health.Drains() {
		w.end()
	}
	return err
}
