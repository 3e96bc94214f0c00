package serve

import (
	_ "embed"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/internal/daemon"
	"github.com/grayrelease/gray/rollout"
	"github.com/grayrelease/gray/rollout/loop"
	"github.com/grayrelease/gray/rollout/operate"
)

// openAPI describes the API.
//
//go:embed openapi.json
var openAPI []byte

// Command is the body of POST /gray/v1/{service}/{verb}; it may be empty.
type Command struct {
	Reason string `json:"reason,omitempty"`
	// By is added to the name of the token. Default: the token's name only.
	By   string `json:"by,omitempty"`
	Step int    `json:"step,omitempty"` // of the verb goto
}

// handler answers the API:
//
//	GET  /gray/v1/                   all services
//	GET  /gray/v1/{service}          one; the ETag is the epoch of its rollout
//	POST /gray/v1/{service}/{verb}   moves the rollout, see rollout.Verbs; If-Match is the epoch
//	                                 that was seen, and an older one is refused with 409
//	POST /gray/v1/{service}/switch   throws the kill switch, see Switch
//	GET  /gray/v1/{service}/events   server-sent events, see events.go
//	GET  /gray/v1/events             those of all services
//	POST /gray/v1/alertmanager       Alertmanager's webhook
//	GET  /openapi.json, /metrics, /healthz, /readyz
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /gray/v1/{$}", s.callers.Only(s.serveList, RoleView))
	mux.HandleFunc("GET /gray/v1/{service}", s.callers.Only(s.serveService, RoleView))
	mux.HandleFunc("GET /gray/v1/events", s.callers.Only(s.serveEvents, RoleView))
	mux.HandleFunc("GET /gray/v1/{service}/events", s.callers.Only(s.serveEvents, RoleView))
	mux.HandleFunc("POST /gray/v1/{service}/{verb}", s.callers.Only(s.serveVerb))
	mux.HandleFunc("POST /gray/v1/{service}/switch", s.callers.Only(s.serveSwitch))
	mux.HandleFunc("POST /gray/v1/alertmanager", s.callers.Only(s.serveAlerts, RoleAlert))
	mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(openAPI)
	})
	metrics := promhttp.HandlerFor(s.registry(), promhttp.HandlerOpts{})
	mux.HandleFunc("GET /metrics", s.callers.Only(metrics.ServeHTTP, RoleView))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.HandleFunc("GET /readyz", s.serveReady)
	return daemon.Guarded(mux)
}

// serveReady answers 200 once every source has been heard of.
func (s *Server) serveReady(w http.ResponseWriter, _ *http.Request) {
	for _, v := range s.services {
		if state := v.handle.State(); state.Origin == "none" {
			daemon.Refuse(w, http.StatusServiceUnavailable, fmt.Errorf("the policy of %s is not known yet: %s",
				v.config.Service,
				state.Error))
			return
		}
	}
	w.WriteHeader(http.StatusOK)
}

// state is the state of the policy, and what the guards say here.
func (v *service) state() live.State {
	state := v.handle.State()
	if state.Service == "" {
		state.Service = v.config.Service
	}
	if r := state.Rollout; r != nil {
		guards, note := v.use.Judge()
		if guards != nil && r.Phase != core.PhaseRolledBack {
			r.Guards = guards
		}
		if r.Note == "" {
			r.Note = note
		}
	}
	return state
}

func (s *Server) serveList(w http.ResponseWriter, _ *http.Request) {
	states := make([]live.State, 0, len(s.services))
	for _, v := range s.services {
		states = append(states, v.state())
	}
	daemon.Answer(w, http.StatusOK, states)
}

func (s *Server) named(w http.ResponseWriter, r *http.Request) *service {
	name := r.PathValue("service")
	v := s.find(name)
	if v == nil {
		names := make([]string, 0, len(s.services))
		for _, v := range s.services {
			names = append(names, v.config.Service)
		}
		daemon.Refuse(w, http.StatusNotFound, fmt.Errorf("no service has the name %q%s", name, problem.OneOf(name, names)))
	}
	return v
}

func (s *Server) serveService(w http.ResponseWriter, r *http.Request) {
	v := s.named(w, r)
	if v == nil {
		return
	}
	state := v.state()
	if state.Rollout != nil {
		w.Header().Set("ETag", etag(state.Rollout.Epoch))
	}
	daemon.Answer(w, http.StatusOK, state)
}

func etag(epoch int64) string { return `"` + strconv.FormatInt(epoch, 10) + `"` }

// seenEpoch reads If-Match, 0 if it says nothing.
func seenEpoch(r *http.Request) (int64, error) {
	text := r.Header.Get("If-Match")
	if text == "" || text == "*" {
		return 0, nil
	}
	epoch, err := strconv.ParseInt(strings.Trim(text, `"`), 10, 64)
	if err != nil || epoch < 1 {
		return 0, fmt.Errorf("If-Match: %s is not the epoch of a rollout", problem.Quote(text))
	}
	return epoch, nil
}

// by is who is recorded for a command: the token's name, and whom the body names.
func (s *Server) by(r *http.Request, named string) string {
	who, _ := s.callers.Who(r)
	if named != "" {
		return named + " (" + who + ")"
	}
	return who
}

func (s *Server) serveVerb(w http.ResponseWriter, r *http.Request) {
	v := s.named(w, r)
	if v == nil {
		return
	}
	verb, verbs := r.PathValue("verb"), rollout.Verbs()
	if !slices.Contains(verbs, verb) {
		daemon.Refuse(w, http.StatusNotFound, fmt.Errorf("unknown verb %q%s", verb, problem.OneOf(verb, verbs)))
		return
	}
	epoch, err := seenEpoch(r)
	if err != nil {
		daemon.Refuse(w, http.StatusBadRequest, err)
		return
	}
	var c Command
	if err := operate.ReadBody(r.Body, &c); err != nil {
		daemon.Refuse(w, http.StatusBadRequest, fmt.Errorf("the body is not a command: %w", err))
		return
	}
	do := rollout.Command{Verb: verb, Step: c.Step, By: s.by(r, c.By), Reason: c.Reason, Epoch: epoch}
	state, err := v.use.Do(r.Context(), do)
	switch {
	case err == nil:
		w.Header().Set("ETag", etag(state.Epoch))
		daemon.Answer(w, http.StatusOK, &state)
	case errors.Is(err, loop.ErrUnwritten):
		daemon.Refuse(w, http.StatusServiceUnavailable, err)
	case errors.Is(err, loop.ErrNoRollout):
		daemon.Refuse(w, http.StatusNotFound, err)
	case errors.Is(err, loop.ErrPlace):
		daemon.Refuse(w, http.StatusServiceUnavailable, err)
	default:
		daemon.Refuse(w, http.StatusConflict, err)
	}
}
