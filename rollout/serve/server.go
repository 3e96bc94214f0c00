package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"k8s.io/client-go/dynamic"

	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/internal/daemon"
	"github.com/grayrelease/gray/rollout/api"
	"github.com/grayrelease/gray/rollout/loop"
	"github.com/grayrelease/gray/rollout/metrics"
	"github.com/grayrelease/gray/rollout/weights"
)

// Server moves the rollouts of its services, and serves the API.
type Server struct {
	config    *Config
	log       *slog.Logger
	client    *http.Client
	cluster   dynamic.Interface // nil without routes
	services  []*service
	alerts    alerts
	feed      *api.Feed
	api       *api.API
	teller    *teller
	signals   sync.Map // by signal: why it could not be read when it was last asked, "" if it could
	rollbacks *metrics.Rollbacks
	ctx       context.Context
	cancel    context.CancelFunc
	listener  net.Listener
}

// New opens everything that the configuration names, and listens. The error says what is wrong with
// it: a problem.List, a file that cannot be read, an address that is in use.
func New(c *Config, log *slog.Logger) (*Server, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &Server{config: c, log: log, client: newClient(), rollbacks: metrics.NewRollbacks("gray_rollout_")}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	callers, err := daemon.ReadCallers(c.Tokens, c.People)
	if err != nil {
		return nil, err
	}
	if c.Anonymous != "" {
		callers.Anonymous = c.Anonymous
	}
	callers.Origins = c.Origins
	s.feed = api.NewFeed(s.apiServices)
	s.api = api.New(s.feed, callers)
	if s.teller, err = newTeller(s); err != nil {
		return nil, err
	}
	if slices.ContainsFunc(c.Services, func(v Service) bool { return len(v.Routes) > 0 }) {
		where := weights.Cluster{}
		if c.Kubernetes != nil {
			where = weights.Cluster(*c.Kubernetes)
		}
		if s.cluster, err = weights.Connect(where); err != nil {
			return nil, problem.New("kubernetes", "%v", err)
		}
	}
	if c.State != "" {
		if err := os.MkdirAll(c.State, 0o700); err != nil {
			return nil, fmt.Errorf("state: %w", err)
		}
	}
	for i := range c.Services {
		config := &c.Services[i]
		v := &service{config: config, server: s, log: log.With("service", config.Service)}
		if err := v.start(c.State); err != nil {
			s.close()
			return nil, problem.Of(err).Under(problem.Index("services", i))
		}
		s.services = append(s.services, v)
	}
	if s.listener, err = daemon.Listen(s.ctx, c.Listen, c.TLS); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// Address is where the API listens.
func (s *Server) Address() string { return s.listener.Addr().String() }

// grace is how long requests may take after the end.
const grace = 5 * time.Second

// Run reads signals and serves the API until the context ends. What is under way then is finished.
func (s *Server) Run(ctx context.Context) error {
	defer s.close()
	stop := context.AfterFunc(ctx, s.cancel)
	defer stop()
	var group sync.WaitGroup
	for _, v := range s.services {
		group.Go(func() { v.run(s.ctx) })
	}
	group.Go(func() { s.teller.run(s.ctx) })
	group.Go(func() { s.feed.Run(s.ctx) })
	server := &http.Server{Handler: s.handler(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug)}
	failed := make(chan error, 1)
	group.Go(func() {
		if err := server.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
			failed <- err
		}
	})
	s.log.Info("serving", "address", s.Address(), "services", len(s.services))
	var err error
	select {
	case <-s.ctx.Done():
	case err = <-failed:
		s.cancel()
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	_ = server.Shutdown(ending)
	server.Close()
	group.Wait()
	return err
}

// Close frees what New has opened, of a server that is not run.
func (s *Server) Close() { s.close() }

func (s *Server) close() {
	s.cancel()
	for _, v := range s.services {
		v.close()
	}
	s.services = nil
	if s.listener != nil {
		s.listener.Close()
	}
	s.client.CloseIdleConnections()
}

// countGateways counts the gateways of all services.
func (s *Server) countGateways() int {
	n := 0
	for i := range s.config.Services {
		n += len(s.config.Services[i].Gateways)
	}
	return n
}

// find returns a service by its name, nil if there is none.
func (s *Server) find(name string) *service {
	for _, v := range s.services {
		if v.config.Service == name {
			return v
		}
	}
	return nil
}

// happened tells everybody who is to know.
func (s *Server) happened(e loop.Event) {
	s.feed.Happened(&e)
	if e.Kind == loop.RolledBack {
		s.rollbacks.Count(e.Service, e.Guard)
	}
	s.teller.happened(e)
}
