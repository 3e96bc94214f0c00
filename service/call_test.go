package service_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/service"
)

// place is an instance that answers with its name, its method and body, and what it was told.
func place(t *testing.T, name string) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = fmt.Fprintf(w, "%s %s %s%s %s%s", name, r.Method, r.Host, r.URL, r.Header.Get("X-Gray-Version"), body)
	}))
	t.Cleanup(s.Close)
	return s
}

// called returns what an instance answers to a caller who carries a version, and "" with an error.
func called(t *testing.T, transport http.RoundTripper, url, version string) (string, error) {
	t.Helper()
	return calledWith(t, transport, url, version, nil)
}

func calledWith(t *testing.T, transport http.RoundTripper, url, version string, body io.Reader) (string, error) {
	t.Helper()
	ctx := service.WithVersion(context.Background(), version)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, body)
	require.NoError(t, err)
	response, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	assert.Equal(t, url, response.Request.URL.String())
	return string(text), nil
}

// serves awaits that a caller who carries a version gets an instance.
func serves(t *testing.T, transport http.RoundTripper, url, version, want string) {
	t.Helper()
	got := ""
	require.Eventually(t, func() bool {
		text, err := called(t, transport, url, version)
		got, _, _ = strings.Cut(text, " ")
		return err == nil && got == want
	}, 10*time.Second, time.Millisecond, "%s", want)
}

func transportTo(t *testing.T, services map[string]service.Target) *service.Transport {
	t.Helper()
	for name, target := range services {
		target.Logger = slog.New(slog.DiscardHandler)
		services[name] = target
	}
	transport, err := service.NewTransport(service.TransportOptions{Services: services})
	require.NoError(t, err)
	t.Cleanup(transport.Close)
	return transport
}

func (a *agent) register(t *testing.T, s *httptest.Server, version string) *service.Registration {
	t.Helper()
	r, err := service.Registry{URL: "consul://" + a.host + "/cart", Logger: slog.New(slog.DiscardHandler)}.Register(
		t.Context(), service.Instance{Address: s.Listener.Addr().String(), Version: version})
	require.NoError(t, err)
	<-r.Registered()
	t.Cleanup(func() { <-r.Done() })
	return r
}

func TestInstancesAreCalledByVersion(t *testing.T) {
	a := newAgent(t)
	v1, v2 := place(t, "one"), place(t, "two")
	a.register(t, v1, "v1")
	gray := a.register(t, v2, "v2")
	transport := transportTo(t, map[string]service.Target{
		"cart": {Discover: "consul://" + a.host + "/cart", Stable: "v1"},
		"*":    {Discover: "consul://" + a.host + "/{service}", Stable: "v1"},
	})
	for version, want := range map[string]string{
		"": "one POST cart/x?y=z ", "v1": "one POST cart/x?y=z v1", "v2": "two POST cart/x?y=z v2",
		"v3": "one POST cart/x?y=z v3",
	} {
		for _, url := range []string{"http://cart/x?y=z", "gray://cart/x?y=z"} {
			got, err := called(t, transport, url, version)
			require.NoError(t, err)
			assert.Equal(t, want, got, "%s %s", url, version)
		}
	}
	gray.Suspend("database")
	serves(t, transport, "http://cart/", "v2", "one")
	gray.Resume()
	serves(t, transport, "http://cart/", "v2", "two")
	a.down(true) // what the registry listed last stays
	a.mu.Lock()
	a.change()
	a.mu.Unlock()
	for range 10 {
		serves(t, transport, "http://cart/", "v2", "two")
	}
	a.down(false)
	_, err := called(t, transport, "http://127.0.0.1:1/", "")
	require.Error(t, err, "other hosts are who they are")
}

