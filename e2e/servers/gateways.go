package servers

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Program is a server as a test wants to run it.
type Program struct {
	Name  string
	Path  string            // of the executable
	Args  []string          // paths in it begin at the folder that it runs in
	Files map[string]string // by their names in that folder
	Env   []string          // "NAME=value", beside that of the test
	Ready string            // URL that answers below 500 once the server is ready
}

// Run starts a program in a folder of its own.
func Run(t testing.TB, program Program) *Process {
	t.Helper()
	p := newProcess(t, program.Name, time.Minute)
	for name, text := range program.Files {
		writeFile(t, filepath.Join(p.dir, name), text)
	}
	p.args = append([]string{program.Path}, program.Args...)
	p.env = program.Env
	p.ready = program.Ready
	p.Start()
	return p
}

// Packaged returns the path of a program that a package of the system has installed. The test is
// skipped where there is none, but not in CI.
func Packaged(t testing.TB, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("this machine has no %s", names[0])
	}
	t.Skipf("this machine has no %s", names[0])
	return ""
}
