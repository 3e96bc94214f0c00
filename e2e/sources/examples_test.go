package sources

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/e2e/paste"
	"github.com/grayrelease/gray/e2e/servers"
)

const examples = "../../examples/sources"

// machine is what an example's lines find where they run.
type machine struct {
	programs string            // a folder at the front of PATH
	env      []string          // more of the environment
	ports    map[string]string // in place of those in the README
}

// machines start what each example needs, or prepare that its lines can. A server that takes its
// ports from the environment is started as the lines say; others by a program of the same name that
// adds them.
var machines = map[string]func(t *testing.T, m *machine){
	"file": func(*testing.T, *machine) {},
	"http": func(t *testing.T, m *machine) {
		paste.Needs(t, "python3")
		m.ports["8000"] = strconv.Itoa(servers.FreePorts(t, 1)[0])
	},
	"etcd": func(t *testing.T, m *machine) {
		require.NoError(t, os.Symlink(servers.Path(t, "etcd"), filepath.Join(m.programs, "etcd")))
		// The tests build no etcdctl. This one knows `put KEY VALUE`, and the value on its input.
		m.program(t, "etcdctl", `[ "$1" = put ]
			encode() { printf %s "$1" | base64 | tr -d '\n'; }
			curl -sSf "$ETCD_LISTEN_CLIENT_URLS/v3/kv/put" \
				-d "{\"key\": \"$(encode "$2")\", \"value\": \"$(encode "${3-$(cat)}")\"}"`)
		ports := servers.FreePorts(t, 2)
		client, peer := servers.BaseURL(ports[0]), servers.BaseURL(ports[1])
		m.env = append(m.env, "ETCD_LISTEN_CLIENT_URLS="+client, "ETCD_ADVERTISE_CLIENT_URLS="+client,
			"ETCD_LISTEN_PEER_URLS="+peer, "ETCD_INITIAL_ADVERTISE_PEER_URLS="+peer, "ETCD_INITIAL_CLUSTER=default="+peer)
		m.ports["2379"] = strconv.Itoa(ports[0])
	},
	"consul": func(t *testing.T, m *machine) {
		ports := servers.FreePorts(t, 3)
		m.program(t, "consul", fmt.Sprintf(`if [ "$1" = agent ]; then
				set -- "$@" -http-port=%d -server-port=%d -serf-lan-port=%d \
					-serf-wan-port=-1 -dns-port=-1 -grpc-port=-1 -grpc-tls-port=-1
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

// The commands of an example's README give the answers that it promises, and leave nothing behind.
func TestExamples(t *testing.T) {
	paste.Needs(t, "bash")
	paste.Needs(t, "curl")
	checkout := paste.Checkout(t, "../..", "examples/sources", "core", "internal")
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
			runExample(t, checkout, m, string(readme))
			require.Equal(t, before, names(t, filepath.Join(checkout, "examples/sources")))
		})
	}
	require.Equal(t, len(machines), found)
}

// runExample runs the lines of a README and compares the answers that it promises.
func runExample(t *testing.T, checkout string, m *machine, readme string) {
	t.Helper()
	listen := servers.FreeAddress(t)
	replace := []string{"localhost:8080", listen, "bin/sources -source", "bin/sources -listen " + listen + " -source"}
	for from, to := range m.ports {
		replace = append(replace, from, to)
	}
	answers := paste.Run(t, &paste.Document{
		Text:    readme,
		Folder:  checkout,
		Env:     append(m.env, "PATH="+m.programs+string(os.PathListSeparator)+os.Getenv("PATH")),
		Replace: replace,
		// A machine that runs tests may be slower than a reader's: a second is two.
		Prelude: "sleep() { command sleep $((2 * $1)); }\n",
	})
	require.Len(t, answers, 5)
	for _, a := range answers {
		if a.Promised == "says so, and why" {
			require.Contains(t, a.Got, `"forced": "v1"`, "%s\n%s", a.Line, a.Output)
			require.Contains(t, a.Got, "errors on v2")
			continue
		}
		require.Equal(t, a.Promised, a.Got, "%s\n%s", a.Line, a.Output)
	}
}

// names returns the files below a folder.
func names(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	require.NoError(t, filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		names = append(names, path)
		return err
	}))
	return names
}
