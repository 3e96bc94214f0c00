package serve

import (
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/grayrelease/gray/internal/daemon"
	"github.com/grayrelease/gray/rollout/console"
)

// handler answers what the console and the API do, see the packages console and api, and besides:
//
//	POST /gray/v1/alertmanager   Alertmanager's webhook
//	GET  /metrics, /healthz, /readyz
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	guarded := func(handle http.HandlerFunc, role string) http.Handler {
		return s.api.Guard(s.api.Only(handle, role))
	}
	mux.Handle("/", console.Handler(s.api))
	mux.Handle("POST /gray/v1/alertmanager", guarded(s.serveAlerts, RoleAlert))
	metrics := promhttp.HandlerFor(s.registry(), promhttp.HandlerOpts{})
	mux.Handle("GET /metrics", guarded(metrics.ServeHTTP, RoleView))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.HandleFunc("GET /readyz", s.serveReady)
	return mux
}

// serveReady answers 200 once every source has been heard of.
func (s *Server) serveReady(w http.ResponseWriter, _ *http.Request) {
	for _, v := range s.services {
		if state := v.handle.State(); state.Origin == "none" {
			daemon.Refuse(w, http.StatusServiceUnavailable, fmt.Errorf("the policy of %s is not known yet: %s", v.config.Service,
				state.Error))
			return
		}
	}
	w.WriteHeader(http.StatusOK)
}
