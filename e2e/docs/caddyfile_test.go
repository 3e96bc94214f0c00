package docs

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/e2e/caddy"
)

func isCaddyfile(b block) bool { return b.language == "caddyfile" && !isCaddyfileGrammar(b) }

func isCaddyfileGrammar(b block) bool {
	return b.language == "caddyfile" && b.begins("gray [<matcher>]")
}

// base is a policy that parts of a Caddyfile are about.
const base = `stable v1
version v1 10.0.0.1:8080
version v2 10.0.1.1:8080
version v3 10.0.2.1:8080
`

// frames put what begins with a word where it belongs, at "BLOCK". What begins otherwise is a whole
// Caddyfile.
var frames = map[string]string{
	"route":         ":8080 {\nBLOCK}\n",
	"@new":          ":8080 {\ngray shop {\n" + base + "rule testers v2 {\nwhen path = /\n}\n}\nBLOCK}\n",
	"reverse_proxy": ":8080 {\ngray shop {\n" + base + "}\nBLOCK}\n",
	"source":        ":8080 {\ngray user-service {\n" + base + "BLOCK}\n}\n",
	"loop": ":8080 {\ngray shop {\n" + base + "rule ramp v2\nrollout ramp {\nstep 5%\nguard none\n}\n" +
		"BLOCK}\n}\n",
	"rule": ":8080 {\ngray shop {\n" + base + "BLOCK}\n}\n",
}

// runCaddyfile has Caddy adapt and provision the block. A program that it names is one of the
// test's.
func runCaddyfile(t *testing.T, b block) {
	text := b.text
	if frame, isPart := frames[strings.Fields(text)[0]]; isPart {
		text = strings.Replace(frame, "BLOCK", text, 1)
	}
	program := filepath.Join(t.TempDir(), "rolled-back")
	require.NoError(t, os.WriteFile(program, []byte("#!/bin/sh\n"), 0o700))
	text = strings.ReplaceAll(text, "/usr/local/bin/rolled-back", program)
	output, err := adapt(t, text, "--validate")
	require.NoError(t, err, "%s\n%s", text, output)
	assert.NotContains(t, output, `"level":"warn","logger":"caddyfile`, output)
}

// adapt runs caddy adapt, and returns what it says.
func adapt(t *testing.T, caddyfile string, options ...string) (string, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "Caddyfile")
	require.NoError(t, os.WriteFile(file, []byte(caddyfile), 0o600))
	command := exec.Command(caddy.Binary(t), append([]string{"adapt", "--adapter", "caddyfile", "--config", file},
		options...)...)
	home := t.TempDir()
	command.Env = append(os.Environ(), "HOME="+home, "XDG_DATA_HOME="+home, "XDG_CONFIG_HOME="+home)
	output, err := command.CombinedOutput()
	return string(output), err
}

// runCaddyfileGrammar checks that each word of the grammar is one that Caddy knows in that place.
func runCaddyfileGrammar(t *testing.T, b block) {
	known := func(begin, word, end string) bool {
		output, _ := adapt(t, ":8080 {\n"+begin+word+"\n"+end+"}\n")
		return !strings.Contains(output, "unknown subdirective")
	}
	var open []string // the beginnings of the blocks that a line is in
	words := 0
	for line := range strings.Lines(b.text) {
		line, _, _ = strings.Cut(line, " #")
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0:
			continue
		case fields[0] == "}":
			open = open[:len(open)-1]
			continue
		}
		begin, end := strings.Join(open, ""), strings.Repeat("}\n", len(open))
		if !strings.HasPrefix(fields[0], "<") && len(open) > 0 { // not the values of a list
			for word := range strings.SplitSeq(fields[0], "|") {
				words++
				assert.True(t, known(begin, word, end), "%s in\n%s", word, begin)
			}
		}
		if fields[len(fields)-1] == "{" {
			open = append(open, beginning(fields))
		}
	}
	assert.Greater(t, words, 50)
	assert.False(t, known("gray s {\n", "nonsense", "}\n"))
}

// beginning is a block's first line, with a word for each argument that is required.
func beginning(fields []string) string {
	line := fields[0]
	for _, field := range fields[1:] {
		switch {
		case field == "{":
			line += " {\n"
		case !strings.HasPrefix(field, "["):
			line += " " + strings.Trim(field, "<>")
		}
	}
	if fields[0] == "gray" {
		return "gray s {\n"
	}
	if fields[0] == "source" {
		return "source file:///nowhere {\n"
	}
	return line
}
