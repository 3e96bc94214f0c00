package api

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/grayrelease/gray/internal/daemon"
)

const (
	maxWaiting   = 64 // messages of a client that does not read; then it is let go
	maxListeners = 1000
	keepAlive    = 15 * time.Second
)

// message is a server-sent event: of kind `state` when something has changed, `figures` when there
// is a new sample, else the kind of a loop.Event, which is its data.
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

// serveEvents streams events until the client leaves, or the API ends.
func (a *API) serveEvents(w http.ResponseWriter, r *http.Request) {
	service := ""
	if r.PathValue("service") != "" {
		s := a.named(w, r)
		if s == nil {
			return
		}
		service = s.Name()
	}
	messages := a.feed.hub.listen(service)
	if messages == nil {
		daemon.Refuse(w, http.StatusServiceUnavailable, fmt.Errorf("more than %d listen already", maxListeners))
		return
	}
	defer a.feed.hub.leave(messages)
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
		case <-a.ended:
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
