package caddygray

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/rollout"
	"github.com/grayrelease/gray/rollout/loop"
)

func init() { caddy.RegisterModule(admin{}) }

// admin is the part of Caddy's admin API that reports the state of policies that have a source,
// discovered instances or a rollout, and moves rollouts:
//
//	GET  /gray/                   all of them
//	GET  /gray/<service>          those of a service
//	POST /gray/<service>/<verb>   moves the service's rollout: see rollout.Verbs
//
// The body of a POST is empty or `{"reason": "...", "by": "...", "epoch": 7, "step": 2}`, all of it
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
	if service != "" && len(found) == 0 {
		return refusal(http.StatusNotFound, errors.New("no policy of that service has a source or a rollout"))
	}
	return answer(w, http.StatusOK, found)
}

func answer(w http.ResponseWriter, status int, value any) error {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	return json.NewEncoder(w).Encode(value)
}

// maxCommand bounds the body of a command.
const maxCommand = 16 << 10

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
	if verbs := rollout.Verbs(); !slices.Contains(verbs, verb) {
		hint := problem.Suggest(verb, verbs)
		if hint == "" {
			hint = " (one of " + strings.Join(verbs, ", ") + ")"
		}
		return refusal(http.StatusNotFound, fmt.Errorf("unknown verb %q%s", verb, hint))
	}
	use := states.useOf(service)
	if use == nil {
		return refusal(http.StatusNotFound, fmt.Errorf("no policy of the service %q has a rollout", service))
	}
	c, err := readCommand(r.Body)
	if err != nil {
		return refusal(http.StatusBadRequest, fmt.Errorf("the body is not a command: %w", err))
	}
	by := c.By
	if by == "" {
		by = "admin API"
	}
	state, err := use.Do(r.Context(), rollout.Command{Verb: verb, Step: c.Step, By: by, Reason: c.Reason, Epoch: c.Epoch})
	switch {
	case err == nil:
		return answer(w, http.StatusOK, &state)
	case errors.Is(err, loop.ErrUnwritten):
		return answer(w, http.StatusAccepted, struct {
			*core.RolloutState
			Note string `json:"note"`
		}{&state, err.Error()})
	case errors.Is(err, loop.ErrNoRollout):
		return refusal(http.StatusNotFound, err)
	case errors.Is(err, loop.ErrPlace):
		return refusal(http.StatusServiceUnavailable, err)
	}
	return refusal(http.StatusConflict, err)
}

func readCommand(body io.Reader) (command, error) {
	var c command
	data, err := io.ReadAll(io.LimitReader(body, maxCommand+1))
	if err != nil || len(strings.TrimSpace(string(data))) == 0 {
		return c, err
	}
	if len(data) > maxCommand {
		return c, fmt.Errorf("it is longer than %d bytes", maxCommand)
	}
	return c, core.Decode(data, &c)
}

// Interface guards
var _ caddy.AdminRouter = (*admin)(nil)
