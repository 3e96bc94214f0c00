// Package yaegi loads a plugin into the Yaegi interpreter as Traefik and its plugin catalogue do,
// so that tests can run the product in the interpreter that its users run. It also measures
// interpreted code.
package yaegi

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/mitchellh/mapstructure"
	"github.com/stretchr/testify/require"
	"github.com/traefik/yaegi/interp"
	"github.com/traefik/yaegi/stdlib"
	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
	"gopkg.in/yaml.v3"
)

// Manifest is what Traefik and the catalogue read from .traefik.yml.
type Manifest struct {
	DisplayName string         `yaml:"displayName"`
	Type        string         `yaml:"type"`
	Runtime     string         `yaml:"runtime"`
	Import      string         `yaml:"import"`
	BasePkg     string         `yaml:"basePkg"`
	Summary     string         `yaml:"summary"`
	UseUnsafe   bool           `yaml:"useUnsafe"`
	TestData    map[string]any `yaml:"testData"`
}

// ReadManifest reads the manifest of the plugin whose module is at root.
func ReadManifest(root string) (Manifest, error) {
	var m Manifest
	text, err := os.ReadFile(filepath.Join(root, ".traefik.yml"))
	if err != nil {
		return m, err
	}
	return m, yaml.Unmarshal(text, &m)
}

// ModulePath reads the module's path from the go.mod at root.
func ModulePath(root string) (string, error) {
	text, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return "", err
	}
	return modfile.ModulePath(text), nil
}

// Install copies the module at root to gopath/src/<module path>, with exactly the files of its
// module zip, which is what a gateway downloads. It returns the directory.
func Install(root, gopath string) (string, error) {
	name, err := ModulePath(root)
	if err != nil {
		return "", err
	}
	archive, err := os.CreateTemp("", "module-*.zip")
	if err != nil {
		return "", err
	}
	defer os.Remove(archive.Name())
	defer archive.Close()

	version := module.Version{Path: name, Version: "v0.0.0"}
	if err := zip.CreateFromDir(archive, version, root); err != nil {
		return "", err
	}
	dir := filepath.Join(gopath, "src", filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	return dir, zip.Unzip(dir, version, archive.Name())
}

// Output collects what interpreted code prints.
type Output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

// String is what was printed so far.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// NewInterpreter makes an interpreter over gopath that knows the standard library and nothing else.
func NewInterpreter(gopath string, stdout, stderr *Output) (*interp.Interpreter, error) {
	i := interp.New(interp.Options{GoPath: gopath, Env: os.Environ(), Stdout: stdout, Stderr: stderr})
	return i, i.Use(stdlib.Symbols)
}

// Import installs the module at root and imports one of its packages, for tests that evaluate
// expressions of their own.
func Import(t testing.TB, root, importPath string) *interp.Interpreter {
	t.Helper()
	gopath := t.TempDir()
	_, err := Install(root, gopath)
	require.NoError(t, err)
	i, err := NewInterpreter(gopath, new(Output), new(Output))
	require.NoError(t, err)
	_, err = i.Eval(fmt.Sprintf("import %q", importPath))
	require.NoError(t, err)
	return i
}

// Plugin is a middleware plugin that was loaded into an interpreter of its own.
type Plugin struct {
	Manifest       Manifest
	Stdout, Stderr *Output // Traefik logs the first at level DEBUG, the second at ERROR

	fnNew, fnCreateConfig reflect.Value
}

// Load installs the module at root and loads its plugin.
func Load(t testing.TB, root string) *Plugin {
	t.Helper()
	gopath := t.TempDir()
	dir, err := Install(root, gopath)
	require.NoError(t, err)
	p, err := Open(gopath, dir)
	require.NoError(t, err)
	return p
}

// Open loads the plugin whose module is installed in dir below gopath.
func Open(gopath, dir string) (*Plugin, error) {
	m, err := ReadManifest(dir)
	if err != nil {
		return nil, err
	}
	p := &Plugin{Manifest: m, Stdout: new(Output), Stderr: new(Output)}
	i, err := NewInterpreter(gopath, p.Stdout, p.Stderr)
	if err != nil {
		return nil, err
	}
	if _, err := i.Eval(fmt.Sprintf("import %q", m.Import)); err != nil {
		return nil, fmt.Errorf("import: %w", err)
	}
	pkg := m.BasePkg
	if pkg == "" {
		pkg = strings.ReplaceAll(path.Base(m.Import), "-", "_")
	}
	if p.fnNew, err = i.Eval(pkg + ".New"); err != nil {
		return nil, fmt.Errorf("eval New: %w", err)
	}
	if p.fnCreateConfig, err = i.Eval(pkg + ".CreateConfig"); err != nil {
		return nil, fmt.Errorf("eval CreateConfig: %w", err)
	}
	return p, nil
}

// Config returns the result of CreateConfig, with the given configuration decoded into it as
// Traefik does: weakly typed, names compared without case.
func (p *Plugin) Config(config map[string]any) (reflect.Value, error) {
	results := p.fnCreateConfig.Call(nil)
	if len(results) != 1 {
		return reflect.Value{}, fmt.Errorf("CreateConfig returns %d values", len(results))
	}
	if len(config) == 0 {
		return results[0], nil
	}
	decoder, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{
		DecodeHook:       mapstructure.StringToSliceHookFunc(","),
		WeaklyTypedInput: true,
		Result:           results[0].Interface(),
	})
	if err != nil {
		return reflect.Value{}, err
	}
	return results[0], decoder.Decode(config)
}

// New returns the plugin's handler in front of next, as Traefik makes it for each router that names
// the middleware.
func (p *Plugin) New(ctx context.Context, next http.Handler, config map[string]any, name string) (http.Handler, error) {
	value, err := p.Config(config)
	if err != nil {
		return nil, err
	}
	results := p.fnNew.Call([]reflect.Value{reflect.ValueOf(ctx), reflect.ValueOf(next), value, reflect.ValueOf(name)})
	if len(results) > 1 && results[1].Interface() != nil {
		err, ok := results[1].Interface().(error)
		if !ok {
			return nil, fmt.Errorf("New returns a %T for its error", results[1].Interface())
		}
		return nil, err
	}
	handler, ok := results[0].Interface().(http.Handler)
	if !ok {
		return nil, fmt.Errorf("New returns a %T, which is no http.Handler", results[0].Interface())
	}
	return handler, nil
}

// Handler is New for tests that expect it to work.
func (p *Plugin) Handler(t testing.TB, next http.Handler, config map[string]any) http.Handler {
	t.Helper()
	handler, err := p.New(t.Context(), next, config, "gray@test")
	require.NoError(t, err)
	return handler
}
