package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// The help of every command ends in its examples, and each of them is a command line that there is.
func TestHelpEndsInExamples(t *testing.T) {
	s := &shell{t: t}
	root := (&program{}).root()
	for _, cmd := range append(root.Commands(), root) {
		if cmd.Name() == "help" || cmd.Name() == "completion" {
			continue
		}
		text := s.ok(append([]string{"help"}, strings.Fields(cmd.CommandPath())[1:]...)...)
		assert.NotEmpty(t, cmd.Example, cmd.Name())
		assert.True(t, strings.HasSuffix(strings.TrimSpace(text), strings.TrimSpace(cmd.Example)), text)
		for line := range strings.Lines(cmd.Example) {
			checkExample(t, strings.TrimSpace(line))
		}
	}
}

// checkExample parses a command line without running it.
func checkExample(t *testing.T, line string) {
	t.Helper()
	line = strings.TrimPrefix(line, "$ ")
	args, isGray := strings.CutPrefix(line, "gray ")
	if !isGray {
		return
	}
	for _, end := range []string{" | ", " && ", " || ", " > "} {
		args, _, _ = strings.Cut(args, end)
	}
	root := (&program{}).root()
	cmd, rest, err := root.Find(words(args))
	if !assert.NoError(t, err, line) {
		return
	}
	assert.NotEqual(t, root, cmd, line)
	cmd.InitDefaultHelpFlag()
	if assert.NoError(t, cmd.ParseFlags(rest), line) && cmd.Name() != "help" {
		assert.NoError(t, cmd.ValidateArgs(cmd.Flags().Args()), line)
	}
}

// words splits a line as a shell does, with single quotes.
func words(line string) []string {
	var found []string
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			found = append(found, part)
		} else {
			found = append(found, strings.Fields(part)...)
		}
	}
	return found
}

func TestCompletion(t *testing.T) {
	s := &shell{t: t}
	for _, of := range []string{"bash", "zsh", "fish", "powershell"} {
		assert.Contains(t, s.ok("completion", of), "gray")
	}
	assert.Contains(t, s.ok("__complete", "app"), "approve")
	assert.Contains(t, s.ok("__complete", "status", "-o", ""), "json")
}
