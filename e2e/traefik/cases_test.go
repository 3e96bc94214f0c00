package traefik_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/e2e/traefik"
	"github.com/grayrelease/gray/internal/casetest"
)

// groupHeader names the group of cases of a request, for Traefik's routers. Cases choose everything
// else.
const groupHeader = "X-Case-Group"

// caseGroup is a group of cases that Traefik serves under a name.
type caseGroup struct {
	file   string
	name   string // in configuration
	policy object
	header string // that carries the decision
	casetest.Group
}

func loadCases(t *testing.T) []caseGroup {
	t.Helper()
	files, err := casetest.Load(root + "/testdata/cases")
	require.NoError(t, err)
	var groups []caseGroup
	for _, f := range files {
		for i, g := range f.Groups {
			c := caseGroup{file: f.Name, name: fmt.Sprintf("%s-%d", f.Name, i), header: "X-Gray-Version", Group: g}
			require.NoError(t, json.Unmarshal(g.Policy, &c.policy))
			if h, ok := c.policy["header"].(string); ok {
				c.header = h
			}
			groups = append(groups, c)
		}
	}
	return groups
}

// versionUpstreams starts a server for each version that any policy names. It answers with its name
// and the headers that it received.
func versionUpstreams(t *testing.T, groups []caseGroup) map[string]string {
	urls := map[string]string{}
	for _, g := range groups {
		for version := range g.policy["versions"].(object) {
			if urls[version] != "" {
				continue
			}
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Served-By", version)
				_ = json.NewEncoder(w).Encode(r.Header)
			}))
			t.Cleanup(s.Close)
			urls[version] = s.URL
		}
	}
	return urls
}

// pluginConfig is a policy as the plugin's configuration.
func pluginConfig(g caseGroup, mode string, urls map[string]string) object {
	config := object{"mode": mode, "ipStrategy": object{"depth": 1}}
	for field, value := range g.policy {
		config[field] = value
	}
	versions := object{}
	for version := range g.policy["versions"].(object) {
		versions[version] = object{"upstreams": []any{urls[version]}}
	}
	config["versions"] = versions
	return config
}

// inFile moves the policy of a plugin's configuration into a file of its own.
func inFile(t *testing.T, dir, name string, config object) object {
	policy := object{}
	for field, value := range config {
		if field != "mode" && field != "ipStrategy" {
			policy[field] = value
		}
	}
	text, err := json.Marshal(policy)
	require.NoError(t, err)
	path := filepath.Join(dir, name+".json")
	require.NoError(t, os.WriteFile(path, text, 0o644))
	return object{"mode": config["mode"], "ipStrategy": config["ipStrategy"], "policy": path}
}

// caseRoutes adds the routers, the middleware and, for each version, the service of a group.
func caseRoutes(routers, middlewares object, form string, g caseGroup, config object) {
	name := form + "-" + g.name
	rule := fmt.Sprintf("Header(`%s`, `%s`)", groupHeader, name)
	middlewares[name] = gray(config)
	if config["mode"] == "proxy" {
		routers[name] = object{"rule": rule, "middlewares": []any{name}, "service": serviceName(g.policy["stable"].(string))}
		return
	}
	routers[name] = object{"rule": rule, "middlewares": []any{name}}
	for version := range g.policy["versions"].(object) {
		child := fmt.Sprintf("Header(`%s`, `%s`)", g.header, version)
		routers[name+"-"+serviceName(version)] = object{"rule": child, "parentRefs": []any{name},
			"service": serviceName(version)}
	}
}

func serviceName(version string) string { return "version-" + strings.ReplaceAll(version, ".", "-") }

// notInTraefik returns why a case cannot be run in Traefik: it changes the request before any
// middleware sees it.
func notInTraefik(c casetest.Case) string {
	_, query, _ := strings.Cut(c.Request.Target, "?")
	if strings.Contains(query, ";") {
		return "an entry point replaces ; in queries by &"
	}
	return ""
}

func TestCases(t *testing.T) {
	groups := loadCases(t)
	urls := versionUpstreams(t, groups)
	dir := t.TempDir()
	routers, middlewares, services := object{}, object{}, object{}
	for version, u := range urls {
		services[serviceName(version)] = server(u)
	}
	forms := []string{"header", "proxy", "file"}
	for _, g := range groups {
		caseRoutes(routers, middlewares, "header", g, pluginConfig(g, "header", urls))
		caseRoutes(routers, middlewares, "proxy", g, pluginConfig(g, "proxy", urls))
		caseRoutes(routers, middlewares, "file", g, inFile(t, dir, g.name, pluginConfig(g, "header", urls)))
	}
	gateway := traefik.Start(t, traefik.Options{
		Plugins: map[string]string{"gray": root},
		Static:  object{"log": object{"level": "ERROR"}},
		Entry:   object{"http": object{"sanitizePath": false, "encodedCharacters": allowAll}},
		Dynamic: dynamic(routers, middlewares, services),
	})
	require.NotContains(t, gateway.Log(), "gray: ")
	for _, form := range forms {
		count, left := 0, map[string]int{}
		for _, g := range groups {
			for _, c := range g.Cases {
				if reason := notInTraefik(c); reason != "" {
					left[reason]++
					continue
				}
				count++
				t.Run(form+"/"+g.file+"/"+c.Name, func(t *testing.T) { runCase(t, gateway, form, g, c) })
			}
		}
		t.Logf("%s: %d cases; left out: %v", form, count, left)
	}
}

// allowAll has Traefik pass on paths as they are.
var allowAll = object{
	"allowEncodedSlash": true, "allowEncodedBackSlash": true, "allowEncodedNullCharacter": true,
	"allowEncodedSemicolon": true,
	"allowEncodedPercent":   true, "allowEncodedQuestionMark": true, "allowEncodedHash": true,
}

func runCase(t *testing.T, gateway *traefik.Gateway, form string, g caseGroup, c casetest.Case) {
	raw := c.Request.Raw([2]string{groupHeader, form + "-" + g.name}, [2]string{"X-Forwarded-For", c.Request.IP},
		[2]string{"Connection", "close"})
	response, body := exchange(t, gateway.URL, raw)
	require.Equal(t, http.StatusOK, response.StatusCode, "%s", body)
	assert.Equal(t, c.Version, response.Header.Get("Served-By"))
	var got http.Header
	if c.Request.Method != "HEAD" {
		require.NoError(t, json.Unmarshal(body, &got))
		assert.Equal(t, []string{c.Version}, got[http.CanonicalHeaderKey(g.header)])
		assert.Equal(t, g.Carried(c.Version), core.CarriedVersion(got["Baggage"]))
	}
}

// exchange sends bytes as they are and reads the response.
func exchange(t *testing.T, address string, request []byte) (*http.Response, []byte) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(address, "http://"))
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	_, err = conn.Write(request)
	require.NoError(t, err)
	method, _, _ := strings.Cut(string(request), " ")
	response, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response, body
}
