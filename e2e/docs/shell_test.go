package docs

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/e2e/caddy"
	"github.com/grayrelease/gray/e2e/servers"
	"github.com/grayrelease/gray/e2e/yaegi"
)

// elsewhere are the tests that run the commands of documents: in which folder, and by which name.
var elsewhere = []struct{ file, begins, folder, test string }{
	{"README.md", "$ curl localhost:8080\n", "e2e/caddy", "TestQuickstart"},
	{"README.md", "go run ./caddygray/cmd/caddy run --config examples/quickstart/", "e2e/caddy", "TestQuickstart"},
	{"README.md", "go run ./caddygray/cmd/caddy run --config examples/rollout/", "e2e/caddy", "TestRolloutExample"},
	{"docs/rollout.md", "go run ./caddygray/cmd/caddy run --config examples/rollout/", "e2e/caddy", "TestRolloutExample"},
	{"docs/guide.md", "", "e2e/caddy", "TestGuide"},
	{"docs/command.md", "$ ", "cmd/gray", "TestDocumentedOutput"},
	{"docs/command.md", "", "cmd/gray", "TestDocumentedCommands"},
	{"docs/istio.md", "$ gray ", "cmd/gray", "TestDocumentedIstio"},
	{"docs/decide.md", "gray decide --config decide.yml\n", "cmd/gray", "TestDecide"},
	{"docs/decide.md", "gray decide --service shop", "cmd/gray", "TestDecide"},
	{"docs/serve.md", "gray serve --config gray.yml\n", "e2e/rollout", "TestControllerReadsTraefik"},
	{"docs/serve.md", "gray serve --service shop", "cmd/gray", "TestServe"},
	{"docs/serve.md", "examples/fleet/fleet.sh ", "e2e/rollout", "TestFleetExample"},
	{"docs/grafana.md", "STAY=1 examples/fleet/fleet.sh\n", "e2e/rollout", "TestFleetExample"},
	{"docs/grafana.md", "promtool ", "e2e/grafana", "TestRules"},
	{"docs/grafana.md", "cd e2e && go generate ./grafana\n", "e2e/grafana", "TestDashboardsAreCurrent"},
	{"docs/performance.md", "go run ./rollout/internal/simulate\n", "rollout/internal/simulate", "TestReport"},
	{"docs/services.md", "examples/services/services.sh", "e2e/service", "TestServicesExample"},
	{"docs/policy.md", "printf ", "core", "TestDocumentedBucket"},
	{"docs/policy.md", "SECRET=", "core", "TestDocumentedTesterLink"},
}

func isShell(b block) bool { return b.language == "sh" || b.language == "console" }

func isRunElsewhere(b block) bool { return testOf(b) != "" }

// testOf is the file and the name of the test that runs a block, "" if none does.
func testOf(b block) string {
	for _, e := range elsewhere {
		if isShell(b) && b.file == e.file && b.begins(e.begins) {
			return e.folder + " " + e.test
		}
	}
	return ""
}

// runElsewhere checks that the test is there.
func runElsewhere(t *testing.T, b block) {
	folder, name, _ := strings.Cut(testOf(b), " ")
	assert.Contains(t, testCode(t, folder), "func "+name+"(", folder)
}

// testCode is the text of a folder's test files.
func testCode(t *testing.T, folder string) string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(root, folder, "*_test.go"))
	require.NoError(t, err)
	all := ""
	for _, path := range paths {
		code, err := os.ReadFile(path)
		require.NoError(t, err)
		all += string(code)
	}
	return all
}

var goTest = regexp.MustCompile(`^(cd e2e && )?go test (.*)\n$`)

func isGoTest(b block) bool { return isShell(b) && goTest.MatchString(b.text) }

