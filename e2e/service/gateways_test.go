package service

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/e2e/caddy"
	"github.com/grayrelease/gray/e2e/servers"
	"github.com/grayrelease/gray/e2e/traefik"
	"github.com/grayrelease/gray/service"
)

// gateways are real ones before two instances of a version. By registry they follow Consul; by
// health checks they know nothing but /readyz.
var gateways = []struct {
	name  string
	start func(t *testing.T, discovery string, addresses []string) (url string)
}{
	{"caddy by registry", func(t *testing.T, discovery string, _ []string) string {
		return startCaddy(t, fmt.Sprintf(`gray shop {
			stable v1
			version v1 127.0.0.1:1
			version v2 {
				discover %s
			}
			rule v2 {
				when header X-Canary exists
			}
		}
		reverse_proxy {
			dynamic gray
		}`, discovery))
	}},
	{"caddy by health checks", func(t *testing.T, _ string, addresses []string) string {
		return startCaddy(t, fmt.Sprintf("reverse_proxy %s {\nhealth_uri /readyz\nhealth_interval 500ms\n}",
			strings.Join(addresses, " ")))
	}},
	{"traefik by registry", func(t *testing.T, discovery string, _ []string) string {
		stable := httptest.NewServer(http.NotFoundHandler())
		t.Cleanup(stable.Close)
		return startTraefik(t, object{
			"routers": object{"r": object{"rule": "PathPrefix(`/`)", "middlewares": []any{"gray"}, "service": "stable"}},
			"middlewares": object{"gray": object{"plugin": object{"gray": object{
				"mode": "proxy", "service": "shop", "stable": "v1",
				"versions": object{"v1": object{}, "v2": object{"discover": discovery}},
				"rules":    []any{object{"version": "v2", "when": []any{"header X-Canary exists"}}},
			}}}},
			"services": object{"stable": object{"loadBalancer": object{"servers": []any{object{"url": stable.URL}}}}},
		})
	}},
	{"traefik by health checks", func(t *testing.T, _ string, addresses []string) string {
		var all []any
		for _, address := range addresses {
			all = append(all, object{"url": "http://" + address})
		}
		return startTraefik(t, object{
			"routers": object{"r": object{"rule": "PathPrefix(`/`)", "service": "shop"}},
			"services": object{"shop": object{"loadBalancer": object{
				"servers": all, "healthCheck": object{"path": "/readyz", "interval": "500ms", "timeout": "400ms"},
			}}},
		})
	}},
}

type object = map[string]any

func startCaddy(t *testing.T, block string) string {
	t.Helper()
	address := servers.FreeAddress(t)
	caddy.Start(t, address, "http://"+address+" {\n"+block+"\n}\n")
	return "http://" + address
}

func startTraefik(t *testing.T, dynamic object) string {
	t.Helper()
	return traefik.Start(t, traefik.Options{
		Plugins: map[string]string{"gray": "../.."}, Dynamic: object{"http": dynamic},
	}).URL
}

// Instances end one after the other under 500 requests a second, and none fails. How many do
// without a drain is told beside.
func TestSIGTERMBehindGateways(t *testing.T) {
	p, port := servers.Consul(t)
	consul := newRegistry(t, p, "consul", port, "", 0)
	rate := 500
	if testing.Short() {
		rate = 200
	}
	for i, each := range gateways {
		t.Run(each.name, func(t *testing.T) {
			for _, abrupt := range []bool{false, true} {
				if abrupt && testing.Short() {
					break
				}
				name := fmt.Sprintf("shop-%d-%t", i, abrupt)
				sent, failures := endUnderLoad(t, consul, name, each.start, rate, abrupt)
				if abrupt {
					t.Logf("without drain: %d of %d requests failed: %q", len(failures), sent, first(failures))
					continue
				}
				t.Logf("with drain: %d of %d requests failed", len(failures), sent)
				assert.Empty(t, first(failures))
			}
		})
	}
}

