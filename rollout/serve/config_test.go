package serve

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestConfigProblems(t *testing.T) {
	const service = "services: [{service: shop, source: 'file:///x.json'}]\n"
	const scraping = "services: [{service: a, source: 'file:///x', scrape: "
	for _, c := range []struct{ text, want string }{
		{"", "services: required: the services whose rollouts are moved"},
		{"services: 5", "services: "},
		{"a: b: c", "mapping values are not allowed"},
		{service + "listen: ':2020'", `tokens: required where others than this machine can reach ":2020"`},
		{service + "listen: here", `listen: "here" is not a valid address: want host:port`},
		{service + "tokens: [{role: operator, file: x}]",
			`tokens[0].role: unknown role "operator" (did you mean "operate"?)`},
		{service + "tokens: [{role: view}]", "tokens[0]: one of file and env is required"},
		{service + "people: {}", "people.from: required"},
		{service + "listen: ':2020'\npeople: {from: [here]}", `people.from[0]: "here" is not a valid address or prefix`},
		{service + "anonymous: view", "anonymous: without tokens everybody may do everything"},
		{service + "anonymous: operate", "anonymous: want view, or nothing"},
		{service + "origins: [ops.example.com]", `origins[0]: "ops.example.com" is not an origin`},
		{service + "tls: {cert: x}", "tls: cert and key are required"},
		{service + "prometheus: {url: 'localhost:9090'}",
			`prometheus.url: "localhost:9090" is not a valid URL: want http://... or https://...`},
		{service + "prometheus: {url: 'http://x', every: soon}",
			`prometheus.every: "soon" is not a valid duration (as in 30s)`},
		{service + "notices: [{}]", "notices[0]: one of command and webhook is required"},
		{service + "notices: [{webhook: 'http://x', on: [rolledback]}]",
			`notices[0].on[0]: unknown event "rolledback" (did you mean "rolled_back"?)`},
		{service + "notices: [{webhook: 'http://x', format: slak}]",
			`notices[0].format: unknown format "slak" (did you mean "slack"?)`},
		{"services: [{}]", "services[0].service: required: the service's name, as in its policy"},
		{"services: [{service: a, sorce: x}]", `services[0].sorce: unknown field`},
		{"services: [{service: a, source: 'file:///x'}, {service: a, source: 'file:///y'}]",
			`services[1].service: "a" is given twice`},
		{"services: [{service: a, source: 'file:///x', gateways: [x]}]",
			`services[0].gateways[0]: "x" is not a valid URL`},
		{scraping + "[{url: 'http://x'}]}]",
			"services[0].scrape[0]: one of traefik, envoy, istio, or canary and stable, is required"},
		{scraping + "[{url: 'http://x', istio: a, traefik: {canary: a, stable: b}}]}]",
			"services[0].scrape[0]: one of traefik, envoy, istio, or canary and stable, is required"},
		{scraping + "[{url: 'http://x', traefik: {canary: a}}]}]",
			"services[0].scrape[0].traefik: canary and stable are required"},
		{scraping + "[{url: 'http://x', canary: {requests: {name: a, labels: {v: '('}}, failed: {name: b}}, " +
			"stable: {requests: {name: a}, failed: {}}}]}]",
			"services[0].scrape[0].canary.requests.labels.v: \"(\" is not a valid regular expression\n" +
				"services[0].scrape[0].stable.failed.name: required: the name of a metric"},
		{"services: [{service: a, source: 'file:///x', hook: {}}]", "services[0].hook.url: required"},
		{"services: [{service: a, source: 'file:///x', routes: [{kind: VirtualServce, namespace: a}]}]",
			"services[0].routes[0].kind: want VirtualService or HTTPRoute\n" +
				"services[0].routes[0].name: required: the name of the object"},
	} {
		_, err := ParseConfig([]byte(c.text))
		require.Error(t, err, c.text)
		assert.Contains(t, err.Error(), c.want, c.text)
	}
}

func TestConfigDefaults(t *testing.T) {
	c, err := ParseConfig([]byte(`{
		"services": [{"service": "shop", "source": "file:///x.json", "hook": {"url": "http://h"}}],
		"prometheus": {"url": "http://p"}, "notices": [{"command": ["true"]}]}`))
	require.NoError(t, err)
	assert.Equal(t, "127.0.0.1:2020", c.Listen)
	assert.NotEmpty(t, c.Name)
	assert.Equal(t, []time.Duration{15 * time.Second, 2 * time.Minute, 10 * time.Second, 10 * time.Second,
		30 * time.Second},
		[]time.Duration{c.Prometheus.every, c.Prometheus.window, c.Prometheus.timeout, c.Services[0].Hook.timeout,
			c.Notices[0].timeout})
	assert.Equal(t, 10, c.Notices[0].Tries)
	for _, listen := range []string{"localhost:1", "[::1]:1", "127.1.2.3:1"} {
		_, err := ParseConfig([]byte("listen: '" + listen + "'\nservices: [{service: shop, source: 'file:///x'}]"))
		assert.NoError(t, err, listen)
	}
}

func FuzzConfig(f *testing.F) {
	f.Add("services: [{service: shop, source: 'file:///x.json'}]")
	f.Add(`{"services": [{"service": "a", "source": "etcd://b", "scrape": [{"url": "http://c", "istio": "d"}]}]}`)
	f.Add("a: &a [*a]")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseConfig([]byte(text))
		if err != nil {
			require.False(t, strings.Contains(err.Error(), "Go "), err.Error())
			return
		}
		require.NotEmpty(t, c.Services)
	})
}
