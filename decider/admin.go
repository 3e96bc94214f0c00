package decider

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/internal/daemon"
)

// admin answers those who operate the server:
//
//	GET /gray/v1/            the state of all services
//	GET /gray/v1/{service}   of one
//	GET /metrics, /healthz, /readyz
func (s *Server) admin() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /gray/v1/{$}", s.callers.Only(s.serveList, daemon.RoleView))
	mux.HandleFunc("GET /gray/v1/{service}", s.callers.Only(s.serveState, daemon.RoleView))
	metrics := promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{})
	mux.HandleFunc("GET /metrics", s.callers.Only(metrics.ServeHTTP, daemon.RoleView))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.HandleFunc("GET /readyz", s.serveReady)
	return s.callers.Guard(mux)
}

var errEnding = errors.New("the server is ending")

// ready says why the server should not be asked, nil if it should.
func (s *Server) ready() error {
	if s.isEnding.Load() {
		return errEnding
	}
	for _, v := range s.list {
		if state := v.handle.State(); state.Origin == "none" {
			return fmt.Errorf("the policy of %s is not known yet: %s", v.config.Name, state.Error)
		}
	}
	return nil
}

func (s *Server) serveReady(w http.ResponseWriter, _ *http.Request) {
	if err := s.ready(); err != nil {
		daemon.Refuse(w, http.StatusServiceUnavailable, err)
		return
	}
	w.WriteHeader(http.StatusOK)
}

func (s *Server) serveList(w http.ResponseWriter, _ *http.Request) {
	states := make([]live.State, 0, len(s.list))
	for _, v := range s.list {
		states = append(states, v.state())
	}
	daemon.Answer(w, http.StatusOK, states)
}

func (s *Server) serveState(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("service")
	v := s.services.named[name]
	if v == nil {
		names := make([]string, 0, len(s.list))
		for _, v := range s.list {
			names = append(names, v.config.Name)
		}
		daemon.Refuse(w, http.StatusNotFound, fmt.Errorf("no service has the name %q%s", name, problem.OneOf(name, names)))
		return
	}
	daemon.Answer(w, http.StatusOK, v.state())
}
