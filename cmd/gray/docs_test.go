package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
)

// blocks returns the code blocks of docs/command.md in one language.
func blocks(t *testing.T, language string) []string {
	t.Helper()
	page, err := os.ReadFile("../../docs/command.md")
	require.NoError(t, err)
	var found []string
	for _, m := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(string(page), -1) {
		found = append(found, m[1])
	}
	require.NotEmpty(t, found)
	return found
}

// inExample runs a test in a copy of the example's folder.
func inExample(t *testing.T) {
	t.Helper()
	folder := t.TempDir()
	require.NoError(t, os.CopyFS(folder, os.DirFS("../../examples/command")))
	t.Chdir(folder)
}

// The commands that the page gives with their output print exactly that.
func TestDocumentedOutput(t *testing.T) {
	sessions := blocks(t, "console")
	inExample(t)
	s := &shell{t: t}
	for _, session := range sessions {
		command, output, found := strings.Cut(strings.TrimPrefix(session, "$ gray "), "\n")
		require.True(t, found)
		assert.Equal(t, output, s.ok(words(command)...), command)
	}
}

// The other commands of the page, in its order, do what they say to a release that a gateway's loop
// obeys.
func TestDocumentedCommands(t *testing.T) {
	scripts := blocks(t, "sh")
	inExample(t)
	policy, err := filepath.Abs("policy.json")
	require.NoError(t, err)
	g := startGateway(t, policy)
	g.awaitPhase(core.PhaseRunning, 1)
	s := &shell{t: t, env: map[string]string{envSource: policy}}
	phases := map[string]string{
		"approve": core.PhaseRunning, "pause": core.PhasePaused, "goto": core.PhaseRunning, "promote": core.PhaseBaking,
		"advance": core.PhaseCompleted, "rollback": core.PhaseRolledBack, "retry": core.PhaseRunning,
	}
	done := map[string]bool{}
	for _, script := range scripts {
		for line := range strings.Lines(script) {
			command, isGray := strings.CutPrefix(strings.TrimSpace(line), "gray ")
			if !isGray {
				continue
			}
			args := words(command)
			s.ok(args...)
			done[args[0]] = true
			if phase := phases[args[0]]; phase != "" {
				assert.Equal(t, phase, readState(t, policy).Phase, command)
			}
		}
	}
	for _, cmd := range (&program{}).operating() {
		assert.True(t, done[cmd.Name()], "the page has no example of %s", cmd.Name())
	}
}

// The page names each command.
func TestDocumentedCommandsAreAll(t *testing.T) {
	page, err := os.ReadFile("../../docs/command.md")
	require.NoError(t, err)
	for _, cmd := range (&program{}).root().Commands() {
		assert.Contains(t, string(page), "gray "+cmd.Name())
	}
}
