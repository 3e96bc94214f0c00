package decider

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/health"

	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/core/proxy"
	"github.com/grayrelease/gray/internal/daemon"
)

// Server decides for gateways.
type Server struct {
	config   *Config
	log      *slog.Logger
	list     []*service
	services *services
	address  clientAddress // nil: the peer's
	callers  daemon.Callers
	metrics  *serverMetrics
	mistakes proxy.Seldom
	isEnding atomic.Bool

	questions, grpc, state net.Listener   // grpc may be nil
	health                 *health.Server // of grpc
}

// New opens everything that the configuration names, and listens. The error says what is wrong with
// it: a problem.List, a file that cannot be read, an address that is in use.
func New(c *Config, log *slog.Logger) (*Server, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &Server{config: c, log: log}
	s.metrics = newMetrics(s)
	if err := s.open(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Server) open() error {
	c := s.config
	var err error
	if s.address, err = c.address(); err != nil {
		return err
	}
	if s.callers, err = daemon.ReadCallers(c.Tokens, nil); err != nil {
		return err
	}
	if c.State != "" {
		if err := os.MkdirAll(c.State, 0o700); err != nil {
			return fmt.Errorf("state: %w", err)
		}
	}
	for i := range c.Services {
		v, err := openService(&c.Services[i], c.State, s.log, s.metrics)
		if err != nil {
			return problem.Of(err).Under(problem.Index("services", i))
		}
		s.list = append(s.list, v)
	}
	s.services = newServices(s.list)
	return s.listen()
}

func (s *Server) listen() error {
	c, ctx := s.config, context.Background()
	var err error
	if s.questions, err = daemon.Listen(ctx, c.Listen, c.TLS, "h2", "http/1.1"); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if s.state, err = daemon.Listen(ctx, c.Admin, nil); err != nil {
		return fmt.Errorf("admin: %w", err)
	}
	if c.GRPC != "" {
		if s.grpc, err = daemon.Listen(ctx, c.GRPC, c.TLS, "h2"); err != nil {
			return fmt.Errorf("grpc: %w", err)
		}
	}
	return nil
}

// Address is where questions by HTTP are answered.
func (s *Server) Address() string { return s.questions.Addr().String() }

// GRPCAddress is where questions by gRPC are answered, "" if nowhere.
func (s *Server) GRPCAddress() string {
	if s.grpc == nil {
		return ""
	}
	return s.grpc.Addr().String()
}

// AdminAddress is where the state and the metrics are.
func (s *Server) AdminAddress() string { return s.state.Addr().String() }

// grace is how long questions may take after the end.
const grace = 5 * time.Second

// Run answers until the context ends. Then it says that it is not ready, and answers for as long as
// Drain; what is under way after that is finished.
func (s *Server) Run(ctx context.Context) error {
	defer s.Close()
	all := s.servers()
	var group sync.WaitGroup
	failed := make(chan error, len(all))
	for _, each := range all {
		group.Go(func() {
			if err := each.serve(); err != nil && !errors.Is(err, http.ErrServerClosed) {
				failed <- err
			}
		})
	}
	s.log.Info("deciding", "address", s.Address(), "grpc", s.GRPCAddress(), "admin", s.AdminAddress(),
		"services", len(s.list))
	health, end := context.WithCancel(ctx)
	group.Go(func() { s.tellHealth(health) })
	var err error
	select {
	case <-ctx.Done():
		s.isEnding.Store(true)
		s.log.Info("ending", "after", s.config.drain)
		time.Sleep(s.config.drain)
	case err = <-failed:
	}
	end()
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	for _, each := range all {
		group.Go(func() { each.end(ending) })
	}
	group.Wait()
	return err
}

// running is one of the servers that Run runs.
type running struct {
	serve func() error
	end   func(context.Context) // finishes what is under way, until the context ends
}

// servers returns what answers at each address.
func (s *Server) servers() []running {
	questions := s.newHTTP(http.HandlerFunc(s.serveQuestion))
	questions.Protocols = new(http.Protocols)
	questions.Protocols.SetHTTP1(true)
	questions.Protocols.SetHTTP2(true)
	questions.Protocols.SetUnencryptedHTTP2(true)
	all := []running{runHTTP(questions, s.questions), runHTTP(s.newHTTP(s.admin()), s.state)}
	if s.grpc != nil {
		all = append(all, s.runGRPC())
	}
	return all
}

func (s *Server) newHTTP(h http.Handler) *http.Server {
	return &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 5 * time.Minute,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug)}
}

func runHTTP(server *http.Server, l net.Listener) running {
	return running{
		serve: func() error { return server.Serve(l) },
		end: func(ctx context.Context) {
			_ = server.Shutdown(ctx)
			server.Close()
		},
	}
}

// Close frees what New has opened, of a server that is not run.
func (s *Server) Close() {
	for _, v := range s.list {
		v.handle.Close()
	}
	for _, l := range []net.Listener{s.questions, s.grpc, s.state} {
		if l != nil {
			l.Close()
		}
	}
}

// mistaken logs that a gateway asks in no way that we know, every 10 seconds at most.
func (s *Server) mistaken(err error) {
	if n := proxy.Due(&s.mistakes); n > 0 {
		s.log.Warn("a gateway's question cannot be understood: stable is to serve", "questions", n, "error", err)
	}
}
