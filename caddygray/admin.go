package caddygray

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/rollout"
	"github.com/grayrelease/gray/rollout/api"
	"github.com/grayrelease/gray/rollout/loop"
	"github.com/grayrelease/gray/rollout/operate"
)

func init() { caddy.RegisterModule(admin{}) }

// admin is the part of Caddy's admin API that reports the state of policies, explains decisions,
// throws kill switches, and moves rollouts:
//
//	GET  /gray/                   all of them
//	GET  /gray/<service>          those of a service
//	GET  /gray/<service>/evidence what this gateway has measured of the service's rollout
//	POST /gray/<service>/explain  says what version a request would get, and why: see explain.Request
//	POST /gray/<service>/switch   throws the kill switch: see switchCommand
//	POST /gray/<service>/<verb>   moves the service's rollout: see rollout.Verbs
//
// The body of a verb is empty or `{"reason": "...", "by": "...", "epoch": 7, "step": 2}`, all of it
// optional: with the epoch of the state that the person has seen, a command that comes too late is
// refused. The answer is the state after it.
type admin struct{}

// CaddyModule returns the Caddy module information.
func (admin) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "admin.api.gray",
		New: func() caddy.Module { return new(admin) },
	}
}

// Routes returns the paths that the API answers.
func (admin) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{{Pattern: "/gray/", Handler: caddy.AdminHandlerFunc(serveAdmin)}}
}

func serveAdmin(w http.ResponseWriter, r *http.Request) error {
	switch r.Method {
	case http.MethodGet:
		return serveStates(w, r)
	case http.MethodPost:
		return serveVerb(w, r)
	}
	return refusal(http.StatusMethodNotAllowed, errors.New("method not allowed: GET, or POST /gray/<service>/<verb>"))
}

func refusal(status int, err error) error { return caddy.APIError{HTTPStatus: status, Err: err} }

func serveStates(w http.ResponseWriter, r *http.Request) error {
	service := strings.TrimPrefix(r.URL.Path, "/gray/")
	found := states.of(service)
	if measured, ok := strings.CutSuffix(service, "/evidence"); ok && len(found) == 0 {
		return serveEvidence(w, measured)
	}
	if service != "" && len(found) == 0 {
		return unknownService(service)
	}
	return answer(w, http.StatusOK, found)
}

// serveEvidence answers with a loop.Evidence, or with nothing while nothing is measured.
func serveEvidence(w http.ResponseWriter, service string) error {
	f := states.newest(service)
	if f == nil {
		return unknownService(service)
	}
	var e *loop.Evidence
	if f.handler.use != nil {
		var err error
		if e, err = f.handler.use.Evidence(); err != nil {
			return err
		}
	}
	if e == nil {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return answer(w, http.StatusOK, e)
}

func answer(w http.ResponseWriter, status int, value any) error {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	return json.NewEncoder(w).Encode(value)
}

// command is the body of a POST.
type command struct {
	Reason string `json:"reason"`
	By     string `json:"by"`
	Epoch  int64  `json:"epoch"`
	Step   int    `json:"step"`
}

// serveVerb moves a service's rollout. The name of a service may have slashes, a verb has none.
func serveVerb(w http.ResponseWriter, r *http.Request) error {
	path := strings.TrimPrefix(r.URL.Path, "/gray/")
	slash := strings.LastIndexByte(path, '/')
	if slash < 1 {
		return refusal(http.StatusNotFound, errors.New("want POST /gray/<service>/<verb>"))
	}
	service, verb := path[:slash], path[slash+1:]
	switch verb {
	case "explain":
		return serveExplain(w, r, service)
	case "switch":
		return serveSwitch(w, r, service)
	}
	if verbs := rollout.Verbs(); !slices.Contains(verbs, verb) {
		hint := problem.Suggest(verb, verbs)
		if hint == "" {
			hint = " (one of explain, switch, " + strings.Join(verbs, ", ") + ")"
		}
		return refusal(http.StatusNotFound, fmt.Errorf("unknown verb %q%s", verb, hint))
	}
	f := states.newest(service)
	if f == nil {
		return unknownService(service)
	}
	if f.handler.use == nil {
		return refusal(http.StatusNotFound, loop.ErrNoRollout)
	}
	var c command
	if err := operate.ReadBody(r.Body, &c); err != nil {
		return refusal(http.StatusBadRequest, fmt.Errorf("the body is not a command: %w", err))
	}
	by := c.By
	if by == "" {
		by = byAdmin
	}
	do := rollout.Command{Verb: verb, Step: c.Step, By: by, Reason: c.Reason, Epoch: c.Epoch}
	state, err := f.handler.use.Do(r.Context(), do)
	switch {
	case err == nil:
		return answer(w, http.StatusOK, &state)
	case errors.Is(err, loop.ErrUnwritten):
		return answer(w, http.StatusAccepted, &api.Unwritten{RolloutState: &state, Note: err.Error()})
	}
	return refusal(api.StatusOf(err), err)
}

// byAdmin is who has given a command that does not say.
const byAdmin = "admin API"

// unknownService names the services that there are.
func unknownService(service string) error {
	var names []string
	for name := range policies.latest() {
		names = append(names, name)
	}
	slices.Sort(names)
	return refusal(http.StatusNotFound,
		fmt.Errorf("no policy is about the service %q (there are: %s)", service, strings.Join(names, ", ")))
}

// Interface guards
var _ caddy.AdminRouter = (*admin)(nil)