func TestServicesThatAreNotKnown(t *testing.T) {
	a := newAgent(t)
	transport := transportTo(t, map[string]service.Target{
		"cart": {Discover: "consul://" + a.host + "/cart", Stable: "v1"},
	})
	_, err := called(t, transport, "http://cart/", "v2")
	require.ErrorIs(t, err, service.ErrNoInstance)
	require.ErrorContains(t, err, "cart: no instance is known")
	_, err = called(t, transport, "gray://user/", "v2")
	require.ErrorContains(t, err, `user is not one of the services: add it to Services, or "*" for all`)
	transport, err = service.NewTransport(service.TransportOptions{
		Patience: time.Millisecond, Services: map[string]service.Target{
			"cart": {Discover: "consul://127.0.0.1:1/cart", Stable: "v1", Logger: slog.New(slog.DiscardHandler)},
		},
	})
	require.NoError(t, err)
	defer transport.Close()
	_, err = called(t, transport, "http://cart/", "v2")
	require.ErrorContains(t, err, "cart: it is not known yet where the service runs")
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestInstancesThatFail(t *testing.T) {
	dead := place(t, "dead")
	dead.Close()
	one, two := place(t, "one"), place(t, "two")
	policy := func(v1, v2 []string) service.Target {
		return service.Target{Policy: &core.Policy{Service: "cart", Stable: "v1", Versions: map[string]core.Version{
			"v1": {Upstreams: v1}, "v2": {Upstreams: v2},
		}}}
	}
	for name, c := range map[string]struct {
		target service.Target
		want   string
	}{
		"another of the version": {policy([]string{one.URL}, []string{dead.URL, two.URL}), "two"},
		"the stable version":     {policy([]string{one.URL}, []string{dead.URL}), "one"},
		"no other version":       {policy([]string{one.URL}, nil), "one"},
	} {
		transport := transportTo(t, map[string]service.Target{"cart": c.target})
		for range 5 {
			// A body that can be read only once.
			got, err := calledWith(t, transport, "http://cart/", "v2", io.MultiReader(strings.NewReader(" body")))
			require.NoError(t, err, name)
			assert.Equal(t, c.want+" POST cart/ v2 body", got, name)
		}
	}
	transport := transportTo(t, map[string]service.Target{"cart": policy([]string{dead.URL}, []string{two.URL})})
	for range 3 {
		_, err := called(t, transport, "http://cart/", "v1")
		require.ErrorContains(t, err, "connection refused", "a stable caller never gets the canary")
	}
}

// toldCloser is a body that says when it is closed.
type toldCloser struct {
	io.Reader
	closed chan struct{}
}

func (c *toldCloser) Close() error { c.closed <- struct{}{}; return nil }

func TestBodiesAreClosed(t *testing.T) {
	dead, one := place(t, "dead"), place(t, "one")
	dead.Close()
	for _, upstreams := range [][]string{{one.URL}, {dead.URL}, {dead.URL, one.URL}} {
		transport := transportTo(t, map[string]service.Target{"cart": {Policy: &core.Policy{
			Service: "cart", Stable: "v1", Versions: map[string]core.Version{"v1": {Upstreams: upstreams}},
		}}})
		for _, text := range []string{"", "body"} {
			body := &toldCloser{Reader: strings.NewReader(text), closed: make(chan struct{}, 9)}
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://cart/", body)
			require.NoError(t, err)
			response, err := transport.RoundTrip(r)
			if err == nil {
				_, _ = io.Copy(io.Discard, response.Body)
				response.Body.Close()
			}
			<-body.closed // some time after the response
		}
	}
}

// followed writes documents that a transport follows.
type followed struct {
	t    *testing.T
	path string
}

func (f followed) write(suffix, text string) {
	f.t.Helper()
	require.NoError(f.t, os.WriteFile(f.path+suffix+".new", []byte(text), 0o600))
	require.NoError(f.t, os.Rename(f.path+suffix+".new", f.path+suffix))
}

func TestPolicyAndSwitchAreObeyed(t *testing.T) {
	a := newAgent(t)
	a.register(t, place(t, "one"), "v1")
	a.register(t, place(t, "two"), "v2")
	document := followed{t, filepath.Join(t.TempDir(), "cart.json")}
	transport := transportTo(t, map[string]service.Target{"cart": {
		Discover: "consul://" + a.host + "/cart", Stable: "v1",
		Source: &live.Source{URL: "file://" + document.path + "?interval=10ms"},
	}})
	serves(t, transport, "http://cart/", "v2", "one") // no policy yet: everybody gets stable
	const policy = `{"service": "cart", "stable": "v1", "versions": {"v1": {}, "v2": {}}, "enabled": %t,
		"rules": [{"name": "ramp", "version": "v2", "percent": 5}, {"name": "testers", "version": "v2",
			"when": ["header X-Tester exists"]}]}`
	document.write("", fmt.Sprintf(policy, true))
	serves(t, transport, "http://cart/", "v2", "two")
	serves(t, transport, "http://cart/", "v1", "one")
	document.write("", fmt.Sprintf(policy, false))
	serves(t, transport, "http://cart/", "v2", "one")
	document.write("", fmt.Sprintf(policy, true))
	serves(t, transport, "http://cart/", "v2", "two")
	document.write(".switch", `{"epoch": 1, "to": "v1"}`)
	serves(t, transport, "http://cart/", "v2", "one")
	document.write(".switch", `{"epoch": 2, "to": "v2"}`)
	serves(t, transport, "http://cart/", "v1", "two")
	document.write(".switch", `{"epoch": 3, "to": ""}`)
	serves(t, transport, "http://cart/", "v1", "one")
	// The policy may be about several services, with stable versions of their own.
	own := transportTo(t, map[string]service.Target{"cart": {
		Discover: "consul://" + a.host + "/cart", Stable: "v2", Source: &live.Source{URL: "file://" + document.path},
	}})
	serves(t, own, "http://cart/", "", "two")
	document.write("", `{"service": "cart", "stable": "v1", "versions": {"v1": {}}}`)
	serves(t, transport, "http://cart/", "v2", "one") // the policy does not have it any more
}

func TestRollbackReachesCalls(t *testing.T) {
	for keep, want := range map[string]string{"": "one", `, "keep": ["testers"]`: "two"} {
		document := followed{t, filepath.Join(t.TempDir(), "cart.json")}
		policy := fmt.Sprintf(`{"service": "cart", "stable": "v1",
			"versions": {"v1": {"upstreams": [%q]}, "v2": {"upstreams": [%q]}},
			"rules": [{"name": "testers", "version": "v2", "when": ["header X-Tester exists"]},
				{"name": "ramp", "version": "v2"}],
			"rollout": {"rule": "ramp", "steps": ["5%% for 1h"], "guard": []%s}}`,
			place(t, "one").URL, place(t, "two").URL, keep)
		document.write("", policy)
		e, err := core.Load([]byte(policy))
		require.NoError(t, err)
		transport := transportTo(t, map[string]service.Target{"cart": {
			Source: &live.Source{URL: "file://" + document.path + "?interval=10ms"},
		}})
		serves(t, transport, "http://cart/", "v2", "two")
		state, err := json.Marshal(&core.RolloutState{
			Epoch: 2, Attempt: 1, Fingerprint: e.Rollout().Fingerprint, Phase: core.PhaseRolledBack, Withdrawn: []string{"v2"},
			Since: time.Now(), Began: time.Now(), StepSince: time.Now(),
		})
		require.NoError(t, err)
		document.write(".rollout", string(state))
		serves(t, transport, "http://cart/", "v2", want)
	}
}

func TestWrongTargets(t *testing.T) {
	for _, c := range []struct {
		target service.Target
		want   string
	}{
		{service.Target{}, "Services.cart: it is not known where the service runs: give Discover and Stable, Source or"},
		{service.Target{Discover: "consul://h/s"}, "Services.cart.Stable: required without a policy"},
		{service.Target{Discover: "consul://h/s", Stable: "v 1"}, `Services.cart.Stable: "v 1" is not the name of a version`},
		{service.Target{Discover: "zk://h/s", Stable: "v1"}, `Services.cart.Discover: unknown scheme "zk"`},
		{service.Target{Source: &live.Source{URL: "zk://h/s"}}, `Services.cart.source: unknown scheme "zk"`},
		{service.Target{Source: &live.Source{URL: "file:///x"}, Stable: "v1"}, "Services.cart.Stable: the policy says"},
		{service.Target{Policy: &core.Policy{Service: "cart", Stable: "v1", Versions: map[string]core.Version{"v1": {}}}},
			"Services.cart.versions.v1: it is not known where the stable version runs"},
	} {
		_, err := service.NewTransport(service.TransportOptions{Services: map[string]service.Target{"cart": c.target}})
		assert.ErrorContains(t, err, c.want)
	}
	_, err := service.NewTransport(service.TransportOptions{Services: map[string]service.Target{
		"Cart": {Discover: "consul://h/s", Stable: "v1"},
	}})
	assert.ErrorContains(t, err, `"Cart" is not the name of a service`)
}