func endUnderLoad(t *testing.T, consul *registry, name string,
	start func(t *testing.T, discovery string, addresses []string) string, rate int, abrupt bool,
) (sent int, failures []string) {
	t.Helper()
	instances := make([]*process, 2)
	addresses := make([]string, 2)
	w := watch(t, consul.discovery(name, "version=v2"))
	for i := range instances {
		instances[i] = startInstance(t, instance{
			Name: fmt.Sprint("i-", i), Version: "v2", Registry: consul.url(name), Notice: 2 * time.Second, Abrupt: abrupt,
			Delay: 10 * time.Millisecond,
		})
		addresses[i] = instances[i].Address
	}
	w.awaitCount(len(instances))
	url := start(t, consul.discovery(name, "version=v2"), addresses)
	client := plainClient()
	awaitAll(t, client, url, len(instances))
	l := startLoad(t, client, url, rate)
	for i, p := range instances {
		l.awaitServed(t, p.Name)
		p.stop()
		if i+1 < len(instances) {
			instances[i] = startInstance(t, p.instance) // at the same address
			l.awaitServed(t, p.Name)
		}
	}
	l.awaitServed(t, "i-0")
	return l.stop()
}

// A hundred instances are replaced by a hundred others, ten at a time, while Caddy and a client of
// package service call them.
func TestRolling(t *testing.T) {
	const wave = 10
	count := 100
	if testing.Short() {
		count = 20
	}
	p, port := servers.Consul(t)
	consul := newRegistry(t, p, "consul", port, "", 0)
	for _, abrupt := range []bool{false, true} {
		if abrupt && testing.Short() {
			break
		}
		name := fmt.Sprintf("rolling-%t", abrupt)
		startWave := func(generation, from int) (all []*process) {
			for n := from; n < from+wave; n++ {
				all = append(all, startInstance(t, instance{
					Name: fmt.Sprintf("g%d-%d", generation, n), Version: "v2", Registry: consul.url(name), Notice: time.Second,
					Abrupt: abrupt, Delay: 10 * time.Millisecond,
				}))
			}
			return all
		}
		w := watch(t, consul.discovery(name, "version=v2"))
		var waves [][]*process
		for from := 0; from < count; from += wave {
			waves = append(waves, startWave(1, from))
		}
		w.awaitCount(count)
		transport, err := service.NewTransport(service.TransportOptions{Services: map[string]service.Target{
			"rolling": {Discover: consul.discovery(name, ""), Stable: "v1", Logger: quiet},
		}})
		require.NoError(t, err)
		url, client := gateways[0].start(t, consul.discovery(name, "version=v2"), nil), plainClient()
		awaitAll(t, client, url, 1)
		loads := map[string]*load{
			"caddy":  startLoad(t, client, url, 150),
			"client": startLoad(t, &http.Client{Transport: transport}, "http://rolling/", 150),
		}
		for i, old := range waves {
			waves[i] = startWave(2, i*wave)
			for _, l := range loads {
				l.awaitServed(t, waves[i][wave-1].Name)
			}
			terminate(old)
		}
		for name, l := range loads {
			sent, failures := l.stop()
			t.Logf("%s, abrupt %t: %d of %d requests failed: %q", name, abrupt, len(failures), sent, first(failures))
			if !abrupt {
				assert.Empty(t, first(failures), name)
			}
		}
		transport.Close()
		for _, all := range waves {
			terminate(all) // Consul takes 200 connections of one client
		}
	}
}

// awaitAll waits until a gateway answers by so many instances.
func awaitAll(t *testing.T, client *http.Client, url string, count int) {
	t.Helper()
	warm := &load{client: client, url: url}
	served := map[string]bool{}
	for deadline := time.Now().Add(30 * time.Second); len(served) < count; {
		if text, err := warm.do(http.MethodGet, nil); err == nil {
			served[text] = true
		}
		require.True(t, time.Now().Before(deadline), "the gateway knows %v", served)
	}
}

// terminate sends SIGTERM to all at once, and waits until all have ended.
func terminate(all []*process) {
	for _, p := range all {
		_ = p.command.Process.Signal(syscall.SIGTERM)
	}
	for _, p := range all {
		<-p.ended
	}
}
