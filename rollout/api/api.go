package api

import (
	_ "embed"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzhttp"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/internal/daemon"
)

// openAPI describes the API.
//
//go:embed openapi.json
var openAPI []byte

// API is an http.Handler.
//
//	GET  /gray/v1/                   all services, without what is long: see brief
//	GET  /gray/v1/{service}          one; the ETag is the epoch of its rollout
//	POST /gray/v1/{service}/{verb}   moves the rollout, see rollout.Verbs; If-Match is the epoch
//	                                 that was seen, and an older one is refused with 409
//	POST /gray/v1/{service}/switch   throws the kill switch, see Switch
//	POST /gray/v1/{service}/explain  says which version a request would get, and why: the body is an
//	                                 explain.Request, the answer a core.Explanation
//	GET  /gray/v1/{service}/policy   the policy in force, without secrets
//	GET  /gray/v1/{service}/figures  Figures since the time `since`, in seconds since 1970
//	GET  /gray/v1/{service}/events   server-sent events, see events.go
//	GET  /gray/v1/events             those of all services
//	GET  /gray/v1/me                 who calls, and the role, see Me
//	GET  /openapi.json
type API struct {
	feed    *Feed
	callers daemon.Callers
	mux     *http.ServeMux
	ended   chan struct{}
	end     sync.Once
}

// New returns an API of the services of a feed.
func New(f *Feed, callers daemon.Callers) *API {
	a := &API{feed: f, callers: callers, mux: http.NewServeMux(), ended: make(chan struct{})}
	only := func(handle http.HandlerFunc, allowed ...string) http.HandlerFunc {
		return gzhttp.GzipHandler(a.Only(handle, allowed...))
	}
	a.mux.HandleFunc("GET /gray/v1/{$}", only(a.serveList, daemon.RoleView))
	a.mux.HandleFunc("GET /gray/v1/{service}", only(a.serveService, daemon.RoleView))
	a.mux.HandleFunc("GET /gray/v1/events", a.Only(a.serveEvents, daemon.RoleView))
	a.mux.HandleFunc("GET /gray/v1/me", a.serveMe)
	a.mux.HandleFunc("GET /gray/v1/{service}/events", a.Only(a.serveEvents, daemon.RoleView))
	a.mux.HandleFunc("GET /gray/v1/{service}/policy", only(a.servePolicy, daemon.RoleView))
	a.mux.HandleFunc("GET /gray/v1/{service}/figures", only(a.serveFigures, daemon.RoleView))
	a.mux.HandleFunc("POST /gray/v1/{service}/explain", only(a.serveExplain, daemon.RoleView))
	a.mux.HandleFunc("POST /gray/v1/{service}/switch", only(a.serveSwitch))
	a.mux.HandleFunc("POST /gray/v1/{service}/{verb}", only(a.serveVerb))
	a.mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(openAPI)
	})
	return a
}

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.Guard(a.mux).ServeHTTP(w, r) }

// Only lets in callers with one of the roles, or with the role operate.
func (a *API) Only(handle http.HandlerFunc, allowed ...string) http.HandlerFunc {
	return a.callers.Only(handle, allowed...)
}

// Close ends streams of events, for which the end of a server would wait.
func (a *API) Close() { a.end.Do(func() { close(a.ended) }) }

// Guard refuses what pages of other origins send, and what makes browsers run answers.
func (a *API) Guard(next http.Handler) http.Handler { return a.callers.Guard(next) }

// Me is who calls.
type Me struct {
	// Name is what is recorded, "" of somebody who may do nothing.
	Name string `json:"name"`
	// View and Operate say what who calls may do.
	View    bool `json:"view"`
	Operate bool `json:"operate"`
	// Tokens says that there are tokens to sign in with.
	Tokens bool `json:"tokens"`
}

func (a *API) serveMe(w http.ResponseWriter, r *http.Request) {
	me := Me{Tokens: a.callers.HaveTokens()}
	if name, role, err := a.callers.Caller(r); err == nil {
		me.Name = name
		me.View = daemon.Allows(role, daemon.RoleView)
		me.Operate = role == daemon.RoleOperate
	}
	daemon.Answer(w, http.StatusOK, &me)
}

// state is the state of a service, with what follows from it.
func (a *API) state(s Service) State {
	state := s.State()
	if state.Service == "" {
		state.Service = s.Name()
	}
	state.complete(s.Engine(), time.Now())
	return state
}

// complete adds what follows from a state.
func (s *State) complete(e *core.Engine, now time.Time) {
	s.GatewaysKnown = len(s.Gateways)
	for i := range s.Gateways {
		if s.Gateways[i].isBehind(now) {
			s.Behind++
		}
	}
	s.Next = nextStep(e, s)
	s.Needs = needs(s, now)
}

// brief drops what a list does not need.
func (s *State) brief() {
	s.Gateways = nil
	s.Journal = nil
	s.Upstreams = nil
	s.Versions = nil
	s.Rules = nil
	s.Traffic = nil
	if s.Rollout != nil {
		rollout := *s.Rollout
		rollout.History = nil
		s.Rollout = &rollout
	}
}

func (a *API) serveList(w http.ResponseWriter, _ *http.Request) {
	states := []State{}
	for _, s := range a.feed.services() {
		state := a.state(s)
		state.brief()
		states = append(states, state)
	}
	daemon.Answer(w, http.StatusOK, states)
}

// named returns the service that a request names, nil after it has refused one that is not known.
func (a *API) named(w http.ResponseWriter, r *http.Request) Service {
	name := r.PathValue("service")
	services := a.feed.services()
	names := make([]string, 0, len(services))
	for _, s := range services {
		if s.Name() == name {
			return s
		}
		names = append(names, s.Name())
	}
	daemon.Refuse(w, http.StatusNotFound, fmt.Errorf("no service has the name %q%s", name, problem.OneOf(name, names)))
	return nil
}

func (a *API) serveService(w http.ResponseWriter, r *http.Request) {
	s := a.named(w, r)
	if s == nil {
		return
	}
	state := a.state(s)
	if state.Rollout != nil {
		w.Header().Set("ETag", etag(state.Rollout.Epoch))
	}
	daemon.Answer(w, http.StatusOK, &state)
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

// by is who is recorded for a command: who calls, and whom the body names.
func (a *API) by(r *http.Request, named string) string {
	who, _, _ := a.callers.Caller(r)
	if named != "" {
		return named + " (" + who + ")"
	}
	return who
}

func (a *API) serveFigures(w http.ResponseWriter, r *http.Request) {
	s := a.named(w, r)
	if s == nil {
		return
	}
	var from time.Time
	if text := r.URL.Query().Get("since"); text != "" {
		seconds, err := strconv.ParseFloat(text, 64)
		if err != nil || !(seconds >= 0 && seconds < 1e11) {
			daemon.Refuse(w, http.StatusBadRequest, errors.New("since: want seconds since 1970"))
			return
		}
		from = time.UnixMilli(int64(seconds * 1000))
	}
	daemon.Answer(w, http.StatusOK, a.feed.history(s.Name()).figures(from))
}
