package traefikgray

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/jwt"
	"github.com/grayrelease/gray/core/live"
)

// shop is a configuration as Traefik decodes it, with what a test changes of it.
func shop(change func(*Config)) *Config {
	c := CreateConfig()
	c.Service, c.Stable = "shop", "v1"
	c.Versions = map[string]interface{}{"v1": "", "v2": map[string]interface{}{"upstreams": []interface{}{"http://127.0.0.1:1"}}}
	c.Rules = []rule{{Rule: core.Rule{Name: "testers", Version: "v2", When: []string{"header X-App = beta"}}}}
	if change != nil {
		change(c)
	}
	return c
}

func TestRefusals(t *testing.T) {
	file := filepath.Join(t.TempDir(), "policy.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"service": "shop", "stable": "v9", "versions": {"v1": {}}}`), 0o600))
	for name, test := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"mode": {func(c *Config) { c.Mode = "proxxy" }, `mode: unknown word "proxxy" (one of header, proxy) (did you mean "proxy"?)`},
		"balance of a word nobody knows": {func(c *Config) { c.Mode, c.Balance = "proxy", "random" },
			`balance: unknown word "random" (one of turns, identity)`},
		"balance in mode header":        {func(c *Config) { c.Mode, c.Balance = "header", "identity" }, "balance: needs mode proxy"},
		"policy in a file that is none": {func(c *Config) { *c = Config{Policy: "/nowhere.json"} }, "policy: there is no file nowhere.json in the folder /"},
		"policy in a file that is bad":  {func(c *Config) { *c = Config{Policy: file} }, `policy.stable: version "v9" is not in versions`},
		"policy in a file and here":     {func(c *Config) { c.Policy = file }, "none of its fields may be given beside it"},
		"stable without fields, as YAML drops it": {func(c *Config) { delete(c.Versions, "v1") },
			`stable: version "v1" is not in versions (only v2): in YAML, a version without fields is "v1: {}"`},
		"versions without fields, as YAML drops them": {func(c *Config) { c.Versions, c.Rules = nil, nil },
			`versions: required: name the service's versions: in YAML, a version without fields is "v1: {}"`},
		"stable that is near": {func(c *Config) { c.Versions["stable"], c.Stable = "", "stabel" },
			`stable: version "stabel" is not in versions (did you mean "stable"?)`},
		"policy in a folder that is none": {func(c *Config) { *c = Config{Policy: "no/policy.json"} },
			" for the file policy.json (relative paths begin at the working directory)"},
		"several at once": {func(c *Config) { c.Mode, c.Stable = "x", "v9" },
			"mode: unknown word \"x\" (one of header, proxy); stable: version \"v9\" is not in versions"},
		"strategy":                    {func(c *Config) { c.IPStrategy = &ipStrategy{IPStrategy: core.IPStrategy{Depth: -1}} }, "ipStrategy.depth: must be 0 or more"},
		"source without a URL":        {func(c *Config) { c.Source = &source{} }, "source.url: required: the URL of the policy document, as in file:///etc/gray/shop.json"},
		"source that nobody knows":    {func(c *Config) { c.Source = &source{Source: live.Source{URL: "zoo://x"}} }, `unknown scheme "zoo"`},
		"registry that nobody knows":  {func(c *Config) { c.Versions["v2"] = map[string]interface{}{"discover": "consol://x/y"} }, `versions.v2.discover: unknown scheme "consol"`},
		"versions that are no object": {func(c *Config) { c.Versions["v2"] = 7 }, "versions.v2: must be an object"},
		"upstreams of another shape":  {func(c *Config) { c.Versions["v2"] = map[string]interface{}{"upstreams": 7} }, "versions.v2.upstreams: must be a list"},
		"version of a misspelt field": {func(c *Config) { c.Versions["v2"] = map[string]interface{}{"upstream": "x"} }, `versions.v2.upstream: unknown field (did you mean "upstreams"?)`},
		"version of a field nobody knows": {func(c *Config) { c.Versions["v2"] = map[string]interface{}{"weight": "x"} },
			`versions.v2.weight: unknown field (one of upstreams, discover)`},
		"version of a field twice": {func(c *Config) {
			c.Versions["v2"] = map[string]interface{}{"upstreams": "x", "Upstreams": "x"}
		}, `pstreams: is given twice, in other capitals`},
		"names that mean nothing": {func(c *Config) {
			c.Rest = map[string]interface{}{"sevice": "x", "Mode": "x"}
			c.Rules[0].Rest = map[string]interface{}{"whens": "x", "a b": "x"}
		}, `rules[0]["a b"]: unknown field (one of name, version, when, percent, split, salt); ` +
			`rules[0].whens: unknown field (did you mean "when"?); ` +
			`Mode: is given twice, in other capitals; sevice: unknown field (did you mean "service"?)`},
		"no upstreams to forward to": {func(c *Config) {
			c.Mode = "proxy"
			c.Versions["v2"] = nil
		}, "versions.v2.upstreams: required: mode proxy forwards to them"},
		"upstream that is none": {func(c *Config) {
			c.Mode = "proxy"
			c.Versions["v2"] = map[string]interface{}{"upstreams": "ftp://x"}
		}, "versions.v2.upstreams[0]: "},
		"such an upstream beside a registry": {func(c *Config) {
			c.Mode = "proxy"
			c.Versions["v2"] = map[string]interface{}{"upstreams": "ftp://x"}
			c.Versions["v3"] = map[string]interface{}{"discover": "consul://127.0.0.1:1/shop"}
		}, "versions.v2.upstreams[0]: "},
		"such an upstream beside a source": {func(c *Config) {
			c.Mode, c.Source = "proxy", &source{Source: live.Source{URL: "file:///nowhere/p.json"}}
			c.Versions["v2"] = map[string]interface{}{"upstreams": "ftp://x"}
		}, "versions.v2.upstreams[0]: "},
		"registry beside a source": {func(c *Config) {
			c.Source = &source{Source: live.Source{URL: "file:///nowhere/p.json"}}
			c.Versions["v2"] = map[string]interface{}{"discover": "consul://127.0.0.1:1/shop"}
		}, "versions.v2.discover: beside a source, only upstreams count"},
		"placeholder of Caddy": {func(c *Config) { c.Rules[0].When = []string{"{http.auth.user.id} = ann"} },
			`rules[0].when[0]: "{http.auth.user.id}" is a placeholder of Caddy, which no other gateway can read`},
		"state of nothing":      {func(c *Config) { c.StatePath = "/gray" }, "statePath: the policy has no state"},
		"state at no path":      {func(c *Config) { c.StatePath = "gray" }, `statePath: "gray" must begin with a slash`},
		"cache without a thing": {func(c *Config) { c.Cache = "/tmp" }, "cache: there is nothing to keep"},
	} {
		t.Run(name, func(t *testing.T) {
			handler, err := New(context.Background(), http.NotFoundHandler(), shop(test.change), "shop-gray@file")
			assert.Nil(t, handler)
			require.ErrorContains(t, err, test.want)
			assert.Regexp(t, "^gray: middleware shop-gray@file: [^\n]+$", err.Error(), "Traefik logs a line")
		})
	}
}

// The providers split texts at commas and leave the space after them.
func TestListsAreTrimmed(t *testing.T) {
	c := shop(func(c *Config) {
		c.Identity = []string{"cookie uid", " ip"}
		c.Trust = []string{"10.0.0.0/8", " 192.168.0.0/16"}
		c.JWT = &token{Config: jwt.Config{Secret: "0123456789abcdef0123456789abcdef0123456789abcdef",
			Algorithms: []string{"HS256", " HS384"}, Audience: []string{"a", " b"}}}
		c.IPStrategy = &ipStrategy{IPStrategy: core.IPStrategy{ExcludedIPs: []string{"10.0.0.0/8", " 192.168.0.0/16"}}}
	})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	_, err := New(ctx, http.NotFoundHandler(), c, "shop-gray@file")
	require.NoError(t, err)
	assert.Equal(t, []string{"HS256", " HS384"}, c.JWT.Algorithms, "the configuration stays as it is")
}
