package service_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/propagation"

	"github.com/grayrelease/gray/service"
)

// arriving returns the version in the context behind the middleware.
func arriving(t *testing.T, c service.Carrier, lines ...string) string {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	version := "no request"
	c.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		version = service.Version(r.Context())
	})).ServeHTTP(httptest.NewRecorder(), r)
	return version
}

func TestVersionsThatArrive(t *testing.T) {
	for _, c := range []struct {
		lines []string
		want  string
	}{
		{nil, ""},
		{[]string{"X-Gray-Version: v2"}, "v2"},
		{[]string{"Baggage: a=b,gray=v2"}, "v2"},
		{[]string{"X-Gray-Version: v1", "Baggage: gray=v2"}, "v1"},
		{[]string{"X-Gray-Version: v1", "X-Gray-Version: v2"}, ""},
		{[]string{"X-Gray-Version: v2 or 1=1", "Baggage: gray=v2"}, ""},
		{[]string{"X-Gray-Version: ", "Baggage: gray=v2"}, ""},
		{[]string{"X-Canary: v2"}, ""},
	} {
		assert.Equal(t, c.want, arriving(t, service.Carrier{}, c.lines...), "%q", c.lines)
	}
	assert.Equal(t, "v2", arriving(t, service.Carrier{Header: "x-canary"}, "X-Canary: v2", "X-Gray-Version: v1"))
}

func TestWithVersion(t *testing.T) {
	ctx := service.WithVersion(context.Background(), "v2")
	assert.Equal(t, "v2", service.Version(ctx))
	assert.Empty(t, service.Version(service.WithVersion(ctx, "")))
	assert.Empty(t, service.Version(service.WithVersion(ctx, "no\nversion")))
	assert.Equal(t, "v2", service.Version(ctx), "a context is not changed by its children")
}

