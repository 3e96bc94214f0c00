package servers

import (
	"context"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Process is a server that a test started on ports of its own; it ends with the test.
type Process struct {
	t     testing.TB
	name  string
	args  []string
	dir   string
	env   []string
	ready string // URL that answers below 500 once the server is ready
	wait  time.Duration
	turn  *sync.Mutex // one of those that share it starts at a time; nil: whenever
	cmd   *exec.Cmd
	done  chan struct{}
}

// Start starts the process, also again after Kill: on the same ports, with the same data.
func (p *Process) Start() {
	p.t.Helper()
	if p.turn != nil {
		p.turn.Lock()
		defer p.turn.Unlock()
	}
	log, err := os.OpenFile(filepath.Join(p.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	p.cmd = exec.Command(p.args[0], p.args[1:]...)
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = p.dir, log, log
	p.cmd.Env = append(os.Environ(), p.env...)
	p.cmd.SysProcAttr = DieWithParent()
	if err := p.cmd.Start(); err != nil {
		p.t.Fatalf("%s: %v", p.name, err)
	}
	log.Close()
	done := make(chan struct{})
	p.done = done
	cmd := p.cmd
	go func() { _ = cmd.Wait(); close(done) }()
	p.awaitReady()
}

func (p *Process) awaitReady() {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), p.wait)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} // a server that is ours may sign its own certificate
	for {
		req, _ := http.NewRequestWithContext(ctx, "GET", p.ready, nil)
		if resp, err := client.Do(req); err == nil {
			resp.Body.Close()
			if resp.StatusCode < 500 {
				return
			}
		}
		select {
		case <-p.done:
			p.t.Fatalf("%s ended before it was ready:\n%s", p.name, p.tail())
		case <-ctx.Done():
			p.t.Fatalf("%s was not ready after %s:\n%s", p.name, p.wait, p.tail())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Kill ends the process at once, as a crash would.
func (p *Process) Kill() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	<-p.done
	p.cmd = nil
}

// Folder is where the process runs, with its data.
func (p *Process) Folder() string { return p.dir }

// PID is the number of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Signal sends a signal, such as SIGSTOP.
func (p *Process) Signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

func (p *Process) tail() string {
	data, _ := os.ReadFile(filepath.Join(p.dir, "log"))
	if len(data) > 4000 {
		data = data[len(data)-4000:]
	}
	return string(data)
}

// given are the ports that FreePorts has returned so far.
var given = struct {
	mu    sync.Mutex
	ports map[int]bool
}{ports: map[int]bool{}}

// FreePorts returns ports that nothing listens on, each only once. They are below the range of
// outgoing connections, one of which could otherwise take a server's port before it is started
// again.
func FreePorts(t testing.TB, n int) []int {
	t.Helper()
	given.mu.Lock()
	defer given.mu.Unlock()
	var ports []int
	for range 1000 {
		if len(ports) == n {
			return ports
		}
		port := 10000 + rand.IntN(20000)
		if !given.ports[port] && portFree(port) {
			given.ports[port] = true
			ports = append(ports, port)
		}
	}
	t.Fatal("no free ports")
	return nil
}

// FreeAddress returns the address of a free port of this machine.
func FreeAddress(t testing.TB) string {
	t.Helper()
	return Host(FreePorts(t, 1)[0])
}

func portFree(port int) bool {
	l, err := net.Listen("tcp", Host(port))
	if err != nil {
		return false
	}
	l.Close()
	return true
}

func newProcess(t testing.TB, name string, wait time.Duration) *Process {
	p := &Process{t: t, name: name, dir: t.TempDir(), wait: wait}
	t.Cleanup(p.Kill)
	return p
}

// BaseURL is where a server on a port of this machine answers.
func BaseURL(port int) string { return "http://" + Host(port) }

// Host is the address of a port of this machine.
func Host(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }

func flag(name string, value any) string { return fmt.Sprintf("%s=%v", name, value) }
