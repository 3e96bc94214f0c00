package yaegi_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"

	"github.com/grayrelease/gray/e2e/yaegi"
)

// The conditions under which the catalogue of Traefik's plugins takes a repository.

func TestCatalogueTakesTheModule(t *testing.T) {
	text, err := os.ReadFile(root + "/go.mod")
	require.NoError(t, err)
	file, err := modfile.Parse("go.mod", text, nil)
	require.NoError(t, err)
	assert.NoError(t, module.CheckPath(file.Module.Mod.Path))
	for _, r := range file.Require {
		assert.False(t, isTraefik(r.Mod.Path), "go.mod requires %s", r.Mod.Path)
	}
	for _, tool := range file.Tool {
		assert.False(t, isTraefik(tool.Path), "go.mod has the tool %s", tool.Path)
	}
}

func isTraefik(path string) bool {
	return strings.HasPrefix(path, "github.com/traefik/yaegi") || strings.HasPrefix(path, "github.com/traefik/traefik")
}

func TestCatalogueTakesTheManifest(t *testing.T) {
	m, err := yaegi.ReadManifest(root)
	require.NoError(t, err)
	path, err := yaegi.ModulePath(root)
	require.NoError(t, err)
	assert.NotEmpty(t, m.DisplayName)
	assert.NotEmpty(t, m.Summary)
	assert.Equal(t, "middleware", m.Type)
	assert.Contains(t, []string{"", "yaegi"}, m.Runtime)
	assert.False(t, m.UseUnsafe)
	assert.NotEmpty(t, m.TestData)
	assert.True(t, m.Import == path || strings.HasPrefix(m.Import, path+"/"),
		"import %q is not of module %q", m.Import, path)
}

// The catalogue must load the plugin and make a middleware within ten seconds. The test logs the
// time.
func TestCatalogueLoadsThePlugin(t *testing.T) {
	gopath := t.TempDir()
	dir, err := yaegi.Install(root, gopath)
	require.NoError(t, err)
	for _, absent := range []string{"e2e", ".git"} {
		assert.NoDirExists(t, filepath.Join(dir, absent), "the module zip has no nested modules")
	}
	start := time.Now()
	plugin, err := yaegi.Open(gopath, dir)
	require.NoError(t, err)
	_, err = plugin.New(t.Context(), version, plugin.Manifest.TestData, "gray@catalogue")
	require.NoError(t, err)
	t.Logf("loaded and made in %v", time.Since(start).Round(time.Millisecond))
	assert.Empty(t, plugin.Stderr.String())
	assert.Empty(t, plugin.Stdout.String())
}

// A single tag of another form has the catalogue refuse the whole repository.
func TestCatalogueTakesTheTags(t *testing.T) {
	command := exec.Command("git", "tag", "--list")
	command.Dir = root
	output, err := command.Output()
	if err != nil {
		t.Skip("no git repository to look at: ", err)
	}
	plain := regexp.MustCompile(`^v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)$`)
	for _, tag := range strings.Fields(string(output)) {
		assert.Regexp(t, plain, tag)
	}
}
