package docs

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/grayrelease/gray/e2e/traefik"
	"github.com/grayrelease/gray/e2e/yaegi"
)

type object = map[string]any

// afterComment is a block without the comment that it begins with.
func afterComment(b block) block {
	for b.begins("#") {
		_, b.text, _ = strings.Cut(b.text, "\n")
	}
	return b
}

func isStatic(b block) bool { return b.language == "yaml" && afterComment(b).begins("experimental:") }

func isDynamic(b block) bool {
	return b.language == "yaml" && b.file != "docs/decide.md" && afterComment(b).begins("http:") || b.language == "toml" &&
		b.begins("[http")
}

// runStatic checks that Traefik would find the plugin under the name that the configurations use.
// The tests start Traefik with the same, of a local plugin.
func runStatic(t *testing.T, b block) {
	type plugin struct {
		ModuleName string `yaml:"moduleName"`
		Version    string
	}
	var static struct {
		Experimental struct {
			Plugins      map[string]plugin `yaml:"plugins"`
			LocalPlugins map[string]plugin `yaml:"localPlugins"`
		} `yaml:"experimental"`
	}
	decoder := yaml.NewDecoder(strings.NewReader(b.text))
	decoder.KnownFields(true)
	require.NoError(t, decoder.Decode(&static))
	module, err := yaegi.ModulePath(root)
	require.NoError(t, err)
	if p, fromCatalogue := static.Experimental.Plugins["gray"]; fromCatalogue {
		assert.Equal(t, module, p.ModuleName)
		assert.Regexp(t, `^v\d+\.\d+\.\d+$`, p.Version)
		return
	}
	assert.Equal(t, map[string]plugin{"gray": {ModuleName: module}}, static.Experimental.LocalPlugins)
}

// runDynamic has Traefik serve by the block, as a file. The routers and services that the block
// leaves to the reader are in another file.
func runDynamic(t *testing.T, b block) {
	stable := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(stable.Close)
	server := object{"loadBalancer": object{"servers": []any{object{"url": stable.URL}}}}
	router := object{"rule": "Host(`shop.test`)", "middlewares": []any{"shop-gray"}, "service": "shop-v1"}
	rest := object{"routers": object{"shop": router}, "services": object{"shop-v1": server}}
	if b.language == "yaml" {
		var given struct{ HTTP map[string]object }
		require.NoError(t, yaml.Unmarshal([]byte(b.text), &given))
		if given.HTTP["routers"] != nil { // child routers, whose parent has no service
			delete(router, "service")
			rest["middlewares"] = object{"shop-gray": object{"plugin": object{"gray": object{
				"service": "shop", "stable": "v1", "versions": object{"v1": object{}, "v2": object{}},
				"rules": []any{object{"version": "v2", "when": []any{"header X-App-Version = beta"}}},
			}}}}
		}
	}
	extension := map[string]string{"yaml": ".yml", "toml": ".toml"}[b.language]
	g := traefik.Start(t, traefik.Options{
		Plugins: map[string]string{"gray": root}, Static: object{"log": object{"level": "WARN", "format": "json"}},
		Dynamic: object{"http": rest}, Files: map[string]string{"block" + extension: b.text},
	})
	assert.Equal(t, http.StatusOK, g.Status("shop.test")) // a router that Traefik has refused is a 404
	for line := range strings.Lines(g.Log()) {
		if strings.Contains(line, `"level":"error"`) {
			assert.Contains(t, line, "dashboard", "the build for the tests has none")
		}
	}
}
