// Package paste runs the commands of a document as a reader does who pastes them into a shell.
package paste

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/e2e/servers"
)

// patience bounds how long the commands of a document may take.
const patience = 2 * time.Minute

var (
	shellBlock = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")
	answerLine = regexp.MustCompile(`(?m)^((?:curl|share)\b.*?) +# (.+)$`)
)

// Document is a text with shell blocks. In them, `curl ...  # answer` promises an answer, and so
// does the function `share` of a document.
type Document struct {
	Text    string
	Folder  string   // where the commands run
	Env     []string // additions to the environment
	Replace []string // old and new texts, as for strings.NewReplacer; each old one must occur
	Prelude string   // shell commands that come first
}

// Answer is what one line has printed.
type Answer struct {
	Line     string
	Promised string
	Got      string
	Output   string // of the whole document, for messages
}

// Run runs the shell blocks of a document, in order, in one shell. All commands must succeed, and
// every process that they start must have ended by the end.
func Run(t *testing.T, d *Document) []Answer {
	t.Helper()
	script := "set -e\ntrap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT\n" + d.Prelude
	for _, block := range shellBlock.FindAllStringSubmatch(d.Text, -1) {
		script += block[1]
	}
	script += "wait\n" // for what the lines have started, all of which they end
	for i := 0; i < len(d.Replace); i += 2 {
		require.Contains(t, script, d.Replace[i])
	}
	script = strings.NewReplacer(d.Replace...).Replace(script)
	promised := answerLine.FindAllStringSubmatch(script, -1)
	folder, n := t.TempDir(), 0
	script = answerLine.ReplaceAllStringFunc(script, func(line string) string {
		n++
		// grep -c exits with 1 where it counts 0.
		return fmt.Sprintf("{ %s\n} > %s/%d || [ $? = 1 ]", line, folder, n)
	})
	output := run(t, d, script)
	answers := make([]Answer, 0, len(promised))
	for i, line := range promised {
		got, err := os.ReadFile(filepath.Join(folder, strconv.Itoa(i+1)))
		require.NoError(t, err)
		answers = append(answers, Answer{line[0], line[2], strings.TrimSpace(string(got)), output})
	}
	return answers
}

func run(t *testing.T, d *Document, script string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var output bytes.Buffer
	shell := exec.CommandContext(ctx, "bash", "-c", script)
	shell.Dir, shell.Stdout, shell.Stderr = d.Folder, &output, &output
	shell.Env = append(append(os.Environ(), "TMPDIR="+t.TempDir(), "no_proxy=*"), d.Env...)
	shell.SysProcAttr = servers.DieWithParent()
	shell.Cancel = func() error { return shell.Process.Signal(syscall.SIGTERM) } // whose trap ends the rest
	shell.WaitDelay = 10 * time.Second
	require.NoError(t, shell.Run(), "%s\n%s", script, &output)
	return output.String()
}

// Needs skips a test on a machine that lacks a program, but fails it in CI.
func Needs(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil && os.Getenv("CI") == "" {
		t.Skip(err)
	} else {
		require.NoError(t, err)
	}
}

// Checkout returns a folder like the repository, with links to the given files and folders, and
// with a copy of the folder copied, in which commands may write.
func Checkout(t *testing.T, root, copied string, linked ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range append([]string{"go.mod", "go.sum"}, linked...) {
		path, err := filepath.Abs(filepath.Join(root, name))
		require.NoError(t, err)
		require.NoError(t, os.Symlink(path, filepath.Join(dir, name)))
	}
	require.NoError(t, os.CopyFS(filepath.Join(dir, copied), os.DirFS(filepath.Join(root, copied))))
	return dir
}
