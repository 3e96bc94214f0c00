package docs

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// packages are those that the documents' code may use, by name.
var packages = map[string]string{
	"context": "context", "fmt": "fmt", "http": "net/http", "httputil": "net/http/httputil", "log": "log",
	"slog": "log/slog", "url": "net/url", "atomic": "sync/atomic", "time": "time",
	"core": "github.com/grayrelease/gray/core", "live": "github.com/grayrelease/gray/core/live",
	"proxy":   "github.com/grayrelease/gray/core/proxy",
	"service": "github.com/grayrelease/gray/service", "graygrpc": "github.com/grayrelease/gray/service/graygrpc",
	"grpc": "google.golang.org/grpc", "insecure": "google.golang.org/grpc/credentials/insecure",
}

// given is what statements take for given.
const given = "ctx context.Context, document []byte, upstreams map[string]*url.URL, next http.Handler"

var qualifier = regexp.MustCompile(`\b([a-z]+)\.[A-Z]`)

// runGo compiles the block: a file as it is, declarations in a file, or statements in a function.
// What they make is a gateway.
func runGo(t *testing.T, b block) {
	code := b.text
	if !b.begins("package ") {
		imports := map[string]bool{}
		if !b.begins("func ") && !b.begins("type ") {
			code = "func block(" + given + ") error {\n" + code + "_ = gateway\nreturn nil\n}\n"
		}
		for _, m := range qualifier.FindAllStringSubmatch(code, -1) {
			if path, known := packages[m[1]]; known {
				imports[path] = true
			}
		}
		header := "package block\n\n"
		for path := range imports {
			header += fmt.Sprintf("import %q\n", path)
		}
		code = header + "\n" + code
	}
	compile(t, code)
}

// compile vets code as a package of this module that is nowhere but in an overlay.
func compile(t *testing.T, code string) {
	t.Helper()
	dir := t.TempDir()
	file, overlay := filepath.Join(dir, "block.go"), filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(file, []byte(code), 0o600))
	here, err := filepath.Abs("block")
	require.NoError(t, err)
	text, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(here, "block.go"): file}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(overlay, text, 0o600))
	output, err := exec.Command("go", "build", "-o", os.DevNull, "-overlay", overlay, "./block").CombinedOutput()
	require.NoError(t, err, "%s\n%s", code, output)
}
