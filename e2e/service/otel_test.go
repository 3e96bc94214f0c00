package service

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/trace"

	"github.com/grayrelease/gray/service"
)

// With OpenTelemetry's own middleware around ours or within it, and its transport the base of ours
// or on top of it, the version and the other members go on, each once.
func TestBesideOpenTelemetry(t *testing.T) {
	propagator := propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})
	provider := trace.NewTracerProvider()
	defer func() { require.NoError(t, provider.Shutdown(context.Background())) }()
	options := []otelhttp.Option{otelhttp.WithPropagators(propagator), otelhttp.WithTracerProvider(provider)}
	var got http.Header
	last := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Clone() }))
	defer last.Close()

	handlers := map[string]func(http.Handler) http.Handler{
		"otel around ours": func(h http.Handler) http.Handler {
			return otelhttp.NewHandler(service.Handler(h), "test", options...)
		},
		"ours around otel": func(h http.Handler) http.Handler {
			return service.Handler(otelhttp.NewHandler(h, "test", options...))
		},
	}
	transports := map[string]func(domains []string) http.RoundTripper{
		"otel on top of ours": func(domains []string) http.RoundTripper {
			ours, err := service.NewTransport(service.TransportOptions{Domains: domains})
			require.NoError(t, err)
			t.Cleanup(ours.Close)
			return otelhttp.NewTransport(ours, options...)
		},
		"ours on top of otel": func(domains []string) http.RoundTripper {
			base := &http.Transport{}
			t.Cleanup(base.CloseIdleConnections)
			ours, err := service.NewTransport(service.TransportOptions{
				Domains: domains, Base: otelhttp.NewTransport(base, options...),
			})
			require.NoError(t, err)
			return ours
		},
	}
	incoming := map[string][]string{
		"both":            {"X-Gray-Version: v2", "Baggage: tenant=t-1,gray=v2"},
		"the header":      {"X-Gray-Version: v2", "Baggage: tenant=t-1"},
		"the baggage":     {"Baggage: tenant=t-1,gray=v2"},
		"different words": {"X-Gray-Version: v2", "Baggage: tenant=t-1,gray=v9"},
	}
	for _, handler := range handlers {
		for order, transport := range transports {
			for name, lines := range incoming {
				send := func(domains []string) *httptest.ResponseRecorder {
					client := &http.Client{Transport: transport(domains)}
					w := httptest.NewRecorder()
					r := httptest.NewRequest(http.MethodGet, "/", nil)
					for _, line := range lines {
						key, value, _ := strings.Cut(line, ": ")
						r.Header.Add(key, value)
					}
					handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						out, err := http.NewRequestWithContext(r.Context(), http.MethodGet, last.URL, nil)
						if !assert.NoError(t, err) {
							return
						}
						response, err := client.Do(out)
						if !assert.NoError(t, err) {
							return
						}
						_, _ = io.Copy(w, response.Body)
						response.Body.Close()
					})).ServeHTTP(w, r)
					return w
				}
				send([]string{"127.0.0.1"})
				assert.Equal(t, []string{"v2"}, got["X-Gray-Version"], "%s, %s", order, name)
				b, err := baggage.Parse(strings.Join(got["Baggage"], ","))
				require.NoError(t, err)
				assert.Equal(t, "v2", b.Member("gray").Value(), "%s, %s", order, name)
				assert.Equal(t, "t-1", b.Member("tenant").Value(), "%s, %s", order, name)
				assert.Equal(t, 1, strings.Count(strings.Join(got["Baggage"], ","), "gray="), "%s, %s", order, name)
				assert.NotEmpty(t, got["Traceparent"])
				send(nil)
				assert.Empty(t, got["X-Gray-Version"])
				if order == "otel on top of ours" {
					assert.Equal(t, []string{"tenant=t-1"}, got["Baggage"], "other hosts are told nothing")
				}
			}
		}
	}
}
