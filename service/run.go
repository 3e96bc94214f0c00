package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Server is what a Runner runs: an *http.Server, or what package graygrpc makes of a *grpc.Server.
type Server interface {
	// Serve serves on a listener until Shutdown is called.
	Serve(l net.Listener) error
	// Shutdown finishes what is open, and returns once that is done or ctx ends.
	Shutdown(ctx context.Context) error
}

// Runner runs a server, and ends it without failing a request. The zero value does that for a
// service that registers nowhere.
//
// At the end, on SIGTERM or SIGINT, the service
//
//   - is not ready from now on, so /readyz answers 503, and closes each HTTP connection with its
//     next response;
//   - deregisters;
//   - serves for as long as gateways may need to notice (Notice);
//   - stops accepting, and finishes what is open (Limit).
//
// A second signal ends the process at once.
type Runner struct {
	// Registry is the URL of the registry and the service's name there; see Registry.URL. The
	// instance registers once the server listens. Default: none.
	Registry string
	// Options are those of Registry. Default: none.
	Options map[string]string
	// Instance is what the registry is told; an Address that is not given is where the server
	// listens.
	Instance Instance
	// Registrations are further ones, made by Register, that end with the service, and follow its
	// health. Default: none.
	Registrations []*Registration
	// Health of the service. Default: one without checks.
	Health *Health
	// OwnProbes leaves /readyz and /healthz to the server's own handler. Default: Run answers them.
	OwnProbes bool
	// Notice is how long the service serves on after it has deregistered: the longest that a gateway
	// takes to notice, so the interval of its health checks, or of its questions at the registry.
	// Negative: not at all. Default: 5s.
	Notice time.Duration
	// Limit is how long requests under way may take to finish after that. Connections that were
	// taken over, as by websockets, are not waited for. Default: 20s; with Notice, that is less than
	// the 30s that Kubernetes gives.
	Limit time.Duration
	// Logger gets a line for each step. Default: slog.Default().
	Logger *slog.Logger
}

const (
	defaultNotice = 5 * time.Second
	defaultLimit  = 20 * time.Second
)

// Run is Runner.Run without options: it answers /readyz and /healthz, and drains.
func Run(server *http.Server) error { return Runner{}.Run(server) }

// Run serves on the server's address until SIGTERM or SIGINT, and drains. It serves TLS if the
// server's TLSConfig has certificates. The error says why the service could not start, or that
// requests under way had to be broken off; it is nil after a clean end.
//
// Run wraps the server's Handler, once: it answers the probes.
func (r Runner) Run(server *http.Server) error {
	address := server.Addr
	if address == "" {
		address = ":http"
	}
	return untilSignal(address, func(ctx context.Context, l net.Listener) error { return r.ServeHTTP(ctx, l, server) })
}

// RunServer serves on an address until SIGTERM or SIGINT, and drains. It is for servers that Run
// does not know.
func (r Runner) RunServer(address string, server Server) error {
	return untilSignal(address, func(ctx context.Context, l net.Listener) error { return r.Serve(ctx, l, server) })
}

// untilSignal serves on an address with a context that a signal ends. The next one ends the
// process.
func untilSignal(address string, serve func(context.Context, net.Listener) error) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	defer context.AfterFunc(ctx, stop)()
	var listening net.ListenConfig
	l, err := listening.Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return serve(ctx, l)
}

// ServeHTTP is Run on a listener until ctx ends.
func (r Runner) ServeHTTP(ctx context.Context, l net.Listener, server *http.Server) error {
	if r.Health == nil {
		r.Health = &Health{Logger: r.Logger}
	}
	handler := server.Handler
	if handler == nil {
		handler = http.DefaultServeMux
	}
	handler = closing(r.Health, handler)
	if !r.OwnProbes {
		handler = r.Health.Handler(handler)
	}
	server.Handler = handler
	c := server.TLSConfig
	if c != nil && (len(c.Certificates) > 0 || c.GetCertificate != nil || c.GetConfigForClient != nil) {
		return r.Serve(ctx, l, secureServer{server})
	}
	return r.Serve(ctx, l, server)
}

