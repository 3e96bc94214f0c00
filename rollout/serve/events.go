package serve

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/grayrelease/gray/internal/daemon"
	"github.com/grayrelease/gray/rollout/loop"
)

// kinds are the events of rollouts.
var kinds = []string{loop.Started, loop.Step, loop.ApprovalNeeded, loop.Waiting, loop.Approved, loop.Paused,
	loop.Resumed,
	loop.RolledBack, loop.Completed, loop.Warning}

const (
	maxWaiting   = 64 // messages of a client that does not read; then it is let go
	maxListeners = 1000
	keepAlive    = 15 * time.Second
)

// message is a server-sent event: of kind `state` when something has changed, else the kind of a
// loop.Event, which is its data.
type message struct {
	service, kind string
	data          []byte
}

// hub passes messages on to those who listen. It is safe for concurrent use.
type hub struct {
	mu        sync.Mutex
	listeners map[chan message]string // the service that each listens to, "" is all
	isClosed  bool
}

// listen returns a channel of messages, nil if there are too many listeners. It is closed when its
// reader is too slow, and at the end.
func (h *hub) listen(service string) chan message {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.isClosed || len(h.listeners) >= maxListeners {
		return nil
	}
	if h.listeners == nil {
		h.listeners = map[chan message]string{}
	}
	c := make(chan message, maxWaiting)
	h.listeners[c] = service
	return c
}

func (h *hub) leave(c chan message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, known := h.listeners[c]; known {
		delete(h.listeners, c)
		close(c)
	}
}

func (h *hub) send(m message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c, service := range h.listeners {
		if service != "" && service != m.service {
			continue
		}
		select {
		case c <- m:
		default:
			delete(h.listeners, c)
			close(c)
		}
	}
}

func (h *hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.isClosed = true
	for c := range h.listeners {
		delete(h.listeners, c)
		close(c)
	}
}

// changed says that the state of a service is another one.
func (s *Server) changed(service string) {
	data, err := json.Marshal(map[string]string{"service": service})
	if err == nil {
		s.hub.send(message{service, "state", data})
	}
}

// happened passes an event on.
func (s *Server) happened(e loop.Event) {
	if data, err := json.Marshal(e); err == nil {
		s.hub.send(message{e.Service, e.Kind, data})
	}
	if e.Kind == loop.RolledBack {
		s.rollbacks.WithLabelValues(label(e.Service), label(e.Guard)).Inc()
	}
	s.teller.happened(e)
}

// serveEvents streams events until the client leaves.
func (s *Server) serveEvents(w http.ResponseWriter, r *http.Request) {
	service := ""
	if r.PathValue("service") != "" {
		v := s.named(w, r)
		if v == nil {
			return
		}
		service = v.config.Service
	}
	messages := s.hub.listen(service)
	if messages == nil {
		daemon.Refuse(w, http.StatusServiceUnavailable, fmt.Errorf("more than %d listen already", maxListeners))
		return
	}
	defer s.hub.leave(messages)
	w.Header().Set("Content-Type", "text/event-stream")
	controller := http.NewResponseController(w)
	if _, err := fmt.Fprint(w, ": gray\n\n"); err != nil || controller.Flush() != nil {
		return
	}
	tick := time.NewTicker(keepAlive)
	defer tick.Stop()
	for {
		text := ": \n\n"
		select {
		case <-r.Context().Done():
			return
		case m, ok := <-messages:
			if !ok {
				return
			}
			text = "event: " + m.kind + "\ndata: " + strings.ReplaceAll(string(m.data), "\n", "\ndata: ") + "\n\n"
		case <-tick.C:
		}
		if _, err := fmt.Fprint(w, text); err != nil || controller.Flush() != nil {
			return
		}
	}
}
