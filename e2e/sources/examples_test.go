package sources

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/e2e/servers"
)

const examples = "../../examples/sources"

var (
	shellBlock = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")
	answerLine = regexp.MustCompile(`(?m)^(curl .*\S) +# (.+)$`)
)

// machine is what an example's lines find on the machine that they run on.
type machine struct {
	programs string            // a folder at the front of PATH
	env      []string          // more of the environment
	ports    map[string]string // in place of those in the README
}

// machines start what each example needs, or see to it that its lines can: as they stand where a server takes its ports from the
// environment, through a program of the same name that adds them where it does not.
var machines = map[string]func(t *testing.T, m *machine){
	"file": func(*testing.T, *machine) {},
	"http": func(t *testing.T, m *machine) {
		needs(t, "python3")
		m.ports["8000"] = strconv.Itoa(servers.FreePorts(t, 1)[0])
	},
	"etcd": func(t *testing.T, m *machine) {
		require.NoError(t, os.Symlink(servers.Path(t, "etcd"), filepath.Join(m.programs, "etcd")))
		// The tests build no etcdctl. This one knows `put KEY VALUE`, and the value on its input.
		m.program(t, "etcdctl", `[ "$1" = put ]
			encode() { printf %s "$1" | base64 | tr -d '\n'; }
			curl -sSf "$ETCD_LISTEN_CLIENT_URLS/v3/kv/put" -d "{\"key\": \"$(encode "$2")\", \"value\": \"$(encode "${3-$(cat)}")\"}"`)
		ports := servers.FreePorts(t, 2)
		client, peer := servers.BaseURL(ports[0]), servers.BaseURL(ports[1])
		m.env = append(m.env, "ETCD_LISTEN_CLIENT_URLS="+client, "ETCD_ADVERTISE_CLIENT_URLS="+client,
			"ETCD_LISTEN_PEER_URLS="+peer, "ETCD_INITIAL_ADVERTISE_PEER_URLS="+peer, "ETCD_INITIAL_CLUSTER=default="+peer)
		m.ports["2379"] = strconv.Itoa(ports[0])
	},
	"consul": func(t *testing.T, m *machine) {
		ports := servers.FreePorts(t, 3)
		m.program(t, "consul", fmt.Sprintf(`if [ "$1" = agent ]; then
				set -- "$@" -http-port=%d -server-port=%d -serf-lan-port=%d -serf-wan-port=-1 -dns-port=-1 -grpc-port=-1 -grpc-tls-port=-1
			fi
			exec %s "$@"`, ports[0], ports[1], ports[2], servers.Path(t, "consul")))
		m.env = append(m.env, "CONSUL_HTTP_ADDR="+servers.Host(ports[0]))
		m.ports["8500"] = strconv.Itoa(ports[0])
	},
	"nacos": func(t *testing.T, m *machine) {
		_, port := servers.Nacos(t)
		m.program(t, "startup.sh", "")
		m.program(t, "shutdown.sh", "")
		m.ports["8848"] = strconv.Itoa(port)
	},
}

func (m *machine) program(t *testing.T, name, script string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(m.programs, name), []byte("#!/bin/sh -e\n"+script+"\n"), 0o700))
}

// Whoever pastes the lines of an example's README, in order, gets what it says, and has nothing left running or lying about.
func TestExamples(t *testing.T) {
	needs(t, "bash")
	needs(t, "curl")
	checkout := checkout(t)
	folders, err := os.ReadDir(examples)
	require.NoError(t, err)
	found := 0
	for _, folder := range folders {
		if !folder.IsDir() {
			continue
		}
		found++
		t.Run(folder.Name(), func(t *testing.T) {
			start := machines[folder.Name()]
			require.NotNil(t, start, "nothing says what this example needs")
			readme, err := os.ReadFile(filepath.Join(examples, folder.Name(), "README.md"))
			require.NoError(t, err)
			m := &machine{programs: t.TempDir(), ports: map[string]string{}}
			start(t, m)
			before := names(t, filepath.Join(checkout, "examples/sources"))
			paste(t, checkout, m, string(readme))
			require.Equal(t, before, names(t, filepath.Join(checkout, "examples/sources")))
		})
	}
	require.Equal(t, len(machines), found)
}

// paste runs the lines of a README and compares the answers that it promises.
func paste(t *testing.T, checkout string, m *machine, readme string) {
	t.Helper()
	port := servers.FreePorts(t, 1)[0]
	// A machine that runs tests may be slower than a reader's: a second is two.
	script := "set -e\ntrap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT\nsleep() { command sleep $((2 * $1)); }\n"
	for _, block := range shellBlock.FindAllStringSubmatch(readme, -1) {
		script += block[1]
	}
	script += "wait\n" // for what the lines have started, all of which they end
	replace := []string{"localhost:8080", servers.Host(port), "bin/sources -source", "bin/sources -listen " + servers.Host(port) + " -source"}
	for from, to := range m.ports {
		require.Contains(t, script, from)
		replace = append(replace, from, to)
	}
	script = strings.NewReplacer(replace...).Replace(script)
	promised := answerLine.FindAllStringSubmatch(script, -1)
	require.Len(t, promised, 5)
	answers, n := t.TempDir(), 0
	script = answerLine.ReplaceAllStringFunc(script, func(line string) string {
		n++
		return fmt.Sprintf("{ %s\n} > %s/%d", line, answers, n)
	})

	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	var output bytes.Buffer
	shell := exec.CommandContext(ctx, "bash", "-c", script)
	shell.Dir, shell.Stdout, shell.Stderr = checkout, &output, &output
	shell.Env = append(os.Environ(), "PATH="+m.programs+string(os.PathListSeparator)+os.Getenv("PATH"), "TMPDIR="+t.TempDir(), "no_proxy=*")
	shell.Env = append(shell.Env, m.env...)
	shell.SysProcAttr = servers.DieWithParent()
	shell.Cancel = func() error { return shell.Process.Signal(syscall.SIGTERM) } // whose trap ends the rest
	shell.WaitDelay = 10 * time.Second
	require.NoError(t, shell.Run(), "%s\n%s", script, &output)

	for i, line := range promised {
		answer, err := os.ReadFile(filepath.Join(answers, strconv.Itoa(i+1)))
		require.NoError(t, err)
		if line[2] == "says so, and why" {
			require.Contains(t, string(answer), `"forced": "v1"`, "%s\n%s", line[0], &output)
			require.Contains(t, string(answer), "errors on v2")
			continue
		}
		require.Equal(t, line[2], strings.TrimSpace(string(answer)), "%s\n%s", line[0], &output)
	}
}

// checkout is a folder like the repository, in which an example may write.
func checkout(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"go.mod", "go.sum", "core", "internal"} {
		path, err := filepath.Abs(filepath.Join("../..", name))
		require.NoError(t, err)
		require.NoError(t, os.Symlink(path, filepath.Join(dir, name)))
	}
	require.NoError(t, os.CopyFS(filepath.Join(dir, "examples/sources"), os.DirFS(examples)))
	return dir
}

// names are the files below a folder.
func names(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	require.NoError(t, filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		names = append(names, path)
		return err
	}))
	return names
}

// needs skips a test on a machine that lacks a program, but has it fail in CI.
func needs(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil && os.Getenv("CI") == "" {
		t.Skip(err)
	} else {
		require.NoError(t, err)
	}
}
