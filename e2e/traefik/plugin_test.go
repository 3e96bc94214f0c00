package traefik_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/e2e/traefik"
)

const (
	root  = "../.."
	empty = "../yaegi/testdata/empty"
)

type object = map[string]any

// dynamic is a dynamic configuration: routers, middlewares and services of HTTP.
func dynamic(routers, middlewares, services object) object {
	section := object{}
	for name, part := range map[string]object{"routers": routers, "middlewares": middlewares, "services": services} {
		if len(part) > 0 {
			section[name] = part
		}
	}
	return object{"http": section}
}

func gray(config object) object { return object{"plugin": object{"gray": config}} }

func server(urls ...string) object {
	var servers []any
	for _, u := range urls {
		servers = append(servers, object{"url": u})
	}
	return object{"loadBalancer": object{"servers": servers}}
}

// upstream answers with its name and with what the plugin told it.
func upstream(t testing.TB, name string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Served-By", name)
		w.Header().Set("Got-Version", r.Header.Get("X-Gray-Version"))
		w.Header().Set("Got-Baggage", r.Header.Get("Baggage"))
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func get(t testing.TB, g *traefik.Gateway, host string, headers ...string) *http.Response {
	t.Helper()
	r, err := http.NewRequest("GET", g.URL, nil)
	require.NoError(t, err)
	r.Host = host
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, response.Body)
	require.NoError(t, err)
	response.Body.Close()
	return response
}

// testers is a policy with one rule, for both modes.
func testers(mode, canary string) object {
	return object{
		"mode": mode, "service": "shop", "stable": "v1",
		"versions": object{"v1": object{}, "v2": object{"upstreams": []any{canary}}},
		"rules":    []any{object{"name": "testers", "version": "v2", "when": []any{"header X-App-Version = beta"}}},
	}
}

func TestBothModes(t *testing.T) {
	v1, v2 := upstream(t, "v1"), upstream(t, "v2")
	g := traefik.Start(t, traefik.Options{
		Plugins: map[string]string{"gray": root},
		Dynamic: dynamic(
			object{
				"parent": object{"rule": "Host(`header.test`)", "middlewares": []any{"header"}},
				"stable": object{"rule": "Header(`X-Gray-Version`, `v1`)", "parentRefs": []any{"parent"}, "service": "v1"},
				"canary": object{"rule": "Header(`X-Gray-Version`, `v2`)", "parentRefs": []any{"parent"}, "service": "v2"},
				"proxy":  object{"rule": "Host(`proxy.test`)", "middlewares": []any{"proxy"}, "service": "v1"},
			},
			object{"header": gray(testers("header", v2)), "proxy": gray(testers("proxy", v2))},
			object{"v1": server(v1), "v2": server(v2)},
		),
	})
	for _, host := range []string{"header.test", "proxy.test"} {
		t.Run(host, func(t *testing.T) {
			response := get(t, g, host, "X-App-Version", "beta", "Baggage", "a=b,gray=v9")
			assert.Equal(t, "v2", response.Header.Get("Served-By"))
			assert.Equal(t, "v2", response.Header.Get("Got-Version"))
			assert.Equal(t, "a=b,gray=v2", response.Header.Get("Got-Baggage"))
			response = get(t, g, host, "X-Gray-Version", "v2")
			assert.Equal(t, "v1", response.Header.Get("Served-By"))
			assert.Equal(t, "v1", response.Header.Get("Got-Version"))
		})
	}
}

func TestWeights(t *testing.T) {
	v1, a, b := upstream(t, "v1"), upstream(t, "a"), upstream(t, "b")
	g := traefik.Start(t, traefik.Options{
		Plugins: map[string]string{"gray": root},
		Dynamic: dynamic(
			object{"shop": object{"rule": "Host(`shop.test`)", "middlewares": []any{"shop"}, "service": "v1"}},
			object{"shop": gray(object{"service": "shop", "stable": "v1",
				"versions": object{"v1": object{}, "v2": object{"upstreams": a + " weight=3, " + b}},
				"rules":    []any{object{"version": "v2"}}})},
			object{"v1": server(v1)},
		),
	})
	counts := map[string]int{}
	for range 40 {
		counts[get(t, g, "shop.test").Header.Get("Served-By")]++
	}
	assert.Equal(t, map[string]int{"a": 30, "b": 10}, counts)
}
