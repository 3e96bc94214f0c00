// Package service runs services that use package service, as processes, with real registries and
// behind real gateways.
package service

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/grayrelease/gray/core/discover"
	"github.com/grayrelease/gray/e2e/backends"
	"github.com/grayrelease/gray/e2e/caddy"
	"github.com/grayrelease/gray/e2e/servers"
	"github.com/grayrelease/gray/service"
)

func TestMain(m *testing.M) {
	runInstance()
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		caddy.RemoveBinary()
		os.Exit(code)
	}))
}

// life is how long a registry lists an instance that it does not hear of.
const life = 2 * time.Second

// registry is a real one, with a relay in front that can be cut.
type registry struct {
	process *servers.Process
	relay   *backends.Relay
	scheme  string
	port    int
	options string        // of its URLs
	sweep   time.Duration // how late it may notice, beyond the life
}

var registries = []struct {
	name  string
	start func(t testing.TB) *registry
}{
	{"consul", func(t testing.TB) *registry {
		p, port := servers.Consul(t)
		return newRegistry(t, p, "consul", port, "", time.Second)
	}},
	{"etcd", func(t testing.TB) *registry {
		p, port := servers.Etcd(t)
		return newRegistry(t, p, "etcd", port, "", 2*time.Second)
	}},
	{"nacos", func(t testing.TB) *registry {
		p, port := servers.Nacos(t)
		return newRegistry(t, p, "nacos", port, "", 6*time.Second)
	}},
	{"nacos-3", func(t testing.TB) *registry {
		p, port := servers.Nacos3(t)
		return newRegistry(t, p, "nacos", port, "api=v3", 6*time.Second)
	}},
}

func newRegistry(
	t testing.TB, p *servers.Process, scheme string, port int, options string, sweep time.Duration,
) *registry {
	return &registry{p, backends.NewRelay(t, servers.Host(port)), scheme, port, options, sweep}
}

// url is where instances of a service register, by way of the relay.
func (r *registry) url(name string) string {
	return fmt.Sprintf("%s://%s/%s?ttl=%s&%s", r.scheme, r.relay.Address(), name, life, r.options)
}

// discovery is where they are found, without a relay.
func (r *registry) discovery(name, query string) string {
	path := name
	if r.scheme == "etcd" {
		path += "/"
	}
	if r.scheme == "nacos" {
		query += "&interval=50ms"
	}
	return fmt.Sprintf("%s://%s/%s?%s&%s", r.scheme, servers.Host(r.port), path, query, r.options)
}

// watched follows a discovery URL.
type watched struct {
	t    *testing.T
	news chan []discover.Instance
	last []discover.Instance
}

func watch(t *testing.T, url string) *watched {
	t.Helper()
	d, err := discover.Open(url, nil, nil)
	require.NoError(t, err)
	w := &watched{t: t, news: make(chan []discover.Instance, 1000)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.Watch(ctx, func(e discover.Event) {
			if e.Err == nil {
				w.news <- e.Instances
			}
		})
	}()
	t.Cleanup(func() { cancel(); <-done })
	return w
}

// await waits until the list is what is wanted, and returns how long that took.
func (w *watched) await(want ...discover.Instance) time.Duration {
	w.t.Helper()
	started := time.Now()
	timeout := time.After(3 * time.Minute)
	for {
		select {
		case w.last = <-w.news:
			if fmt.Sprint(w.last) == fmt.Sprint(want) {
				return time.Since(started)
			}
		case <-timeout:
			w.t.Fatalf("%v became %v", want, w.last)
		}
	}
}

// quiet logs nothing.
var quiet = slog.New(slog.DiscardHandler)

func register(t *testing.T, url string, i service.Instance) *service.Registration {
	t.Helper()
	r, err := service.Registry{URL: url, Logger: quiet}.Register(context.Background(), i)
	require.NoError(t, err)
	t.Cleanup(func() { _ = r.Deregister(context.Background()) })
	return r
}

// An instance is found by its version and its metadata, with its weight; it goes and comes back as
// it is told; it outlives a network that is cut and a registry that restarts, and is gone when it
// is killed.
func TestRegistries(t *testing.T) {
	for _, each := range registries {
		t.Run(each.name, func(t *testing.T) {
			r := each.start(t)
			t.Run("found", func(t *testing.T) { found(t, r) })
			t.Run("called", func(t *testing.T) { called(t, r) })
			t.Run("killed", func(t *testing.T) { killed(t, r) })
			t.Run("cut", func(t *testing.T) { cut(t, r) })
			if testing.Short() && r.scheme != "etcd" {
				return // Nacos takes its time to start, and Consul to agree with itself
			}
			t.Run("restarted", func(t *testing.T) { restarted(t, r) })
		})
	}
}

