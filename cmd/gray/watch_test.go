package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
)

// screen is what a command has written so far.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
	news chan struct{}
}

func newScreen() *screen { return &screen{news: make(chan struct{}, 1)} }

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case s.news <- struct{}{}:
	default:
	}
	return s.text.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// await waits until the text has something.
func (s *screen) await(t *testing.T, text string) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for !strings.Contains(s.String(), text) {
		select {
		case <-s.news:
		case <-deadline:
			require.Fail(t, "it is not shown: "+text, s.String())
		}
	}
}

// A watch shows each change until it is interrupted: as text, as JSON, and in place on a terminal.
func TestStatusWatch(t *testing.T) {
	for name, isTerminal := range map[string]bool{"text": false, "json": false, "terminal": true} {
		t.Run(name, func(t *testing.T) {
			path := writeFile(t, "shop.json", policyWith("10% until approved", "50% for 1h"))
			startGateway(t, path).awaitPhase(core.PhaseWaiting, 1)
			s := &shell{t: t, isTerminal: isTerminal,
				env: map[string]string{envSource: "file://" + path + "?interval=10ms", "NO_COLOR": "1"}}
			args := []string{"status", "-w"}
			if name == "json" {
				args = append(args, "-o", "json")
			}
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			out, failed := newScreen(), newScreen()
			ended := make(chan int, 1)
			go func() { ended <- s.runInto(ctx, out, failed, args...) }()
			out.await(t, core.PhaseWaiting)
			(&shell{t: t}).ok("approve", "--yes", path)
			out.await(t, core.PhaseBaking)
			(&shell{t: t}).ok("switch", "v1", "--reason", "errors on v2", path)
			out.await(t, "errors on v2")
			require.NoError(t, os.WriteFile(path, []byte("{}}"), 0o600))
			told := failed
			if isTerminal {
				told = out
			}
			told.await(t, "that can be read")
			cancel()
			assert.Equal(t, exitDone, <-ended)
			text := out.String()
			switch name {
			case "json":
				for line := range strings.Lines(text) {
					var st status
					require.NoError(t, json.Unmarshal([]byte(line), &st), line)
				}
			case "text":
				assert.Contains(t, text, "rollout  baking: v2 gets 50 %")
				assert.NotContains(t, text, "\x1b")
			case "terminal":
				assert.Contains(t, text, "\x1b[2J", "what was drawn before is replaced")
			}
		})
	}
}

// While a log is read, people see how far that is; programs do not.
func TestProgress(t *testing.T) {
	policy := writeFile(t, "policy.json", simulated)
	log := writeFile(t, "access.log", hour(2000, 10))
	s := &shell{t: t, isTerminal: true}
	got := s.run("simulate", policy, log)
	require.Equal(t, exitDone, got.code)
	assert.Contains(t, got.err, "access.log")
	assert.Contains(t, got.err, "%")
	assert.Empty(t, s.run("simulate", "-o", "json", policy, log).err)
	s.isTerminal = false
	assert.Empty(t, s.run("simulate", policy, log).err)
}
