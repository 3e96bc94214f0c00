// Package repo holds the repository to its own rules.
package repo

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/modfile"
)

const (
	root   = "../.."
	module = "github.com/grayrelease/gray"
)

func TestTopLevel(t *testing.T) {
	allowed := map[string]bool{}
	for _, name := range strings.Fields(`
		.ci .gitignore .golangci.yml .traefik.yml CHANGELOG.md CONTRIBUTING.md LICENSE SECURITY.md
		Makefile README.md go.mod go.sum yaegi.mod
		caddygray cmd core decider docs e2e examples internal rollout service testdata traefikgray`) {
		allowed[name] = true
	}
	for _, path := range tracked(t) {
		top, _, _ := strings.Cut(path, "/")
		assert.True(t, allowed[top], "%s: not a place that the repository has", path)
	}
}

// The plugin catalogue refuses a repository whose root module requires Yaegi or Traefik, in any
// way.
func TestRootModule(t *testing.T) {
	mod := parseMod(t, "go.mod")
	assert.Equal(t, module, mod.Module.Mod.Path)
	assert.Empty(t, mod.Replace, "a module with replacements cannot be installed by go install or xcaddy")
	for _, r := range mod.Require {
		assert.NotRegexp(t, `^github\.com/traefik/`, r.Mod.Path)
	}
	for _, tool := range mod.Tool {
		assert.NotRegexp(t, `^github\.com/traefik/`, tool.Path)
	}
}

// What yaegi.mod proves rests on its requiring nothing, and on being the same module.
func TestYaegiModule(t *testing.T) {
	mod := parseMod(t, "yaegi.mod")
	assert.Equal(t, module, mod.Module.Mod.Path)
	assert.Empty(t, mod.Require)
	assert.Empty(t, mod.Replace)
	assert.Equal(t, "1.21", mod.Go.Version)
}

func TestNestedModules(t *testing.T) {
	assert.Equal(t, parseMod(t, "go.mod").Go.Version, parseMod(t, "e2e/go.mod").Go.Version)
	for _, path := range tracked(t) {
		dir, file := filepath.Split(path)
		if file != "go.mod" || dir == "" || strings.Contains(dir, "testdata/") {
			continue
		}
		mod := parseMod(t, path)
		assert.Equal(t, module+"/"+strings.TrimSuffix(dir, "/"), mod.Module.Mod.Path, path)
		assert.Regexp(t, `^e2e/`, dir, "only e2e nests modules: a tag with a prefix would shut the plugin catalogue")
	}
}

// A path of the machine that something was written on works nowhere else.
func TestNoMachinePaths(t *testing.T) {
	machine := regexp.MustCompile("(?m)(^|[\\s\"'=(:`])/(work|root|Users|home/[a-z]+/(src|go)|tmp/[a-z]+/clone)/\\w\\S*")
	for _, path := range tracked(t) {
		if found := machine.FindString(read(t, path)); found != "" {
			t.Errorf("%s: names %s", path, strings.TrimSpace(found))
		}
	}
}

func TestNothingBuiltIsTracked(t *testing.T) {
	for _, path := range tracked(t) {
		info, err := os.Lstat(filepath.Join(root, path))
		require.NoError(t, err)
		assert.Less(t, info.Size(), int64(1<<20), path)
	}
}

func TestShellScriptsParse(t *testing.T) {
	for _, path := range tracked(t) {
		if path == ".ci/run" || filepath.Ext(path) == ".sh" {
			out, err := exec.Command("bash", "-n", filepath.Join(root, path)).CombinedOutput()
			assert.NoError(t, err, "%s: %s", path, out)
		}
	}
}

func TestChangelogHasUnreleased(t *testing.T) {
	assert.Contains(t, read(t, "CHANGELOG.md"), "\n## [Unreleased]\n")
}

// Everything that a document tells the reader to make can be made.
func TestDocumentedTargetsExist(t *testing.T) {
	targets := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^([a-z][a-z0-9-]*):`).FindAllStringSubmatch(read(t, "Makefile"), -1) {
		targets[m[1]] = true
	}
	require.NotEmpty(t, targets)
	told := regexp.MustCompile("(?m)(?:^\\s*(?:\\$ )?|`)make ([a-z][a-z0-9-]*)")
	for _, path := range documents(t) {
		for _, m := range told.FindAllStringSubmatch(read(t, path), -1) {
			assert.True(t, targets[m[1]], "%s: make %s: no such target", path, m[1])
		}
	}
}

func TestDocumentLinksExist(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#\s]+)(#[^)\s]*)?\)`)
	for _, path := range documents(t) {
		for _, m := range link.FindAllStringSubmatch(read(t, path), -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			_, err := os.Stat(filepath.Join(root, filepath.Dir(path), m[1]))
			assert.NoError(t, err, "link in %s", path)
		}
	}
}

// documents are the tracked Markdown files.
func documents(t *testing.T) []string {
	t.Helper()
	var found []string
	for _, path := range tracked(t) {
		if filepath.Ext(path) == ".md" {
			found = append(found, path)
		}
	}
	return found
}

// tracked are the paths that git knows of and that are there, relative to the root.
func tracked(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command("git", "-C", root, "ls-files", "-z").Output()
	if err != nil {
		t.Skip("not a git checkout")
	}
	var paths []string
	for path := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
		if info, err := os.Stat(filepath.Join(root, path)); err == nil && info.Mode().IsRegular() {
			paths = append(paths, path)
		}
	}
	require.NotEmpty(t, paths)
	return paths
}

func parseMod(t *testing.T, path string) *modfile.File {
	t.Helper()
	mod, err := modfile.Parse(path, []byte(read(t, path)), nil)
	require.NoError(t, err)
	return mod
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	require.NoError(t, err)
	return string(text)
}