// closing has clients open new connections while the service drains, so that none sends a request
// on one that is being closed.
func closing(h *Health, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if h.Drains() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, req)
	})
}

type secureServer struct{ *http.Server }

// Serve implements Server.
func (s secureServer) Serve(l net.Listener) error { return s.ServeTLS(l, "", "") }

// Serve is RunServer on a listener until ctx ends.
func (r Runner) Serve(ctx context.Context, l net.Listener, server Server) error {
	if r.Health == nil {
		r.Health = &Health{Logger: r.Logger}
	}
	if r.Logger == nil {
		r.Logger = slog.Default()
	}
	var checks sync.WaitGroup
	defer checks.Wait()
	r.Health.runChecks(ctx)
	own, err := r.open(l)
	if err != nil {
		_ = l.Close()
		return err
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	checking, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	checks.Go(func() { r.Health.Run(checking) })
	registrations := slices.Concat(own, r.Registrations)
	defer r.begin(own, registrations)()
	r.Logger.Info("serving", "address", l.Addr().String())
	select {
	case err = <-served:
		r.deregister(registrations)
		if err != nil && !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("the server ended by itself: %w", err)
		}
		return nil
	case <-ctx.Done():
	}
	r.leave(registrations)
	return r.finish(server, served)
}

// begin has all registrations follow the service's health, and starts those of the runner. Stop
// ends the former.
func (r Runner) begin(own, all []*Registration) (stop func()) {
	var stops []func()
	for _, registration := range all {
		stops = append(stops, r.Health.OnReady(registration.follow))
	}
	for _, registration := range own {
		ctx, cancel := context.WithCancel(context.Background())
		registration.cancel = cancel
		go registration.run(ctx)
	}
	return func() {
		for _, stop := range stops {
			stop()
		}
	}
}

// open prepares the registration at Registry, if there is one.
func (r Runner) open(l net.Listener) ([]*Registration, error) {
	if r.Registry == "" {
		return nil, nil
	}
	if r.Instance.Address == "" {
		r.Instance.Address = l.Addr().String()
	}
	own, err := Registry{URL: r.Registry, Options: r.Options, Logger: r.Logger}.open(r.Instance)
	if err != nil {
		return nil, err
	}
	return []*Registration{own}, nil
}

// follow takes the instance out while it is not ready, and back. One that drains is deregistered
// anyway.
func (r *Registration) follow(failure error) {
	switch {
	case failure == nil:
		r.Resume()
	case !errors.Is(failure, errDrains):
		r.Suspend(failure.Error())
	}
}

// leave takes the service out of use, and waits until everybody has noticed.
func (r Runner) leave(registrations []*Registration) {
	notice := r.Notice
	if notice == 0 {
		notice = defaultNotice
	}
	r.Logger.Info("draining", "notice", max(notice, 0).String())
	r.Health.Drain()
	r.deregister(registrations)
	if notice > 0 {
		time.Sleep(notice)
	}
}

// deregister ends all registrations at once.
func (r Runner) deregister(registrations []*Registration) {
	ctx, cancel := context.WithTimeout(context.Background(), farewellTime)
	defer cancel()
	var all sync.WaitGroup
	for _, registration := range registrations {
		all.Go(func() { _ = registration.Deregister(ctx) })
	}
	all.Wait()
}

// finish stops the server.
func (r Runner) finish(server Server, served <-chan error) error {
	limit := r.Limit
	if limit <= 0 {
		limit = defaultLimit
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	err := server.Shutdown(ctx)
	if err != nil {
		if c, ok := server.(interface{ Close() error }); ok {
			_ = c.Close()
		}
		err = fmt.Errorf("requests under way were broken off after %s: %w", limit, err)
		r.Logger.Warn("drained", "error", err.Error())
	}
	r.Logger.Debug("not serving any more", "error", <-served)
	if err == nil {
		r.Logger.Info("drained")
	}
	return err
}
