package repo

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/modfile"
	"golang.org/x/mod/semver"
)

// The module asks for no newer Go than its requirements do, and for no toolchain.
func TestGoVersionIsAsLowAsRequirementsAllow(t *testing.T) {
	mod := parseMod(t, "go.mod")
	assert.Nil(t, mod.Toolchain)
	args := []string{"list", "-m", "-f", "{{.GoVersion}}"}
	for _, r := range mod.Require {
		args = append(args, r.Mod.Path)
	}
	list := exec.Command("go", args...)
	list.Dir = root
	out, err := list.Output()
	require.NoError(t, err)
	highest := "v1"
	for version := range strings.FieldsSeq(string(out)) {
		if semver.Compare("v"+version, highest) > 0 {
			highest = "v" + version
		}
	}
	assert.Equal(t, highest, "v"+mod.Go.Version, "a lower go line may do")
	assert.Contains(t, read(t, "docs/go.md"), ": "+mod.Go.Version+".")
}

// A module that imports the engine, what keeps its policy, and the proxy builds with nothing
// fetched, and requires nothing else.
func TestImportingFetchesNothing(t *testing.T) {
	folder := t.TempDir()
	here, err := filepath.Abs(root)
	require.NoError(t, err)
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600))
	}
	write("go.mod", "module example.com/gateway\n\ngo "+parseMod(t, "go.mod").Go.Version+"\n\nrequire "+module+
		" v0.0.0\n\nreplace "+module+" => "+here+"\n")
	write("main.go", "package main\n\nimport (\n\t_ \""+module+"/core\"\n\t_ \""+module+"/core/live\"\n\t_ \""+
		module+"/core/proxy\"\n)\n\nfunc main() {}\n")
	build := exec.Command("go", "build", "-mod=mod", "-o", os.DevNull, ".")
	build.Dir = folder
	build.Env = append(os.Environ(), "GOPROXY=off", "GOTOOLCHAIN=local", "GOMODCACHE="+filepath.Join(folder, "empty"))
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	text, err := os.ReadFile(filepath.Join(folder, "go.mod"))
	require.NoError(t, err)
	mod, err := modfile.Parse("go.mod", text, nil)
	require.NoError(t, err)
	assert.Len(t, mod.Require, 1, "%s", text)
	assert.Nil(t, mod.Toolchain)
}
