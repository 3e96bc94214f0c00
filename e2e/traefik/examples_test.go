package traefik_test

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/grayrelease/gray/e2e/servers"
	"github.com/grayrelease/gray/e2e/traefik"
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
	g.Apply(t, load("v2: {}", "v2: {}\n            v3: {}", "version: v2", "version: v3"))
	require.True(t, serves("v1")(), "no child router matches v3")
	g.Apply(t, load())
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

// putKV puts lines of a key and a value into Consul.
func putKV(t *testing.T, port int, text string) {
	t.Helper()
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		key, value, _ := strings.Cut(line, " ")
		consul(t, port, "/v1/kv/"+key, value)
	}
}

// consul sends Consul a text, or an object as JSON.
func consul(t *testing.T, port int, path string, body any) {
	t.Helper()
	text, isText := body.(string)
	if !isText {
		encoded, err := json.Marshal(body)
		require.NoError(t, err)
		text = string(encoded)
	}
	request, err := http.NewRequest("PUT", servers.BaseURL(port)+path, strings.NewReader(text))
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	response.Body.Close()
	require.Equal(t, http.StatusOK, response.StatusCode)
}

func TestKVExample(t *testing.T) {
	_, port := servers.Consul(t)
	canary := &restartable{name: "v2"}
	canary.start(t)
	putKV(t, port, string(example(t, "kv/gray.kv", upstream(t, "v1"), canary.URL)))
	g := traefik.Start(t, traefik.Options{
		Plugins:   map[string]string{"gray": root},
		Providers: object{"consul": object{"endpoints": []any{servers.Host(port)}}},
	})
	serves(t, g, "shop.localhost", "canary")
	canary.Close()
	require.Eventually(t, func() bool {
		return get(t, g, "shop.localhost", "X-App-Version", "canary").Header.Get("Served-By") == "v1"
	}, time.Minute, 20*time.Millisecond)
}

// composeLabels are the labels of the example for Docker.
func composeLabels(t *testing.T, v2 string) map[string]string {
	t.Helper()
	var compose struct {
		Services map[string]struct{ Labels map[string]string }
	}
	require.NoError(t, yaml.Unmarshal(example(t, "docker/compose.yml", "", v2), &compose))
	return compose.Services["shop-v1"].Labels
}

// No Docker runs here: the labels are the tags of a service in Consul's catalogue, which Traefik
// reads as it does labels.
func TestDockerExample(t *testing.T) {
	_, port := servers.Consul(t)
	v1, err := url.Parse(upstream(t, "v1"))
	require.NoError(t, err)
	var tags []string
	for name, value := range composeLabels(t, upstream(t, "v2")) {
		tags = append(tags, name+"="+value)
	}
	consul(t, port, "/v1/agent/service/register",
		object{"Name": "shop-v1", "Address": v1.Hostname(), "Port": number(t, v1.Port()), "Tags": tags})
	g := traefik.Start(t, traefik.Options{Plugins: map[string]string{"gray": root},
		Providers: object{"consulCatalog": object{"endpoint": object{"address": servers.Host(port)}}}})
	serves(t, g, "shop.localhost", "canary")
}

// No cluster runs here: the resources are those of an API server of the tests.
func TestKubernetesExample(t *testing.T) {
	g := traefik.Start(t, traefik.Options{Plugins: map[string]string{"gray": root},
		Providers: kubernetes(t, example(t, "kubernetes/shop.yml", "", ""),
			map[string]string{"shop-v1": upstream(t, "v1"), "shop-v2": upstream(t, "v2")})})
	serves(t, g, "shop.example.com", "beta")
}

// serves waits for a host, and checks that testers get v2 and others v1.
func serves(t *testing.T, g *traefik.Gateway, host, tester string) {
	t.Helper()
	require.Eventually(t, func() bool { return g.Status(host) == http.StatusOK }, time.Minute, 20*time.Millisecond)
	assert.Equal(t, "v2", get(t, g, host, "X-App-Version", tester).Header.Get("Served-By"))
	assert.Equal(t, "v1", get(t, g, host, "Cookie", "uid=u-1").Header.Get("Served-By"))
}

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	require.NoError(t, err)
	return n
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
			block = strings.NewReplacer(`"http://10.0.1.1:8080", "http://10.0.1.2:8080"`, `"`+v2+`"`,
				"http://10.0.1.1:8080", v2).Replace(block)
			g := traefik.Start(t, traefik.Options{Plugins: map[string]string{"gray": root}, Dynamic: routes,
				Files: map[string]string{"shop." + language: block}})
			response := get(t, g, "shop.test", "X-App-Version", "beta")
			assert.Equal(t, "v2", response.Header.Get("Got-Version"))
			assert.Equal(t, "v2", response.Header.Get("Served-By"))
		})
	}
}
