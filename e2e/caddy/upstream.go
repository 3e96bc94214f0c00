// Package caddy runs the Caddy that this repository builds, as a process, in front of upstreams
// that are processes too.
package caddy

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/coder/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// upstreamVariable turns the test binary into an upstream. It holds a name, an address, and the
// file that counts POST requests.
const upstreamVariable = "GRAY_TEST_UPSTREAM"

// RunUpstream serves until the process is killed, if it was started to be an upstream.
func RunUpstream() {
	spec := os.Getenv(upstreamVariable)
	if spec == "" {
		return
	}
	parts := strings.Split(spec, ",")
	u := &upstream{name: parts[0]}
	journal, err := os.OpenFile(parts[2], os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		fatal(err)
	}
	u.journal = journal
	listener, err := net.Listen("tcp", parts[1])
	if err != nil {
		fatal(err)
	}
	server := &http.Server{Handler: u.handler(), Protocols: new(http.Protocols)}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	fatal(server.Serve(listener))
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// upstream is one instance of a version.
type upstream struct {
	name    string
	mu      sync.Mutex
	journal *os.File
}

func (u *upstream) handler() http.Handler {
	rpc := grpc.NewServer()
	healthpb.RegisterHealthServer(rpc, &checks{Server: health.NewServer(), name: u.name})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", u.get)
	mux.HandleFunc("POST /", u.post)
	mux.HandleFunc("GET /events", u.events)
	mux.HandleFunc("GET /socket", u.socket)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			rpc.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func (u *upstream) get(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "%s %s", u.name, r.Header.Get("X-Gray-Version"))
}

// post writes down the request before it answers, and so that a killed process has written it.
func (u *upstream) post(w http.ResponseWriter, r *http.Request) {
	id, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	u.mu.Lock()
	_, err = fmt.Fprintf(u.journal, "%s\n", id)
	u.mu.Unlock()
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	fmt.Fprint(w, u.name)
}

func (u *upstream) events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	fmt.Fprintf(w, "data: %s\n\n", u.name)
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

func (u *upstream) socket(w http.ResponseWriter, r *http.Request) {
	socket, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	for {
		kind, message, err := socket.Read(r.Context())
		if err != nil {
			return
		}
		if err := socket.Write(r.Context(), kind, append([]byte(u.name+": "), message...)); err != nil {
			return
		}
	}
}

// checks is gRPC's health service, whose answers say in their header who gave them.
type checks struct {
	*health.Server
	name string
}

func (c *checks) Check(ctx context.Context, req *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	if err := grpc.SetHeader(ctx, map[string][]string{"upstream": {c.name}}); err != nil {
		return nil, err
	}
	return c.Server.Check(ctx, req)
}

func (c *checks) Watch(req *healthpb.HealthCheckRequest,
	stream grpc.ServerStreamingServer[healthpb.HealthCheckResponse]) error {
	if err := stream.SetHeader(map[string][]string{"upstream": {c.name}}); err != nil {
		return err
	}
	for range 3 {
		if err := stream.Send(&healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_SERVING}); err != nil {
			return err
		}
	}
	return c.Server.Watch(req, stream)
}
