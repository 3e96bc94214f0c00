package caddygray

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

func init() { caddy.RegisterModule(admin{}) }

// admin is the part of Caddy's admin API that reports the state of policies that have a source or
// discovered instances:
//
//	GET /gray/            all of them
//	GET /gray/<service>   those of a service
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
	return []caddy.AdminRoute{{Pattern: "/gray/", Handler: caddy.AdminHandlerFunc(serveStates)}}
}

func serveStates(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet {
		return caddy.APIError{HTTPStatus: http.StatusMethodNotAllowed, Err: errors.New("method not allowed: GET")}
	}
	service := strings.TrimPrefix(r.URL.Path, "/gray/")
	found := states.of(service)
	if service != "" && len(found) == 0 {
		return caddy.APIError{HTTPStatus: http.StatusNotFound, Err: errors.New("no followed policy of that service")}
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(found)
}

// Interface guards
var _ caddy.AdminRouter = (*admin)(nil)
