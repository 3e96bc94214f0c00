package service_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// agent is the part of a Consul agent that instances speak to.
type agent struct {
	t      *testing.T
	host   string
	events chan string // "register", "pass", "fail NOTE", "deregister"

	mu       sync.Mutex
	isDown   bool
	services map[string]map[string]any
}

func newAgent(t *testing.T) *agent {
	a := &agent{t: t, events: make(chan string, 1000), services: map[string]map[string]any{}}
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	a.host = strings.TrimPrefix(server.URL, "http://")
	return a
}

func (a *agent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	path := strings.TrimPrefix(r.URL.Path, "/v1/agent/")
	switch {
	case a.isDown:
		http.Error(w, "down", http.StatusServiceUnavailable)
		a.events <- "refused"
	case path == "service/register":
		var service map[string]any
		text, _ := io.ReadAll(r.Body)
		if json.Unmarshal(text, &service) != nil {
			http.Error(w, "no JSON", http.StatusBadRequest)
			return
		}
		a.services[service["ID"].(string)] = service
		a.events <- "register"
	case strings.HasPrefix(path, "check/"):
		state, id, _ := strings.Cut(strings.TrimPrefix(path, "check/"), "/service:")
		if a.services[id] == nil {
			http.Error(w, `Unknown check ID`, http.StatusNotFound)
			a.events <- "unknown"
			return
		}
		a.events <- strings.TrimSpace(state + " " + r.URL.Query().Get("note"))
	case strings.HasPrefix(path, "service/deregister/"):
		delete(a.services, strings.TrimPrefix(path, "service/deregister/"))
		a.events <- "deregister"
	default:
		http.NotFound(w, r)
	}
}

// down has the agent refuse everything, or no longer.
func (a *agent) down(is bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.isDown = is
}

// forget loses all services.
func (a *agent) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.services)
}

// only returns the service, the only one.
func (a *agent) only() map[string]any {
	a.mu.Lock()
	defer a.mu.Unlock()
	require.Len(a.t, a.services, 1)
	for _, service := range a.services {
		return service
	}
	return nil
}

// await waits for an event.
func (a *agent) await(want string) {
	a.t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		select {
		case got := <-a.events:
			if got == want {
				return
			}
		case <-deadline:
			a.t.Fatalf("no %q", want)
		}
	}
}
