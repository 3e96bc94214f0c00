package decider

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/e2e/caddy"
	"github.com/grayrelease/gray/e2e/servers"
)

const root = "../.."

var gray struct {
	once sync.Once
	path string
	err  error
}

func TestMain(m *testing.M) {
	answerAlways()
	code := m.Run()
	if gray.path != "" {
		_ = os.Remove(gray.path)
	}
	caddy.RemoveBinary()
	os.Exit(code)
}

// grayCommand builds the command, once.
func grayCommand(t testing.TB) string {
	t.Helper()
	gray.once.Do(func() {
		gray.path = filepath.Join(os.TempDir(), "gray-decide-"+strconv.Itoa(os.Getpid()))
		build := exec.Command("go", "build", "-C", root, "-o", gray.path, "./cmd/gray")
		if out, err := build.CombinedOutput(); err != nil {
			gray.err = fmt.Errorf("%w: %s", err, out)
		}
	})
	require.NoError(t, gray.err)
	return gray.path
}

// server is a running `gray decide`.
type server struct {
	*servers.Process
	http, grpc, admin string // addresses
}

// decide starts a decision server with a configuration beside its addresses.
func decide(t testing.TB, config string) *server {
	t.Helper()
	ports := servers.FreePorts(t, 3)
	s := &server{http: servers.Host(ports[0]), grpc: servers.Host(ports[1]), admin: servers.Host(ports[2])}
	files := map[string]string{"decide.yml": fmt.Sprintf("listen: %s\ngrpc: %s\nadmin: %s\ndrain: 10ms\n", s.http, s.grpc,
		s.admin) + config}
	s.Process = servers.Run(t, servers.Program{Name: "gray decide", Path: grayCommand(t), Files: files,
		Args: []string{"decide", "--config", "decide.yml"}, Ready: "http://" + s.admin + "/readyz"})
	return s
}

// shop is the policy of most tests.
const shop = `{"service": "shop", "stable": "v1", "versions": {"v1": {}, "v2": {}}, "anonymous": "cookie",
	"identity": ["cookie uid"], "rules": [
	{"name": "testers", "version": "v2", "when": ["header X-App-Version = beta"]},
	{"name": "office", "version": "v2", "when": ["ip in 198.51.100.0/24"]},
	{"name": "host", "version": "v2", "when": ["host = beta.example.com"]},
	{"name": "method", "version": "v2", "when": ["method = PUT"]},
	{"name": "query", "version": "v2", "when": ["query a = é&"]},
	{"name": "lines", "version": "v2", "when": ["header X-List = two"]},
	{"name": "ramp", "version": "v2", "percent": 99.999, "when": ["path = /ramp"]}]}`

const cart = `{"service": "cart", "stable": "c1", "versions": {"c1": {}, "c2": {}}, "rules": [
	{"name": "testers", "version": "c2", "when": ["header X-App-Version = beta"]}]}`

// policyFile writes a policy, and returns the URL of its source.
func policyFile(t testing.TB, policy string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "policy.json")
	require.NoError(t, os.WriteFile(path, []byte(policy), 0o600))
	return "file://" + path
}

// decideShop starts a decision server of two services, one of them by its host.
func decideShop(t testing.TB) *server {
	t.Helper()
	return decide(t, "services:\n"+
		"  - {service: shop, source: '"+policyFile(t, shop)+"', hosts: [shop.example.com]}\n"+
		"  - {service: cart, source: '"+policyFile(t, cart)+"'}\n")
}

// section returns the blocks under a heading of docs/decide.md, which may have a language.
func section(t testing.TB, heading, language string) []string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(root, "docs/decide.md"))
	require.NoError(t, err)
	_, text, found := strings.Cut(string(page), "\n## "+heading+"\n")
	require.True(t, found, "no section %q", heading)
	text, _, _ = strings.Cut(text, "\n## ")
	var blocks []string
	for _, m := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(text, -1) {
		blocks = append(blocks, m[1])
	}
	require.NotEmpty(t, blocks)
	for i := range blocks {
		blocks[i] = limit.ReplaceAllString(blocks[i], "${1}"+patience)
		blocks[i] = seconds.ReplaceAllString(blocks[i], "${1}0.5")
	}
	return blocks
}

// The documented time limits of 50 ms are too short for machines that run tests beside each other.
const patience = "500ms"

var (
	limit   = regexp.MustCompile(`(\s)50ms`)
	seconds = regexp.MustCompile(`((?:timeout: |limit = .*"/decide/shop", ))0\.05`)
)

// replaced returns a configuration with other addresses than those that are documented. Each must
// be there.
func replaced(t testing.TB, text string, pairs ...string) string {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		require.Contains(t, text, pairs[i])
		text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
	}
	return text
}
