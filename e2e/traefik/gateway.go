// Package traefik runs the real Traefik, built from the module proxy, with local plugins, for
// tests.
package traefik

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/e2e/servers"
	"github.com/grayrelease/gray/e2e/yaegi"
)

// patience bounds every wait. It is far longer than anything takes, for slow machines.
const patience = 60 * time.Second

// Options of a gateway.
type Options struct {
	Plugins   map[string]string // alias -> root of the plugin's module
	Static    map[string]any    // sections of the static configuration that replace the harness's own
	Providers map[string]any    // more providers than that of files
	Entry     map[string]any    // more options of the entry point "web"
	Files     map[string]string // more files of dynamic configuration, by name
	Dynamic   map[string]any    // the first dynamic configuration
}

// Gateway is a Traefik process.
type Gateway struct {
	URL string // of the entry point "web"
	API string // of the API, with debug endpoints
	Dir string // its working directory

	log        *yaegi.Output
	process    *os.Process
	exited     chan struct{}
	generation int
}

// Start runs Traefik until the test ends, and waits until it serves the first dynamic
// configuration.
func Start(t testing.TB, options Options) *Gateway {
	t.Helper()
	g := &Gateway{Dir: t.TempDir(), log: new(yaegi.Output), exited: make(chan struct{})}
	local := map[string]any{}
	for alias, root := range options.Plugins {
		_, err := yaegi.Install(root, filepath.Join(g.Dir, "plugins-local"))
		require.NoError(t, err)
		name, err := yaegi.ModulePath(root)
		require.NoError(t, err)
		local[alias] = map[string]any{"moduleName": name}
	}
	web, api := servers.FreeAddress(t), servers.FreeAddress(t)
	g.URL, g.API = "http://"+web, "http://"+api
	entry := map[string]any{"address": web, "forwardedHeaders": map[string]any{"insecure": true}}
	maps.Copy(entry, options.Entry)
	providers := map[string]any{
		"providersThrottleDuration": "1ms",
		"file":                      map[string]any{"filename": filepath.Join(g.Dir, "dynamic", "dynamic.yml")},
	}
	if len(options.Files) > 0 {
		providers["file"] = map[string]any{"directory": filepath.Join(g.Dir, "dynamic")}
	}
	maps.Copy(providers, options.Providers)
	static := map[string]any{
		"global": map[string]any{"checkNewVersion": false, "sendAnonymousUsage": false},
		"log":    map[string]any{"level": "DEBUG", "format": "json", "noColor": true},
		"api":    map[string]any{"insecure": true, "debug": true},
		"entryPoints": map[string]any{
			"web":     entry,
			"traefik": map[string]any{"address": api},
		},
		"providers":    providers,
		"experimental": map[string]any{"localPlugins": local},
	}
	maps.Copy(static, options.Static)
	require.NoError(t, os.MkdirAll(filepath.Join(g.Dir, "dynamic"), 0o755))
	for name, text := range options.Files {
		require.NoError(t, os.WriteFile(filepath.Join(g.Dir, "dynamic", name), []byte(text), 0o644))
	}
	writeYAML(t, filepath.Join(g.Dir, "traefik.yml"), static)
	g.write(t, options.Dynamic)
	g.run(t)
	g.await(t)
	return g
}

func (g *Gateway) run(t testing.TB) {
	t.Helper()
	command := exec.Command(servers.Path(t, "traefik"), "--configFile=traefik.yml")
	command.Dir = g.Dir
	command.Stdout, command.Stderr = g.log, g.log
	command.SysProcAttr = servers.DieWithParent()
	require.NoError(t, command.Start())
	g.process = command.Process
	go func() {
		_ = command.Wait()
		close(g.exited)
	}()
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		select {
		case <-g.exited:
		case <-time.After(patience):
			_ = command.Process.Kill()
			<-g.exited
		}
		if t.Failed() {
			t.Logf("the end of Traefik's log:\n%s", tail(g.Log(), 4000))
		}
	})
}

// Kill ends Traefik at once.
func (g *Gateway) Kill() {
	_ = g.process.Kill()
	<-g.exited
}

// Apply replaces the dynamic configuration and waits until Traefik serves by it.
func (g *Gateway) Apply(t testing.TB, dynamic map[string]any) {
	t.Helper()
	g.write(t, dynamic)
	g.await(t)
}

// write puts the configuration in place at once, with a router of its own that shows when it is in
// force.
func (g *Gateway) write(t testing.TB, dynamic map[string]any) {
	t.Helper()
	g.generation++
	sections := maps.Clone(dynamic)
	section, _ := sections["http"].(map[string]any)
	section = maps.Clone(section)
	if section == nil {
		section = map[string]any{}
	}
	routers, _ := section["routers"].(map[string]any)
	routers = maps.Clone(routers)
	if routers == nil {
		routers = map[string]any{}
	}
	routers["generation"] = map[string]any{"rule": "Host(`" + g.generationHost() + "`)",
		"service": "noop@internal", "priority": 1 << 30}
	section["routers"] = routers
	if sections == nil {
		sections = map[string]any{}
	}
	sections["http"] = section
	name := filepath.Join(g.Dir, "dynamic", "dynamic.yml")
	writeYAML(t, name+".new", sections)
	require.NoError(t, os.Rename(name+".new", name))
}

func (g *Gateway) generationHost() string { return fmt.Sprintf("generation-%d.test", g.generation) }

func (g *Gateway) await(t testing.TB) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		r, err := http.NewRequest("GET", g.URL, nil)
		require.NoError(t, err)
		r.Host = g.generationHost()
		response, err := http.DefaultClient.Do(r)
		if err == nil {
			_, _ = io.Copy(io.Discard, response.Body)
			response.Body.Close()
			if response.StatusCode == http.StatusTeapot {
				return
			}
		}
		select {
		case <-g.exited:
			t.Fatalf("Traefik ended:\n%s", tail(g.Log(), 8000))
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("Traefik does not serve the configuration:\n%s", tail(g.Log(), 8000))
		}
	}
}

// Log is everything that Traefik logged so far.
func (g *Gateway) Log() string { return g.log.String() }

// PID is the process's id.
func (g *Gateway) PID() int { return g.process.Pid }

// Alive reports whether the process runs.
func (g *Gateway) Alive() bool {
	select {
	case <-g.exited:
		return false
	default:
		return true
	}
}

// Status is the status of a GET to a host through the entry point, -1 if there is no response.
func (g *Gateway) Status(host string) int {
	r, err := http.NewRequest("GET", g.URL, nil)
	if err != nil {
		return -1
	}
	r.Host = host
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return -1
	}
	_, _ = io.Copy(io.Discard, response.Body)
	response.Body.Close()
	return response.StatusCode
}

// writeYAML writes JSON, which is also YAML. Traefik reads the file as a Go template, so braces are
// escaped.
func writeYAML(t testing.TB, name string, value any) {
	t.Helper()
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	require.NoError(t, encoder.Encode(value))
	safe := strings.NewReplacer("{{", `{\u007b`, "\x7f", `\u007f`).Replace(text.String())
	require.NoError(t, os.WriteFile(name, []byte(safe), 0o644))
}

func tail(s string, n int) string {
	if len(s) > n {
		return "..." + s[len(s)-n:]
	}
	return s
}
