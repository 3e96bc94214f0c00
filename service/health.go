package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Check reports what is wrong, nil if nothing is. It should give up when ctx ends.
type Check func(ctx context.Context) error

// Health answers whether a service is alive, and whether it is ready for requests. The zero value
// is both. It is safe for concurrent use, and must not be copied.
//
// Its checks run at an interval while Run does, which a Runner takes care of; otherwise, when they
// are asked about.
type Health struct {
	// Interval is how often checks run. Default: 2s.
	Interval time.Duration
	// Timeout is how long a check may take. Default: 1s.
	Timeout time.Duration
	// Logger gets a line when a check begins to fail, and when it succeeds again. Default:
	// slog.Default().
	Logger *slog.Logger

	running sync.Mutex // one run of the checks at a time

	mu        sync.Mutex
	checks    []*namedCheck
	drains    bool
	at        time.Time // when the checks last ran
	told      string    // what listeners were told last
	listeners []*listener
}

type namedCheck struct {
	name    string
	isAlive bool // liveness hangs on it too
	check   Check
	failure error // the last time
}

type listener struct{ tell func(error) }

// errDrains is why a service that drains is not ready.
var errDrains = errors.New("draining")

// Add adds a check that a service must pass to be ready. While it fails, the instance is taken out
// of the registry, and /readyz answers 503.
func (h *Health) Add(name string, check Check) { h.add(&namedCheck{name: name, check: check}) }

// AddLiveness adds a check that a service must pass to be alive, and to be ready. What fails it
// should be cured by a restart: orchestrators restart a service whose /healthz answers 503.
func (h *Health) AddLiveness(name string, check Check) {
	h.add(&namedCheck{name: name, check: check, isAlive: true})
}

func (h *Health) add(c *namedCheck) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.checks = append(h.checks, c)
	h.at = time.Time{}
}

// Drain makes the service not ready from now on, whatever its checks say.
func (h *Health) Drain() {
	h.mu.Lock()
	h.drains = true
	h.mu.Unlock()
	h.tell()
}

// Drains reports whether Drain was called.
func (h *Health) Drains() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.drains
}

// Ready returns why the service is not ready for requests, nil if it is: by the newest results of
// its checks, which run first if they are older than two intervals.
func (h *Health) Ready(ctx context.Context) error {
	h.refresh(ctx)
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.failure(false)
}

// Alive returns why the service is not alive, nil if it is, in the same way.
func (h *Health) Alive(ctx context.Context) error {
	h.refresh(ctx)
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.failure(true)
}

// failure returns what fails, by the names of checks. What their errors say may be nobody's
// business. Called with mu held.
func (h *Health) failure(ofLiveness bool) error {
	if h.drains && !ofLiveness {
		return errDrains
	}
	var names []string
	for _, c := range h.checks {
		if c.failure != nil && (c.isAlive || !ofLiveness) {
			names = append(names, c.name)
		}
	}
	if names == nil {
		return nil
	}
	return fmt.Errorf("failing: %s", strings.Join(names, ", "))
}

// OnReady has a function called with Ready's answer: now, and after each change. Calls are made one
// at a time, must not block, and must not ask h anything. Stop ends that.
func (h *Health) OnReady(tell func(error)) (stop func()) {
	l := &listener{tell}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.listeners = append(h.listeners, l)
	tell(h.failure(false))
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.listeners = slices.DeleteFunc(h.listeners, func(other *listener) bool { return other == l })
	}
}

// tell tells listeners what has changed.
func (h *Health) tell() {
	h.mu.Lock()
	defer h.mu.Unlock()
	failure, text := h.failure(false), ""
	if failure != nil {
		text = failure.Error()
	}
	if text == h.told {
		return
	}
	h.told = text
	for _, l := range h.listeners {
		l.tell(failure)
	}
}

// Run runs the checks at an interval until ctx ends.
func (h *Health) Run(ctx context.Context) {
	ticker := time.NewTicker(h.interval())
	defer ticker.Stop()
	for {
		h.runChecks(ctx)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func (h *Health) interval() time.Duration {
	if h.Interval <= 0 {
		return 2 * time.Second
	}
	return h.Interval
}

// refresh runs the checks if their results are old.
func (h *Health) refresh(ctx context.Context) {
	h.mu.Lock()
	isOld := len(h.checks) > 0 && time.Since(h.at) > 2*h.interval()
	h.mu.Unlock()
	if isOld {
		h.runChecks(context.WithoutCancel(ctx)) // the results are not only for who asks
	}
}

// runChecks runs all checks at once.
func (h *Health) runChecks(ctx context.Context) {
	h.running.Lock()
	defer h.running.Unlock()
	h.mu.Lock()
	checks := slices.Clone(h.checks)
	h.mu.Unlock()
	timeout := h.Timeout
	if timeout <= 0 {
		timeout = time.Second
	}
	checking, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	failures := make([]chan error, len(checks))
	for i, c := range checks {
		failures[i] = make(chan error, 1)
		go func() { failures[i] <- run(checking, c.check) }()
	}
	for i, c := range checks {
		var err error
		select {
		case err = <-failures[i]:
		case <-checking.Done():
			err = fmt.Errorf("no answer within %s", timeout)
		}
		if ctx.Err() != nil {
			return // what fails now fails because all ends
		}
		h.note(c, err)
	}
	h.mu.Lock()
	h.at = time.Now()
	h.mu.Unlock()
	h.tell()
}

// run runs a check, whose panic is a failure.
func run(ctx context.Context, check Check) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return check(ctx)
}

func (h *Health) note(c *namedCheck, err error) {
	h.mu.Lock()
	before := c.failure
	c.failure = err
	h.mu.Unlock()
	log := h.Logger
	if log == nil {
		log = slog.Default()
	}
	switch {
	case err != nil && before == nil:
		log.Warn("health check fails", "check", c.name, "error", err.Error())
	case err == nil && before != nil:
		log.Info("health check succeeds again", "check", c.name)
	}
}

// Handler answers GET /healthz and GET /readyz by 200, or by 503 with the names of the checks that
// fail, and hands other requests to next; nil answers those by 404.
func (h *Health) Handler(next http.Handler) http.Handler {
	if next == nil {
		next = http.NotFoundHandler()
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			switch r.URL.Path {
			case "/readyz":
				answer(w, h.Ready(r.Context()))
				return
			case "/healthz":
				answer(w, h.Alive(r.Context()))
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

func answer(w http.ResponseWriter, failure error) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if failure != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = fmt.Fprintln(w, failure)
		return
	}
	_, _ = fmt.Fprintln(w, "ok")
}
