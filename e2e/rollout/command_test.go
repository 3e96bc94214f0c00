package rollout

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/e2e/backends"
)

// command is the operator's command at a source.
type command struct {
	t      *testing.T
	binary string
	source string
}

func newCommand(t *testing.T, source string) *command {
	t.Helper()
	return &command{t: t, binary: grayCommand(t), source: source}
}

// run returns the exit code and all of the output.
func (c *command) run(args ...string) (int, string) {
	c.t.Helper()
	cmd := exec.Command(c.binary, args...)
	cmd.Env = append(os.Environ(), "GRAY_SOURCE="+c.source)
	out, err := cmd.CombinedOutput()
	require.NotNil(c.t, cmd.ProcessState, "%v", err)
	return cmd.ProcessState.ExitCode(), string(out)
}

// The operator's command moves what a Caddy obeys, in real config centres.
func TestCommand(t *testing.T) {
	for _, each := range backends.All {
		if each.Name != "etcd" && each.Name != "consul" {
			continue
		}
		t.Run(each.Name, func(t *testing.T) {
			b := each.Start(t)
			s := newService(t)
			b.Put("shop", s.policy(`"10% until approved", "50% for 1h", "100% for 1h"`, ``))
			g := start(t, b.URL("shop"), t.TempDir(), "")
			g.awaitPhase(core.PhaseWaiting)
			c := newCommand(t, b.URL("shop"))
			ok := func(args ...string) string {
				t.Helper()
				code, out := c.run(args...)
				require.Zero(t, code, out)
				return out
			}
			code, out := c.run("approve")
			assert.Equal(t, 3, code, "nobody can be asked")
			assert.Contains(t, out, "--yes")
			for _, step := range []struct {
				args    []string
				phase   string
				percent float64
			}{
				{[]string{"approve", "--yes", "--reason", "looks well", "--by", "ann"}, core.PhaseRunning, 50},
				{[]string{"pause"}, core.PhasePaused, 50},
				{[]string{"resume", "--yes"}, core.PhaseRunning, 50},
				{[]string{"promote", "--yes"}, core.PhaseBaking, 100},
				{[]string{"advance", "--yes"}, core.PhaseCompleted, 100},
			} {
				ok(step.args...)
				at := g.awaitPhase(step.phase)
				assert.Equal(t, step.percent, at.Percent)
				assert.Empty(t, at.Note)
			}
			assert.Contains(t, ok("history"), "approved step 1 of 3 (10 %): looks well")
			ok("wait", "--timeout", "1m")
			ok("rollback", "--to", "v1", "--reason", "errors")
			g.awaitPhase(core.PhaseRolledBack)
			code, _ = c.run("wait", "--timeout", "1m")
			assert.Equal(t, 1, code)
			_, version := g.ask("tester", "X-Beta", "1")
			assert.Equal(t, "v1", version)
			ok("retry", "--yes")
			g.await("another attempt", func(s *live.RolloutStatus) bool { return s.Attempt == 2 && s.Percent == 10 })

			explain := []string{"explain", "--admin", g.Admin(), "--service", "shop", "--header", "X-Beta: 1"}
			assert.Contains(t, ok(explain...), `rule "testers" matched`)
			ok("switch", "v1", "--reason", "errors on v2")
			require.Eventually(t, func() bool {
				_, version := g.ask("tester", "X-Beta", "1")
				return version == "v1"
			}, 20*time.Second, 5*time.Millisecond)
			assert.Contains(t, ok(explain...), `the switch sends everybody to "v1"`)
			ok("switch", "--end", "--yes")
			require.Eventually(t, func() bool {
				_, version := g.ask("tester", "X-Beta", "1")
				return version == "v2"
			}, 20*time.Second, 5*time.Millisecond)
		})
	}
}
