package traefik_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/grayrelease/gray/e2e/traefik"
)

// A wrong middleware affects only its own router, which answers 404. The log has every problem with
// its path, the other routers continue, and the next configuration is applied.
func TestWrongConfigurationCostsItsRouterAlone(t *testing.T) {
	v1, v2 := upstream(t, "v1"), upstream(t, "v2")
	wrong := []object{
		{},
		{"mode": "both"},
		{"service": "s", "stable": "v1", "versions": object{"v1": 1}},
		{"service": "s", "stable": "v1", "versions": object{"v1": object{"upstream": "x"}}},
		{"service": "s", "stable": "v2", "versions": object{"v1": object{}}, "mode": "proxy"},
		{"service": "s", "stable": "v1",
			"versions": object{"v1": object{}, "v2": object{"upstreams": []any{"http://%zz", "ftp://a"}}}, "mode": "proxy"},
		{"service": "s", "stable": "v1", "versions": object{"v1": object{}},
			"rules": []any{object{"version": "v1", "when": []any{"header A matches ("}, "percent": 101}}},
		{"service": "s", "stable": "v1", "versions": object{"v1": object{}},
			"rules": []any{object{"when": strings.Repeat("not ", 10000)}}},
		{"service": "s", "stable": "v1", "versions": object{"v1": object{}}, "jwt": object{"key": "x"}, "trust": []any{"x"},
			"ipStrategy": object{"depth": -1}},
		{"policy": "/does/not/exist"},
		{"rules": "all", "lists": "none", "versions": "v1"},
	}
	routers := object{"good": object{"rule": "Host(`good.test`)", "middlewares": []any{"good"}, "service": "v1"}}
	middlewares := object{"good": gray(testers("proxy", v2))}
	for i, config := range wrong {
		name := fmt.Sprintf("wrong-%d", i)
		routers[name] = object{"rule": "Host(`" + name + ".test`)", "middlewares": []any{name}, "service": "v1"}
		middlewares[name] = gray(config)
	}
	g := traefik.Start(t, traefik.Options{
		Plugins: map[string]string{"gray": root, "empty": empty},
		Static:  object{"log": object{"level": "ERROR", "format": "json"}},
		Dynamic: dynamic(routers, middlewares, object{"v1": server(v1)}),
	})
	assert.Equal(t, "v2", get(t, g, "good.test", "X-App-Version", "beta").Header.Get("Served-By"))
	for i := range wrong {
		assert.Equal(t, http.StatusNotFound, g.Status(fmt.Sprintf("wrong-%d.test", i)), "%v", wrong[i])
	}
	log := g.Log()
	assert.NotContains(t, log, "this is a bug")
	assert.NotContains(t, log, "panic")
	assert.NotContains(t, log, "Go struct field")
	assert.Contains(t, log,
		`"error":"gray: middleware wrong-6@file: rules[0].when[0]: column 18: not a valid regular expression (RE2 syntax): `+
			`missing closing ): `)
	assert.Contains(t, log, `rules[0].percent: must be from 0 to 100, is 101"`)
	assert.Contains(t, log, `gray: middleware wrong-5@file: versions.v2.upstreams[0]: `)

	// Neither frozen nor without plugins: what is wrong can be put right.
	routers["late"] = object{"rule": "Host(`late.test`)", "middlewares": []any{"late"}, "service": "v1"}
	middlewares["late"] = gray(testers("proxy", v2))
	middlewares["wrong-0"] = gray(testers("proxy", v2))
	g.Apply(t, dynamic(routers, middlewares, object{"v1": server(v1)}))
	for _, host := range []string{"late.test", "wrong-0.test", "good.test"} {
		assert.Equal(t, "v2", get(t, g, host, "X-App-Version", "beta").Header.Get("Served-By"), host)
	}
	assert.True(t, g.Alive())
}

// YAML drops a version that has nothing behind its colon. The error says how to write one.
func TestVersionThatYAMLDrops(t *testing.T) {
	routes := dynamic(
		object{"shop": object{"rule": "Host(`shop.test`)", "middlewares": []any{"shop-gray"}, "service": "v1"}},
		nil, object{"v1": server(upstream(t, "v1"))})
	const middleware = `http:
  middlewares:
    shop-gray:
      plugin:
        gray:
          service: shop
          stable: v1
          versions:
            v1:
            v2: {upstreams: ["http://127.0.0.1:1"]}
`
	g := traefik.Start(t, traefik.Options{Plugins: map[string]string{"gray": root}, Dynamic: routes,
		Files: map[string]string{"shop.yml": middleware}})
	assert.Equal(t, http.StatusNotFound, g.Status("shop.test"))
	assert.Contains(t, g.Log(), `gray: middleware shop-gray@file: stable: version \"v1\" is not in versions (only v2): `+
		`in YAML, a version without fields is \"v1: {}\"`)

	g = traefik.Start(t, traefik.Options{Plugins: map[string]string{"gray": root}, Dynamic: routes,
		Files: map[string]string{"shop.yml": strings.Replace(middleware, "v1:\n", "v1: {}\n", 1)}})
	assert.Equal(t, http.StatusOK, g.Status("shop.test"))
}

// While the canary is down, stable serves every request, POSTs included, and the log says so.
func TestCanaryThatIsDown(t *testing.T) {
	v1 := upstream(t, "v1")
	closed := httptest.NewServer(nil)
	closed.Close()
	g := traefik.Start(t, traefik.Options{
		Plugins: map[string]string{"gray": root},
		Static:  object{"log": object{"level": "ERROR", "format": "json"}},
		Dynamic: dynamic(
			object{"proxy": object{"rule": "Host(`proxy.test`)", "middlewares": []any{"proxy"}, "service": "v1"}},
			object{"proxy": gray(testers("proxy", closed.URL))},
			object{"v1": server(v1)},
		),
	})
	for range 5 {
		response := get(t, g, "proxy.test", "X-App-Version", "beta")
		assert.Equal(t, "v1", response.Header.Get("Served-By"))
		assert.Equal(t, "v1", response.Header.Get("Got-Version"))
		assert.Empty(t, response.Header.Get("Got-Baggage"))
	}
	assert.Equal(t, 1,
		strings.Count(g.Log(),
			"gray: middleware proxy@file: version v2 cannot be reached, stable serves instead (1 requests so far): dial tcp "))
}
