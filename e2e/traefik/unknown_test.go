package traefik_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/e2e/servers"
	"github.com/grayrelease/gray/e2e/traefik"
)

// One letter wrong in the name of a rule's conditions. Traefik would drop them, and the rule would
// send everybody to the canary. However the configuration reaches Traefik, the middleware is
// refused with the name and the word that was meant.
func TestUnknownNames(t *testing.T) {
	const wanted = `gray: middleware shop-gray@`
	v1, v2 := upstream(t, "v1"), upstream(t, "v2")
	routes := dynamic(
		object{"shop": object{"rule": "Host(`shop.test`)", "middlewares": []any{"shop-gray"}, "service": "v1"}},
		nil, object{"v1": server(v1)})
	misspell := func(t *testing.T, text, name, by string) string {
		t.Helper()
		require.Contains(t, text, name)
		return strings.Replace(text, name, by, 1)
	}
	for language, middleware := range map[string]string{"yml": `http:
  middlewares:
    shop-gray:
      plugin:
        gray:
          service: shop
          stable: v1
          versions: {v1: {}, v2: {}}
          rules:
            - {name: testers, version: v2, when: [header X-App-Version = beta]}
`, "toml": `[http.middlewares.shop-gray.plugin.gray]
  service = "shop"
  stable = "v1"
  [http.middlewares.shop-gray.plugin.gray.versions.v1]
  [http.middlewares.shop-gray.plugin.gray.versions.v2]
  [[http.middlewares.shop-gray.plugin.gray.rules]]
    version = "v2"
    when = ["header X-App-Version = beta"]
`} {
		t.Run(language, func(t *testing.T) {
			g := traefik.Start(t, traefik.Options{Plugins: map[string]string{"gray": root}, Dynamic: routes,
				Files: map[string]string{"shop." + language: misspell(t, middleware, "when", "whens")}})
			assert.Equal(t, http.StatusNotFound, g.Status("shop.test"))
			assert.Contains(t, g.Log(), wanted+`file: rules[0].whens: unknown field (did you mean \"when\"?)`)
		})
	}

	t.Run("Consul's KV store", func(t *testing.T) {
		_, port := servers.Consul(t)
		text := misspell(t, string(example(t, "kv/gray.kv", v1, v2)), "rules/0/when/0", "rules/0/whens/0")
		putKV(t, port, text)
		g := traefik.Start(t, traefik.Options{Plugins: map[string]string{"gray": root},
			Providers: object{"consul": object{"endpoints": []any{servers.Host(port)}}}})
		logs(t, g, wanted+`consul: rules[0].whens: unknown field (did you mean \"when\"?)`)
		assert.Equal(t, http.StatusNotFound, g.Status("shop.localhost"))
	})

	t.Run("labels", func(t *testing.T) { // in Consul's catalogue, where they are tags
		_, port := servers.Consul(t)
		u, err := url.Parse(v1)
		require.NoError(t, err)
		register := func(when string) {
			var tags []string
			for name, value := range composeLabels(t, v2) {
				tags = append(tags, strings.Replace(name, "when", when, 1)+"="+value)
			}
			consul(t, port, "/v1/agent/service/register", object{
				"Name": "shop", "Address": u.Hostname(), "Port": number(t, u.Port()), "Tags": tags})
		}
		register("whens")
		g := traefik.Start(t, traefik.Options{Plugins: map[string]string{"gray": root},
			Providers: object{"consulCatalog": object{"endpoint": object{"address": servers.Host(port)},
				"refreshInterval": "100ms"}}})
		logs(t, g, wanted+`consulcatalog: rules[0].whens: unknown field (did you mean \"when\"?)`)
		assert.Equal(t, http.StatusNotFound, g.Status("shop.localhost"))
		register("When") // is no other name
		serves(t, g, "shop.localhost", "canary")
	})

	t.Run("Kubernetes", func(t *testing.T) {
		text := misspell(t, string(example(t, "kubernetes/shop.yml", "", "")), "percent", "percnt")
		g := traefik.Start(t, traefik.Options{Plugins: map[string]string{"gray": root},
			Providers: kubernetes(t, []byte(text), map[string]string{"shop-v1": v1, "shop-v2": v2})})
		logs(t, g, `gray: middleware default-shop-gray@kubernetescrd: `+
			`rules[1].percnt: unknown field (did you mean \"percent\"?)`)
		assert.Equal(t, http.StatusNotFound, g.Status("shop.example.com"))
	})
}

// logs waits until Traefik has logged a text.
func logs(t *testing.T, g *traefik.Gateway, text string) {
	t.Helper()
	require.Eventually(t, func() bool { return strings.Contains(g.Log(), text) }, time.Minute, 20*time.Millisecond, text)
}
