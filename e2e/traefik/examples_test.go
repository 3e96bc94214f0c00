package traefik_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/traefik/paerser/parser"
	"gopkg.in/yaml.v3"

	"github.com/grayrelease/gray/e2e/servers"
	"github.com/grayrelease/gray/e2e/traefik"
	"github.com/grayrelease/gray/e2e/yaegi"
)

const examples = root + "/examples/traefik/"

// example reads a file of an example, with upstreams of the test in place of its own.
func example(t *testing.T, name, v1, v2 string) []byte {
	t.Helper()
	text, err := os.ReadFile(examples + name)
	require.NoError(t, err)
	return []byte(strings.NewReplacer("http://127.0.0.1:9001", v1, "http://127.0.0.1:9002", v2, "http://shop-v2",
		v2).Replace(string(text)))
}

func TestFileExample(t *testing.T) {
	var dynamic object
	require.NoError(t, yaml.Unmarshal(example(t, "file/dynamic.yml", upstream(t, "v1"), upstream(t, "v2")), &dynamic))
	g := traefik.Start(t, traefik.Options{Plugins: map[string]string{"gray": root}, Dynamic: dynamic})
	assert.Equal(t, "v2", get(t, g, "shop.localhost", "X-App-Version", "beta").Header.Get("Served-By"))
	assert.Equal(t, "v1", get(t, g, "shop.localhost", "Cookie", "uid=u-1").Header.Get("Served-By"))
}

// restartable is an upstream that can be stopped and started again.
type restartable struct {
	*httptest.Server
	name string
}

func (r *restartable) start(t *testing.T) {
	t.Helper()
	address := ""
	if r.Server != nil {
		address = r.Listener.Addr().String()
	}
	r.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Served-By", r.name)
	}))
	if address != "" {
		listener, err := net.Listen("tcp", address)
		require.NoError(t, err)
		r.Listener = listener
	}
	r.Start()
	t.Cleanup(r.Close)
}

// The failover service of the example: stable serves while the canary is scaled to zero.
func TestFileExampleFallsBack(t *testing.T) {
	v2 := &restartable{name: "v2"}
	v2.start(t)
	load := func(replace ...string) object {
		text := string(example(t, "file/dynamic.yml", upstream(t, "v1"), v2.URL))
		var dynamic object
		require.NoError(t, yaml.Unmarshal([]byte(strings.NewReplacer(replace...).Replace(text)), &dynamic))
		return dynamic
	}
	g := traefik.Start(t, traefik.Options{Plugins: map[string]string{"gray": root}, Dynamic: load()})
	serves := func(name string) func() bool {
		return func() bool {
			return get(t, g, "shop.localhost", "X-App-Version", "beta").Header.Get("Served-By") == name
		}
	}
	require.True(t, serves("v2")())
	v2.Close()
	require.Eventually(t, serves("v1"), time.Minute, 20*time.Millisecond)
	v2.start(t)
	require.Eventually(t, serves("v2"), time.Minute, 20*time.Millisecond)
	v2.Close()

	// What the documentation says of lists without a server, and of services without failover.
	unlisted := []string{"- url: " + v2.URL, "[]"}
	g.Apply(t, load(unlisted...))
	assert.Equal(t, 503, get(t, g, "shop.localhost", "X-App-Version", "beta").StatusCode)
	g.Apply(t, load("service: shop-canary", "service: shop-v2"))
	time.Sleep(1500 * time.Millisecond)
	assert.Equal(t, 503, get(t, g, "shop.localhost", "X-App-Version", "beta").StatusCode)
	g.Apply(t, load("- url: "+v2.URL, "- url: http://127.0.0.1:1"))
	require.Eventually(t, serves("v1"), time.Minute, 20*time.Millisecond)
}