func found(t *testing.T, r *registry) {
	v1, v2 := watch(t, r.discovery("found", "version=v1")), watch(t, r.discovery("found", "version=v2&env=gray"))
	stable := register(t, r.url("found"), service.Instance{Address: "10.0.0.1:8080", Version: "v1"})
	<-stable.Registered()
	v1.await(discover.Instance{URL: "http://10.0.0.1:8080", Weight: 1, Version: "v1"})
	gray := register(t, r.url("found"), service.Instance{
		Address: "10.0.0.2:8080", Version: "v2", Metadata: map[string]string{"env": "gray"}, Weight: 3,
	})
	listed := discover.Instance{URL: "http://10.0.0.2:8080", Weight: 3, Version: "v2"}
	v2.await(listed)
	gray.Suspend("database")
	v2.await()
	gray.Resume()
	v2.await(listed)
	time.Sleep(2 * life) // it is the renewals that keep it there
	assert.Equal(t, service.RegistrationState{Registered: true}, gray.State())
	for len(v2.news) > 0 {
		assert.Equal(t, []discover.Instance{listed}, <-v2.news)
	}
	require.NoError(t, gray.Deregister(context.Background()))
	v2.await()
}

// called has clients find instances by the registry, over HTTP and gRPC.
func called(t *testing.T, r *registry) {
	target := service.Target{Discover: r.discovery("{service}", ""), Stable: "v1", Logger: quiet}
	names := map[string]bool{"a": true, "a-rpc": true}
	all := map[string]*watched{}
	for name := range names {
		all[name] = watch(t, r.discovery(name, ""))
	}
	nodes := map[string]context.CancelFunc{}
	for _, version := range []string{"v1", "v2"} {
		n := &node{name: "a", version: version}
		n.caller = &caller{}
		nodes[version] = n.start(t, strings.TrimSuffix(r.url("NAME"), "NAME?ttl=2s&"+r.options), "?ttl=2s&"+r.options)
	}
	for name := range names {
		all[name].awaitCount(2)
	}
	c := newCaller(t, target)
	for version, want := range map[string]string{"": "a=v1", "v1": "a=v1", "v2": "a=v2", "v3": "a=v1"} {
		for _, way := range ways {
			got, err := c.call(service.WithVersion(context.Background(), version), "a:"+way)
			require.NoError(t, err)
			assert.Equal(t, want, got, "%s by %s", version, way)
		}
	}
	nodes["v2"]() // it drains
	for name := range names {
		all[name].awaitCount(1)
	}
	for _, way := range ways {
		require.Eventually(t, func() bool {
			got, err := c.call(service.WithVersion(context.Background(), "v2"), "a:"+way)
			return assert.NoError(t, err) && got == "a=v1"
		}, time.Minute, time.Millisecond, way)
	}
}

func killed(t *testing.T, r *registry) {
	w := watch(t, r.discovery("killed", "version=v2"))
	p := startInstance(t, instance{Name: "k", Version: "v2", Registry: r.url("killed")})
	w.await(discover.Instance{URL: "http://" + p.Address, Weight: 1, Version: "v2"})
	p.kill()
	took := w.await()
	t.Logf("gone %s after kill -9, with a life of %s", took.Round(time.Millisecond), life)
	assert.LessOrEqual(t, took, life+r.sweep)
}

func cut(t *testing.T, r *registry) {
	w := watch(t, r.discovery("cut", "version=v2"))
	registration := register(t, r.url("cut"), service.Instance{Address: "10.0.0.1:8080", Version: "v2"})
	listed := discover.Instance{URL: "http://10.0.0.1:8080", Weight: 1, Version: "v2"}
	w.await(listed)
	r.relay.Hold(true)
	r.relay.Cut()
	took := w.await()
	assert.LessOrEqual(t, took, life+r.sweep)
	assert.NotEmpty(t, registration.State().Error)
	r.relay.Hold(false)
	t.Logf("gone after %s, back %s after the network", took.Round(time.Millisecond),
		w.await(listed).Round(time.Millisecond))
}

func restarted(t *testing.T, r *registry) {
	w := watch(t, r.discovery("restarted", "version=v2"))
	register(t, r.url("restarted"), service.Instance{Address: "10.0.0.1:8080", Version: "v2"})
	listed := discover.Instance{URL: "http://10.0.0.1:8080", Weight: 1, Version: "v2"}
	w.await(listed)
	r.process.Kill()
	time.Sleep(life) // what was to be kept for that long is not any more
	r.process.Start()
	for len(w.news) > 0 {
		<-w.news
	}
	w.await(listed)
	time.Sleep(2 * life)
	for len(w.news) > 0 {
		w.last = <-w.news
	}
	assert.Equal(t, []discover.Instance{listed}, w.last, "and stays")
}