// runGoTest checks that the command runs something: it takes minutes, and measures. The tests and
// benchmarks that it names are there, and so are flags of the package's own.
func runGoTest(t *testing.T, b block) {
	m := goTest.FindStringSubmatch(b.text)
	module := ""
	if m[1] != "" {
		module = "e2e"
	}
	words := strings.Fields(m[2])
	folder, pattern, kind := "", "", ""
	for i, word := range words {
		switch {
		case strings.HasPrefix(word, "./"):
			folder = filepath.Join(module, word)
		case word == "-run" && words[i+1] != "'^$'":
			kind, pattern = "Test", strings.Trim(words[i+1], "'")
		case word == "-bench" && kind == "":
			kind, pattern = "Benchmark", words[i+1]
		case word == "-compare":
			assert.Contains(t, testCode(t, folder), `flag.Bool("compare"`, folder)
		}
	}
	require.NotEmpty(t, folder)
	require.NotEmpty(t, kind)
	wanted, err := regexp.Compile(pattern)
	require.NoError(t, err)
	found := false
	for _, m := range regexp.MustCompile(`(?m)^func (`+kind+`\w+)\(`).FindAllStringSubmatch(testCode(t, folder), -1) {
		found = found || wanted.MatchString(m[1])
	}
	assert.True(t, found, b.text)
}

func isBuild(b block) bool { return isShell(b) && b.begins("xcaddy build ") }

var buildLine = regexp.MustCompile(
	`^(?:xcaddy build --with (\S+)(?: --with \S+)?(?: --replace (\S+)=\.)?|go build -o bin/caddy (\S+))$`)

// runBuild checks that the packages are those of Caddy's module and command, which tests build. It
// does not run xcaddy, which fetches the newest Caddy.
func runBuild(t *testing.T, b block) {
	module, err := yaegi.ModulePath(root)
	require.NoError(t, err)
	for line := range strings.Lines(b.text) {
		m := buildLine.FindStringSubmatch(strings.TrimSpace(line))
		require.NotNil(t, m, line)
		if m[1] != "" {
			assert.Equal(t, module+"/caddygray", m[1])
		}
		if m[2] != "" {
			assert.Equal(t, module, m[2])
		}
		if m[3] != "" {
			list := exec.Command("go", "list", "-f", "{{.Name}}", m[3])
			list.Dir = root
			output, err := list.CombinedOutput()
			require.NoError(t, err)
			assert.Equal(t, "main\n", string(output))
		}
	}
}

func isAdmin(b block) bool { return isShell(b) && b.begins("caddy ") }

// runAdmin runs the block beside a Caddy whose policy is that of a shop.
func runAdmin(t *testing.T, b block) {
	ports := servers.FreePorts(t, 2)
	folder, programs := t.TempDir(), t.TempDir()
	require.NoError(t, os.Symlink(caddy.Binary(t), filepath.Join(programs, "caddy")))
	file := filepath.Join(folder, "Caddyfile")
	require.NoError(t, os.WriteFile(file, []byte("http://"+servers.Host(ports[0])+" {\ngray shop {\n"+base+
		"rule testers v2 {\nwhen header X-App-Version = beta\n}\nrule ramp v2 {\npercent 5\n}\n}\n}\n"), 0o600))
	env := append(os.Environ(), "HOME="+folder, "XDG_DATA_HOME="+folder, "XDG_CONFIG_HOME="+folder,
		"CADDY_ADMIN="+servers.Host(ports[1]), "no_proxy=*",
		"PATH="+programs+string(os.PathListSeparator)+os.Getenv("PATH"))
	gateway := exec.Command(caddy.Binary(t), "run", "--adapter", "caddyfile", "--config", file)
	gateway.Env, gateway.SysProcAttr = env, servers.DieWithParent()
	require.NoError(t, gateway.Start())
	t.Cleanup(func() {
		_ = gateway.Process.Kill()
		_ = gateway.Wait()
	})
	require.Eventually(t, func() bool {
		status := exec.Command(caddy.Binary(t), "gray", "status", "shop")
		status.Env = env
		return status.Run() == nil
	}, time.Minute, 50*time.Millisecond)
	shell := exec.Command("bash", "-e", "-c", b.text)
	shell.Dir, shell.Env = folder, env
	output, err := shell.CombinedOutput()
	require.NoError(t, err, "%s", output)
	assert.NotEmpty(t, output)
}
