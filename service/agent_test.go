package service_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"strconv"
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
	failing  map[string]bool // by id
	index    int
	changed  chan struct{}
}

func newAgent(t *testing.T) *agent {
	a := &agent{t: t, events: make(chan string, 1000), services: map[string]map[string]any{}, failing: map[string]bool{},
		index: 1, changed: make(chan struct{})}
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	a.host = strings.TrimPrefix(server.URL, "http://")
	return a
}

func (a *agent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/v1/health/service/") {
		a.list(w, r)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	name := strings.TrimPrefix(r.URL.Path, "/v1/agent/")
	switch {
	case a.isDown:
		http.Error(w, "down", http.StatusServiceUnavailable)
		a.events <- "refused"
	case name == "service/register":
		var service map[string]any
		text, _ := io.ReadAll(r.Body)
		if json.Unmarshal(text, &service) != nil {
			http.Error(w, "no JSON", http.StatusBadRequest)
			return
		}
		a.services[service["ID"].(string)] = service
		a.change()
		a.events <- "register"
	case strings.HasPrefix(name, "check/"):
		state, id, _ := strings.Cut(strings.TrimPrefix(name, "check/"), "/service:")
		if a.services[id] == nil {
			http.Error(w, `Unknown check ID`, http.StatusNotFound)
			a.events <- "unknown"
			return
		}
		a.failing[id] = state == "fail"
		a.change()
		a.events <- strings.TrimSpace(state + " " + r.URL.Query().Get("note"))
	case strings.HasPrefix(name, "service/deregister/"):
		delete(a.services, strings.TrimPrefix(name, "service/deregister/"))
		a.change()
		a.events <- "deregister"
	default:
		http.NotFound(w, r)
	}
}

// change wakes those who wait for one. Called with mu held.
func (a *agent) change() {
	a.index++
	close(a.changed)
	a.changed = make(chan struct{})
}

// list answers the question for the instances that are well, at once or once there is a change.
func (a *agent) list(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	if r.URL.Query().Get("index") == strconv.Itoa(a.index) {
		changed := a.changed
		a.mu.Unlock()
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
		a.mu.Lock()
	}
	defer a.mu.Unlock()
	if a.isDown {
		http.Error(w, "down", http.StatusServiceUnavailable)
		return
	}
	entries := []any{}
	for id, service := range a.services {
		if service["Name"] == path.Base(r.URL.Path) && !a.failing[id] {
			entries = append(entries, map[string]any{"Node": map[string]any{"Address": "127.0.0.1"}, "Service": service})
		}
	}
	w.Header().Set("X-Consul-Index", strconv.Itoa(a.index))
	_ = json.NewEncoder(w).Encode(entries)
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
