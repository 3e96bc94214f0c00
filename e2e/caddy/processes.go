package caddy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/e2e/servers"
)

// process is a program that runs until the test ends.
type process struct {
	command *exec.Cmd
	ended   chan struct{}
	output  *output
}

// output is what a program writes, for when a test fails.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

// String is what the program has written so far.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func startProcess(t testing.TB, files []*os.File, env []string, name string, args ...string) *process {
	t.Helper()
	p := &process{command: exec.Command(name, args...), ended: make(chan struct{}), output: &output{}}
	p.command.Env = append(os.Environ(), env...)
	p.command.Stdout, p.command.Stderr = p.output, p.output
	p.command.ExtraFiles = files
	require.NoError(t, p.command.Start())
	go func() {
		_ = p.command.Wait()
		close(p.ended)
	}()
	t.Cleanup(p.kill)
	return p
}

// kill ends the process at once, connections and all.
func (p *process) kill() {
	_ = p.command.Process.Kill()
	<-p.ended
}

// instance is an upstream process.
type instance struct {
	*process
	name    string
	address string
	journal string
}

// startUpstream starts the test binary as an upstream. The test's TestMain calls RunUpstream.
func startUpstream(t testing.TB, name string) *instance {
	t.Helper()
	i := &instance{name: name, address: servers.FreeAddress(t), journal: filepath.Join(t.TempDir(), name)}
	i.start(t)
	return i
}

func (i *instance) start(t testing.TB) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	i.process = startProcess(t, nil,
		[]string{upstreamVariable + "=" + strings.Join([]string{i.name, i.address, i.journal}, ",")}, self)
	i.await(t, i.address)
}

// await waits until something listens.
func (p *process) await(t testing.TB, address string) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for time.Now().Before(deadline) {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
			return
		}
		select {
		case <-p.ended:
			t.Fatalf("%s ended:\n%s", p.command.Path, p.output)
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Fatalf("nothing listens on %s:\n%s", address, p.output)
}

// posts are the POST requests that an upstream has read, by how often.
func (i *instance) posts(t testing.TB) map[string]int {
	t.Helper()
	data, err := os.ReadFile(i.journal)
	require.NoError(t, err)
	counts := map[string]int{}
	for _, id := range strings.Fields(string(data)) {
		counts[id]++
	}
	return counts
}

// Gateway is a Caddy process.
type Gateway struct {
	*process
	t     testing.TB
	admin string
}

var binary struct {
	once sync.Once
	path string
	err  error
}

// binaryVariable names a Caddy with the gray modules, in place of the one that Binary builds.
const binaryVariable = "GRAY_TEST_CADDY"

// Binary builds Caddy with the gray modules, once per test run. Go's own cache makes that quick.
func Binary(t testing.TB) string {
	t.Helper()
	if given := os.Getenv(binaryVariable); given != "" {
		return given
	}
	binary.once.Do(func() {
		var folder string
		if folder, binary.err = cacheFolder(); binary.err != nil {
			return
		}
		binary.path = filepath.Join(folder, "caddy-"+strconv.Itoa(os.Getpid()))
		build := exec.Command("go", "build", "-C", "../..", "-o", binary.path, "./caddygray/cmd/caddy")
		if out, err := build.CombinedOutput(); err != nil {
			binary.err = fmt.Errorf("building Caddy: %w\n%s", err, out)
		}
	})
	require.NoError(t, binary.err)
	return binary.path
}

// RemoveBinary removes what Binary has built.
func RemoveBinary() {
	if binary.path != "" {
		_ = os.Remove(binary.path)
	}
}

func cacheFolder() (string, error) {
	root := os.Getenv("GRAY_CACHE")
	if root == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", err
		}
		root = filepath.Join(user, "gray")
	}
	folder := filepath.Join(root, "test")
	return folder, os.MkdirAll(folder, 0o755)
}

// Start runs Caddy with a Caddyfile until the test ends, and waits for the address. Caddy inherits
// the files, as fd/3 and so on.
func Start(t testing.TB, address, caddyfile string, files ...*os.File) *Gateway {
	return startGateway(t, address, caddyfile, files...)
}

// startGateway adds the admin endpoint to the Caddyfile.
func startGateway(t testing.TB, address, caddyfile string, files ...*os.File) *Gateway {
	t.Helper()
	g := &Gateway{t: t, admin: servers.FreeAddress(t)}
	path := filepath.Join(t.TempDir(), "Caddyfile")
	require.NoError(t, os.WriteFile(path, []byte(g.complete(caddyfile)), 0o600))
	home := t.TempDir()
	g.process = startProcess(t, files, []string{"HOME=" + home, "XDG_DATA_HOME=" + home, "XDG_CONFIG_HOME=" + home},
		Binary(t), "run", "--config", path)
	g.await(t, address)
	return g
}

func (g *Gateway) complete(caddyfile string) string {
	return "{\n\tadmin " + g.admin + "\n\tpersist_config off\n\tskip_install_trust\n\tservers {\n" +
		"\t\tprotocols h1 h2 h2c\n\t}\n}\n" + caddyfile
}

// Kill ends Caddy at once.
func (g *Gateway) Kill() { g.kill() }

// Admin is the URL of the admin endpoint.
func (g *Gateway) Admin() string { return "http://" + g.admin }

// Log is what Caddy has written so far.
func (g *Gateway) Log() string { return g.output.String() }

// Reload gives Caddy another Caddyfile.
func (g *Gateway) Reload(caddyfile string) error { return g.reload(caddyfile) }

// reload gives Caddy another Caddyfile by its admin endpoint, which is unavailable for a moment
// after each reload.
func (g *Gateway) reload(caddyfile string) error {
	res, err := http.Post("http://"+g.admin+"/load", "text/caddyfile", strings.NewReader(g.complete(caddyfile)))
	for err != nil {
		select {
		case <-g.ended:
			return err
		case <-time.After(10 * time.Millisecond):
		}
		res, err = http.Post("http://"+g.admin+"/load", "text/caddyfile", strings.NewReader(g.complete(caddyfile)))
	}
	defer res.Body.Close()
	if text, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK {
		return errors.New(string(text))
	}
	return nil
}

// metric returns the sum of a counter's or gauge's values whose labels contain all of the given
// pairs, such as `version="v2"`.
func (g *Gateway) metric(name string, labels ...string) float64 {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+g.admin+"/metrics", nil)
	require.NoError(g.t, err)
	res, err := http.DefaultClient.Do(req)
	require.NoError(g.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(g.t, err)
	sum := 0.0
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, name+"{") {
			continue
		}
		matches := true
		for _, l := range labels {
			matches = matches && strings.Contains(line, l)
		}
		if matches {
			value, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' '):]), 64)
			require.NoError(g.t, err)
			sum += value
		}
	}
	return sum
}