func TestKVExample(t *testing.T) {
	_, port := servers.Consul(t)
	canary := &restartable{name: "v2"}
	canary.start(t)
	for _, line := range strings.Split(strings.TrimSpace(string(example(t, "kv/gray.kv", upstream(t, "v1"),
		canary.URL))), "\n") {
		key, value, _ := strings.Cut(line, " ")
		request, err := http.NewRequest("PUT", servers.BaseURL(port)+"/v1/kv/"+key, strings.NewReader(value))
		require.NoError(t, err)
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		response.Body.Close()
		require.Equal(t, http.StatusOK, response.StatusCode)
	}
	g := traefik.Start(t, traefik.Options{
		Plugins:   map[string]string{"gray": root},
		Providers: object{"consul": object{"endpoints": []any{servers.Host(port)}}},
	})
	require.Eventually(t, func() bool {
		return g.Status("shop.localhost") == http.StatusOK
	}, time.Minute, 20*time.Millisecond)
	assert.Equal(t, "v2", get(t, g, "shop.localhost", "X-App-Version", "canary").Header.Get("Served-By"))
	assert.Equal(t, "v1", get(t, g, "shop.localhost", "Cookie", "uid=u-1").Header.Get("Served-By"))
	canary.Close()
	require.Eventually(t, func() bool {
		return get(t, g, "shop.localhost", "X-App-Version", "canary").Header.Get("Served-By") == "v1"
	}, time.Minute, 20*time.Millisecond)
}

// The labels, decoded with the library and target of Traefik's label providers.
func TestDockerExample(t *testing.T) {
	var compose struct {
		Services map[string]struct{ Labels map[string]string }
	}
	require.NoError(t, yaml.Unmarshal(example(t, "docker/compose.yml", "", upstream(t, "v2")), &compose))
	var configuration struct {
		HTTP struct {
			Middlewares map[string]*struct{ Plugin map[string]map[string]any }
		}
	}
	require.NoError(t, parser.Decode(compose.Services["shop-v1"].Labels, &configuration, parser.DefaultRootName,
		"traefik.http.middlewares"))
	decides(t, configuration.HTTP.Middlewares["shop-gray"].Plugin["gray"])
}

// The plugin section of the resource, as the JSON that the API server stores. No cluster runs here.
func TestKubernetesExample(t *testing.T) {
	var middleware struct {
		Spec struct{ Plugin map[string]any }
	}
	require.NoError(t, yaml.NewDecoder(bytes.NewReader(example(t, "kubernetes/shop.yml", "", ""))).Decode(&middleware))
	text, err := json.Marshal(middleware.Spec.Plugin["gray"])
	require.NoError(t, err)
	var config object
	require.NoError(t, json.Unmarshal(text, &config))
	decides(t, config)
}

// The middlewares that the documentation shows, in each of the file provider's languages.
func TestDocumentedMiddlewares(t *testing.T) {
	text, err := os.ReadFile(root + "/docs/traefik.md")
	require.NoError(t, err)
	v1, v2 := upstream(t, "v1"), upstream(t, "v2")
	routes := dynamic(
		object{"shop": object{"rule": "Host(`shop.test`)", "middlewares": []any{"shop-gray"},
			"service": "v1"}}, nil, object{"v1": server(v1)})
	for language, start := range map[string]string{"yml": "http:\n  middlewares:", "toml": "[http.middlewares.shop-gray"} {
		t.Run(language, func(t *testing.T) {
			_, block, found := strings.Cut(string(text), "\n```"+strings.Replace(language, "yml", "yaml", 1)+"\n"+start)
			require.True(t, found)
			block, _, _ = strings.Cut(start+block, "\n```")
			block = strings.NewReplacer(`"http://10.0.1.1:8080", "http://10.0.1.2:8080"`, `"`+v2+`"`).Replace(block)
			g := traefik.Start(t, traefik.Options{Plugins: map[string]string{"gray": root}, Dynamic: routes,
				Files: map[string]string{"shop." + language: block}})
			response := get(t, g, "shop.test", "X-App-Version", "beta")
			assert.Equal(t, "v2", response.Header.Get("Got-Version"))
			assert.Equal(t, map[string]string{"yml": "v2", "toml": "v1"}[language],
				response.Header.Get("Served-By")) // by the mode
		})
	}
}

// decides sends a tester's request to a plugin with this configuration. The answer names the
// version that the upstream was given.
func decides(t *testing.T, config object) {
	t.Helper()
	next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Got-Version", r.Header.Get("X-Gray-Version"))
	})
	handler := yaegi.Load(t, root).Handler(t, next, config)
	for sent, want := range map[string]string{"beta": "v2", "other": "v1"} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("X-App-Version", sent)
		r.Header.Set("Cookie", "uid=u-1")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		_, _ = io.Copy(io.Discard, w.Result().Body)
		assert.Equal(t, want, w.Header().Get("Got-Version"))
	}
}
