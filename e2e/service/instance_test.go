package service

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/e2e/servers"
	"github.com/grayrelease/gray/service"
)

// instanceVariable turns the test binary into an instance of a service. It holds an instance in
// JSON.
const instanceVariable = "GRAY_TEST_INSTANCE"

// instance is a process that runs a service in the way that a test wants.
type instance struct {
	Name     string
	Address  string
	Version  string
	Registry string        // "" registers nowhere
	Notice   time.Duration // of the Runner
	Abrupt   bool          // SIGTERM ends it as it does a program without a Runner
	Delay    time.Duration // of each answer
}

// runInstance serves until the process ends, if it was started to be an instance.
func runInstance() {
	text := os.Getenv(instanceVariable)
	if text == "" {
		return
	}
	var i instance
	if err := json.Unmarshal([]byte(text), &i); err != nil {
		fail(err)
	}
	if i.Abrupt {
		// A program that knows nothing of signals.
		go func() { fail(abrupt(i)) }()
		select {}
	}
	server := &http.Server{Addr: i.Address, Handler: i.handler(), ReadHeaderTimeout: time.Minute}
	if err := i.runner().Run(server); err != nil {
		fail(err)
	}
	os.Exit(0)
}

func (i instance) runner() service.Runner {
	return service.Runner{
		Registry: i.Registry, Instance: service.Instance{Version: i.Version}, Notice: i.Notice,
	}
}

func abrupt(i instance) error {
	l, err := net.Listen("tcp", i.Address)
	if err != nil {
		return err
	}
	if i.Registry != "" {
		_, err := service.Register(context.Background(), i.Registry, service.Instance{Address: i.Address, Version: i.Version})
		if err != nil {
			return err
		}
	}
	health := &service.Health{}
	server := &http.Server{Handler: health.Handler(i.handler()), ReadHeaderTimeout: time.Minute}
	return server.Serve(l)
}

func (i instance) handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		time.Sleep(i.Delay)
		_, _ = io.WriteString(w, i.Name)
	})
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// process is a running instance.
type process struct {
	instance
	command *exec.Cmd
	output  *output
	ended   chan struct{}
}

type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

// String is what was written so far.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// startInstance starts an instance, and returns when it listens. An address is found for one
// without.
func startInstance(t testing.TB, i instance) *process {
	t.Helper()
	if i.Address == "" {
		i.Address = servers.FreeAddress(t)
	}
	self, err := os.Executable()
	require.NoError(t, err)
	text, err := json.Marshal(i)
	require.NoError(t, err)
	p := &process{instance: i, command: exec.Command(self), output: &output{}, ended: make(chan struct{})}
	p.command.Env = append(os.Environ(), instanceVariable+"="+string(text), "GOMAXPROCS=2")
	p.command.Stdout, p.command.Stderr = p.output, p.output
	p.command.SysProcAttr = servers.DieWithParent()
	require.NoError(t, p.command.Start())
	go func() { _ = p.command.Wait(); close(p.ended) }()
	t.Cleanup(p.kill)
	deadline := time.Now().Add(30 * time.Second)
	for {
		conn, err := net.Dial("tcp", i.Address)
		if err == nil {
			conn.Close()
			return p
		}
		select {
		case <-p.ended:
			t.Fatalf("the instance ended: %s", p.output)
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("the instance does not listen: %s", p.output)
		}
	}
}

// kill ends the process at once.
func (p *process) kill() {
	_ = p.command.Process.Kill()
	<-p.ended
}

// stop sends SIGTERM and waits until the process has ended.
func (p *process) stop() {
	_ = p.command.Process.Signal(syscall.SIGTERM)
	<-p.ended
}
