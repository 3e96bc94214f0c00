package service_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/service"
)

// probe asks a handler by GET.
func probe(t *testing.T, h http.Handler, path string) (status int, text string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	body, err := io.ReadAll(w.Body)
	require.NoError(t, err)
	return w.Code, string(body)
}

func TestProbes(t *testing.T) {
	next := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	h := &service.Health{Logger: slog.New(slog.DiscardHandler), Interval: time.Nanosecond, Timeout: 20 * time.Millisecond}
	handler := h.Handler(next)
	expect := func(path string, status int, text string) {
		t.Helper()
		gotStatus, gotText := probe(t, handler, path)
		assert.Equal(t, status, gotStatus, path)
		assert.Equal(t, text, gotText, path)
	}
	expect("/readyz", 200, "ok\n")
	expect("/healthz", 200, "ok\n")
	expect("/other", 418, "")

	var database, deadlock error
	h.Add("database", func(context.Context) error { return database })
	h.AddLiveness("deadlock", func(context.Context) error { return deadlock })
	expect("/readyz", 200, "ok\n")
	database = errors.New("password refused")
	expect("/readyz", 503, "failing: database\n")
	expect("/healthz", 200, "ok\n")
	deadlock = errors.New("stuck")
	expect("/readyz", 503, "failing: database, deadlock\n")
	expect("/healthz", 503, "failing: deadlock\n")
	database, deadlock = nil, nil
	expect("/readyz", 200, "ok\n")

	h.Drain()
	expect("/readyz", 503, "draining\n")
	expect("/healthz", 200, "ok\n")

	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/readyz", nil))
	assert.Equal(t, 418, w.Code, "a POST is the service's own")
	status, _ := probe(t, (&service.Health{}).Handler(nil), "/other")
	assert.Equal(t, 404, status)
}

func TestChecksThatHangOrPanic(t *testing.T) {
	h := &service.Health{Logger: slog.New(slog.DiscardHandler), Timeout: 10 * time.Millisecond}
	h.Add("hangs", func(ctx context.Context) error { <-ctx.Done(); return nil })
	h.Add("panics", func(context.Context) error { panic("oops") })
	require.EqualError(t, h.Ready(t.Context()), "failing: hangs, panics")
}

func TestOnReady(t *testing.T) {
	h := &service.Health{Logger: slog.New(slog.DiscardHandler), Interval: time.Millisecond}
	var isFailing atomic.Bool
	h.Add("database", func(context.Context) error {
		if isFailing.Load() {
			return errors.New("down")
		}
		return nil
	})
	told := make(chan error, 100)
	stop := h.OnReady(func(err error) { told <- err })
	require.NoError(t, <-told)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); h.Run(ctx) }()
	isFailing.Store(true)
	require.EqualError(t, <-told, "failing: database")
	isFailing.Store(false)
	require.NoError(t, <-told)
	h.Drain()
	require.EqualError(t, <-told, "draining")
	stop()
	cancel()
	<-done
	assert.Empty(t, told)
}
