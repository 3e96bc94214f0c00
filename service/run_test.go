package service_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/service"
)

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return l
}

func status(t *testing.T, url string) (code int, closes bool) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	response, err := transport.RoundTrip(r)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return response.StatusCode, response.Close
}

// A service that ends is out of use first, serves who has not noticed, and finishes what is open.
func TestDrain(t *testing.T) {
	a := newAgent(t)
	entered, release := make(chan struct{}), make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/slow", func(http.ResponseWriter, *http.Request) { close(entered); <-release })
	mux.HandleFunc("/", func(http.ResponseWriter, *http.Request) {})
	health := &service.Health{}
	l := listen(t)
	url := "http://" + l.Addr().String()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- service.Runner{
			Registry: "consul://" + a.host + "/shop", Instance: service.Instance{Version: "v2"}, Health: health,
			Notice: 300 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
		}.ServeHTTP(ctx, l, &http.Server{Handler: mux, ReadHeaderTimeout: time.Second})
	}()
	a.await("register")
	assert.Equal(t, "127.0.0.1", a.only()["Address"])
	code, closes := status(t, url+"/readyz")
	assert.Equal(t, 200, code)
	assert.False(t, closes)
	slow := make(chan int, 1)
	go func() {
		response, err := http.Get(url + "/slow")
		if err == nil {
			response.Body.Close()
			slow <- response.StatusCode
		}
		close(slow)
	}()
	<-entered
	cancel()
	a.await("deregister")
	code, _ = status(t, url+"/readyz")
	assert.Equal(t, 503, code)
	code, closes = status(t, url+"/")
	assert.Equal(t, 200, code, "gateways that have not noticed are served")
	assert.True(t, closes, "and open another connection next time")
	close(release)
	assert.Equal(t, 200, <-slow, "what was open finishes")
	require.NoError(t, <-ended)
	_, err := net.Dial("tcp", l.Addr().String())
	require.Error(t, err)
}

func TestDrainIsLimited(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	l := listen(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- service.Runner{
			Notice: -1, Limit: 50 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
		}.ServeHTTP(ctx, l, &http.Server{ReadHeaderTimeout: time.Second,
			Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { close(entered); <-release })})
	}()
	go func() {
		if response, err := http.Get("http://" + l.Addr().String()); err == nil {
			response.Body.Close()
		}
	}()
	<-entered
	cancel()
	require.ErrorContains(t, <-ended, "requests under way were broken off after 50ms")
}

func TestFailingChecksTakeTheInstanceOutAndBack(t *testing.T) {
	a := newAgent(t)
	var isFailing atomic.Bool
	health := &service.Health{Interval: 5 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)}
	health.Add("database", func(context.Context) error {
		if isFailing.Load() {
			return errors.New("down")
		}
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	l := listen(t)
	go func() {
		ended <- service.Runner{
			Registry: "consul://" + a.host + "/shop", Instance: service.Instance{Version: "v2"}, Health: health, Notice: -1,
			Logger: slog.New(slog.DiscardHandler),
		}.ServeHTTP(ctx, l, &http.Server{ReadHeaderTimeout: time.Second})
	}()
	a.await("register")
	isFailing.Store(true)
	a.await("fail failing: database")
	isFailing.Store(false)
	a.await("pass")
	cancel()
	a.await("deregister")
	require.NoError(t, <-ended)
}

func TestRunnersThatCannotStart(t *testing.T) {
	err := service.Runner{Registry: "consul://h"}.ServeHTTP(t.Context(), listen(t), &http.Server{
		ReadHeaderTimeout: time.Second,
	})
	require.ErrorContains(t, err, "Version: ")
	l := listen(t)
	defer l.Close()
	require.Error(t, service.Run(&http.Server{Addr: l.Addr().String(), ReadHeaderTimeout: time.Second}))
}

func TestServersThatEndByThemselves(t *testing.T) {
	a := newAgent(t)
	runner := service.Runner{
		Registry: "consul://" + a.host + "/shop", Instance: service.Instance{Version: "v2"},
		Logger: slog.New(slog.DiscardHandler),
	}
	server := &http.Server{ReadHeaderTimeout: time.Second}
	ended := make(chan error, 1)
	l := listen(t)
	go func() { ended <- runner.ServeHTTP(t.Context(), l, server) }()
	a.await("register")
	require.NoError(t, server.Shutdown(t.Context()))
	require.NoError(t, <-ended, "that is what the program wanted")
	a.await("deregister")

	l = listen(t)
	go func() {
		ended <- runner.ServeHTTP(t.Context(), l, &http.Server{ReadHeaderTimeout: time.Second})
	}()
	a.await("register")
	require.NoError(t, l.Close())
	require.ErrorContains(t, <-ended, "the server ended by itself: ")
	a.await("deregister")
}