// sent returns what a transport sends to a URL.
func sent(t *testing.T, ctx context.Context, o service.TransportOptions, url string, lines ...string) http.Header {
	t.Helper()
	var got http.Header
	o.Base = roundTripper(func(r *http.Request) (*http.Response, error) {
		got = r.Header
		return &http.Response{StatusCode: http.StatusNoContent, Body: http.NoBody, Request: r}, nil
	})
	transport, err := service.NewTransport(o)
	require.NoError(t, err)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	require.NoError(t, err)
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	before := r.Header.Clone()
	response, err := transport.RoundTrip(r)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	assert.Equal(t, before, r.Header, "the request belongs to the caller")
	return got
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestCarriedToListedHostsAlone(t *testing.T) {
	ctx := service.WithVersion(context.Background(), "v2")
	o := service.TransportOptions{Domains: []string{"cart", "*.shop.example", "10.0.0.0/8", "192.0.2.1"}}
	for _, url := range []string{
		"http://cart/", "http://CART:8080/x", "http://a.b.shop.example./", "http://10.1.2.3:80/", "https://192.0.2.1/",
		"http://[::ffff:10.0.0.1]/",
	} {
		got := sent(t, ctx, o, url, "Baggage: a=b;p=q", "Accept: */*")
		assert.Equal(t, http.Header{
			"X-Gray-Version": {"v2"}, "Baggage": {"a=b;p=q,gray=v2"}, "Accept": {"*/*"},
		}, got, url)
	}
	for _, url := range []string{
		"http://shop.example/", "http://evil-shop.example/", "http://cart.evil.example/", "http://11.0.0.1/",
		"http://api.partner.example/?cart", "http://cart@partner.example/",
	} {
		got := sent(t, ctx, o, url, "X-Gray-Version: v2", "Baggage: a=b, gray=v2", "Accept: */*")
		assert.Equal(t, http.Header{"Baggage": {"a=b"}, "Accept": {"*/*"}}, got, url)
	}
	assert.Empty(t, sent(t, ctx, service.TransportOptions{}, "http://cart/"), "the zero value tells nobody")
}

func TestRequestsWithoutVersion(t *testing.T) {
	o := service.TransportOptions{Domains: []string{"cart"}}
	assert.Empty(t, sent(t, context.Background(), o, "http://cart/"))
	assert.Equal(t, http.Header{"X-Gray-Version": {"v2"}, "Baggage": {"gray=v2"}},
		sent(t, context.Background(), o, "http://cart/", "X-Gray-Version: v2"), "one that the caller set by hand")
	ctx := service.WithVersion(context.Background(), "v3")
	assert.Equal(t, http.Header{"X-Gray-Version": {"v3"}, "Baggage": {"gray=v3"}},
		sent(t, ctx, o, "http://cart/", "X-Gray-Version: v2"), "the context outranks the header")
	o.Carrier.Header = "X-Canary"
	assert.Equal(t, http.Header{"X-Canary": {"v3"}, "Baggage": {"gray=v3"}}, sent(t, ctx, o, "http://cart/"))
}

func TestWrongDomains(t *testing.T) {
	for _, domain := range []string{"http://cart", "cart:80", "a b", "käse.example"} {
		_, err := service.NewTransport(service.TransportOptions{Domains: []string{domain}})
		assert.ErrorContains(t, err, "Domains: ", domain)
	}
}

// OpenTelemetry's propagator sees the version, whoever put it there, and ours sees it through
// OpenTelemetry alone.
func TestBesideOpenTelemetry(t *testing.T) {
	other, err := baggage.NewMember("tenant", "t-1")
	require.NoError(t, err)
	all, err := baggage.New(other)
	require.NoError(t, err)
	ctx := baggage.ContextWithBaggage(context.Background(), all)

	inject := func(ctx context.Context) string {
		carrier := propagation.MapCarrier{}
		propagation.Baggage{}.Inject(ctx, carrier)
		return carrier["baggage"]
	}
	extract := func(text string) context.Context {
		return propagation.Baggage{}.Extract(context.Background(), propagation.MapCarrier{"baggage": text})
	}
	for name, of := range map[string]func(ctx context.Context, version string) context.Context{
		"WithVersion": service.WithVersion, "Received": service.Received,
	} {
		b, err := baggage.Parse(inject(of(ctx, "v2")))
		require.NoError(t, err)
		assert.Equal(t, "v2", b.Member("gray").Value(), name)
		assert.Equal(t, "t-1", b.Member("tenant").Value(), name)
		assert.Equal(t, "tenant=t-1", inject(of(of(ctx, "v2"), "")), name)
		assert.Equal(t, "gray=v3", inject(of(extract("gray=v2"), "v3")), name)
	}
	assert.Equal(t, "v2", service.Version(extract("a=b,gray=v2")))
	assert.Empty(t, service.Version(extract("a=b,gray=v%20or%201")))
}

func TestMessages(t *testing.T) {
	message := map[string]string{"baggage": "a=b,gray=v1", "X-Gray-Version": "v1", "key": "value"}
	service.Inject(service.WithVersion(context.Background(), "v2"), message)
	assert.Equal(t, map[string]string{"x-gray-version": "v2", "baggage": "a=b,gray=v2", "key": "value"}, message)
	assert.Equal(t, "v2", service.Version(service.Extract(context.Background(), message)))
	service.Inject(context.Background(), message)
	assert.Equal(t, map[string]string{"baggage": "a=b", "key": "value"}, message)
	assert.Empty(t, service.Version(service.Extract(service.WithVersion(context.Background(), "v2"), message)),
		"what a message says takes the place of what the consumer is about")
	assert.Equal(t, "v3", service.Version(service.Extract(context.Background(), map[string]string{"Baggage": "gray=v3"})))
	assert.Empty(t, service.Version(service.Extract(context.Background(), nil)))
}

// FuzzReceived holds what may come from anybody against what is true of all of it.
func FuzzReceived(f *testing.F) {
	f.Add("v2", "a=b,gray=v2;p", true)
	f.Add("v2\r\nX: y", "gray=%76%32", false)
	f.Fuzz(func(t *testing.T, header, line string, both bool) {
		h := http.Header{"Baggage": {line}}
		if both {
			h["X-Gray-Version"] = []string{header}
		}
		version := service.Carrier{}.Version(h)
		if version != "" && strings.Trim(version, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != "" {
			t.Fatalf("%q is a version", version)
		}
		message := map[string]string{"baggage": line}
		ctx := service.Received(context.Background(), version)
		service.Inject(ctx, message)
		if got := service.Version(service.Extract(ctx, message)); got != version {
			t.Fatalf("%q became %q in %q", version, got, message)
		}
	})
}
