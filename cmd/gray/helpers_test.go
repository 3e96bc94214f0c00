package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/rollout/loop"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shell runs command lines.
type shell struct {
	t          *testing.T
	env        map[string]string
	in         string
	isTerminal bool
}

// result is what a command line came to.
type result struct {
	code     int
	out, err string
}

func (s *shell) run(args ...string) result {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var out, err bytes.Buffer
	code := s.runInto(ctx, &out, &err, args...)
	return result{code, out.String(), err.String()}
}

func (s *shell) runInto(ctx context.Context, out, err io.Writer, args ...string) int {
	p := &program{in: strings.NewReader(s.in), out: out, err: err, by: "ann@desk",
		env: func(name string) string { return s.env[name] }, isTerminal: func(any) bool { return s.isTerminal }}
	return p.run(ctx, args)
}

// ok runs a command line that succeeds, and returns its output.
func (s *shell) ok(args ...string) string {
	s.t.Helper()
	got := s.run(args...)
	require.Equal(s.t, exitDone, got.code, "%s\n%s", args, got.err)
	return got.out
}

// policyWith is a policy whose plan has these steps.
func policyWith(steps ...string) string {
	lines, _ := json.Marshal(steps)
	return fmt.Sprintf(`{"service": "shop", "stable": "v1", "versions": {"v1": {}, "v2": {}}, "identity": ["cookie uid"],
		"rules": [{"name": "ramp", "version": "v2"}], "rollout": {"rule": "ramp", "steps": %s, "guard": []}}`, lines)
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// gateway is one that follows a file and runs the loop, as Caddy does.
type gateway struct {
	t       *testing.T
	handle  *live.Handle
	applied chan struct{}
}

func startGateway(t *testing.T, path string) *gateway {
	t.Helper()
	g := &gateway{t: t, applied: make(chan struct{}, 1)}
	url := "file://" + path + "?interval=10ms"
	use, err := loop.Open(loop.Options{Service: "shop", URL: url, Folder: t.TempDir()})
	require.NoError(t, err)
	g.handle, err = live.Open(live.Options{Source: &live.Source{URL: url}, Apply: func(c *live.Current) error {
		use.Follow(c)
		select {
		case g.applied <- struct{}{}:
		default:
		}
		return nil
	}})
	require.NoError(t, err)
	use.Start(g.handle)
	t.Cleanup(func() {
		use.Close()
		g.handle.Close()
	})
	return g
}

// await waits until what the gateway goes by is as it should be.
func (g *gateway) await(what string, ok func(*live.Current, live.State) bool) {
	g.t.Helper()
	deadline := time.After(20 * time.Second)
	for !ok(g.handle.Current(), g.handle.State()) {
		select {
		case <-g.applied:
		case <-time.After(10 * time.Millisecond): // what was applied is current a moment later
		case <-deadline:
			text, _ := json.MarshalIndent(g.handle.State(), "", " ")
			require.Fail(g.t, what, string(text))
		}
	}
}

func (g *gateway) awaitPhase(phase string, step int) {
	g.t.Helper()
	g.await(fmt.Sprint(phase, " ", step), func(c *live.Current, _ live.State) bool {
		return c.Rollout != nil && c.Rollout.Phase == phase && c.Rollout.Step == step
	})
}

// version is what a caller gets.
func (g *gateway) percent() float64 { return g.handle.Current().Engine.Overlay().Percent["ramp"] }

func readState(t *testing.T, policy string) *core.RolloutState {
	t.Helper()
	data, err := os.ReadFile(policy + ".rollout")
	require.NoError(t, err)
	s, err := core.ParseRolloutState(data)
	require.NoError(t, err)
	return s
}
