package repo

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// layers lists what the packages of a folder may import of this module, and whether they may import
// anything besides the standard library. A package that no row covers is a new layer and needs a
// row.
var layers = []struct {
	folder  string
	imports []string // folders of this module, besides its own
	library bool     // only the standard library besides
}{
	{"core/problem", nil, true},
	{"core/allow", nil, true},
	{"core/plain", nil, true},
	{"core/jwt", []string{"core/allow", "core/plain", "core/problem"}, true},
	{"core/proxy", []string{"core/problem"}, true},
	{"core/source", []string{"core/problem", "internal/remote"}, true},
	{"core/discover", []string{"core/allow", "core/problem", "internal/remote"}, true},
	{"core/live", []string{"core", "core/allow", "core/problem", "core/source", "core/discover", "internal/remote"},
		true},
	{"core", []string{"core/allow", "core/plain", "core/problem", "core/jwt"}, true},
	{"internal/remote", []string{"core/allow", "core/plain", "core/problem"}, true},
	{"rollout/guard", []string{"core"}, true},
	{"rollout/forecast", []string{"core", "rollout", "rollout/guard"}, true},
	{"rollout/internal/simulate", []string{"rollout/forecast", "rollout/guard"}, true},
	{"rollout/store", []string{"core/problem", "core/source", "internal/remote"}, false},
	{"rollout/operate", []string{"core", "core/live", "core/problem", "core/source", "rollout", "rollout/store"},
		true},
	{"rollout/loop", []string{"core", "core/live", "core/source", "internal/remote", "rollout", "rollout/guard",
		"rollout/store"}, true},
	{"rollout/metrics", []string{"core/live", "rollout/guard"}, false},
	{"rollout/weights", []string{"core/problem", "decider/manifest", "decider/routes"}, false},
	{"rollout/serve", []string{"core", "core/live", "core/problem", "core/source", "internal/daemon",
		"internal/program", "internal/remote", "rollout", "rollout/api", "rollout/console", "rollout/guard",
		"rollout/loop", "rollout/metrics", "rollout/operate", "rollout/store", "rollout/weights"}, false},
	{"rollout/api", []string{"core", "core/jwt", "core/live", "core/problem", "internal/daemon", "internal/explain",
		"rollout", "rollout/loop", "rollout/operate"}, false},
	{"rollout/console", []string{"rollout/api"}, false},
	{"rollout", []string{"core", "core/problem", "rollout/guard"}, true},
	{"service/graygrpc", []string{"core", "core/allow", "core/problem", "service"}, false},
	{"service", []string{"core", "core/allow", "core/discover", "core/live", "core/problem", "core/proxy",
		"internal/remote"}, false},
	{"traefikgray", []string{"core", "core/problem", "core/jwt", "core/proxy", "core/source",
		"core/discover", "core/live"}, true},
	{"caddygray", []string{"core", "core/problem", "core/jwt", "core/proxy", "core/source",
		"core/discover", "core/live", "internal/daemon", "internal/explain", "internal/program", "rollout",
		"rollout/api", "rollout/console", "rollout/guard", "rollout/loop", "rollout/metrics", "rollout/operate",
		"rollout/store"}, false},
	{"cmd/gray", []string{"core", "core/allow", "core/problem", "core/live", "decider", "decider/gatewayapi",
		"decider/istio", "decider/manifest", "decider/routes", "internal/accesslog", "internal/explain",
		"rollout", "rollout/forecast", "rollout/guard", "rollout/loop", "rollout/operate", "rollout/serve",
		"rollout/store"}, false},
	{"decider/routes", []string{"core", "core/problem"}, true},
	{"decider/manifest", nil, false},
	{"decider/routestest", []string{"core"}, false},
	{"decider/gatewayapi", []string{"core", "core/problem", "decider/istio", "decider/manifest", "decider/routes"},
		false},
	{"decider/istio", []string{"core", "core/problem", "decider/manifest", "decider/routes"}, false},
	{"decider/exchange", []string{"core"}, true},
	{"decider/kong", []string{"core", "core/live", "decider/exchange"}, false},
	{"cmd/gray-kong", []string{"decider/kong"}, false},
	{"decider", []string{"core", "core/live", "core/problem", "core/proxy", "decider/exchange", "internal/daemon",
		"rollout/metrics"}, false},
	{"internal/accesslog", nil, false},
	{"internal/daemon", []string{"core", "core/problem"}, false},
	{"internal/explain", []string{"core"}, false},
	{"internal/caddysites", nil, false},
	{"internal/casetest", nil, true},
	{"internal/program", nil, true},
	{"internal/routegen", nil, true},
	{"examples/services", []string{"core/live", "service", "service/graygrpc"}, false},
	{"examples", []string{"core", "core/live", "core/proxy"}, true},
}

// Each layer imports only what is below it. The engine knows no source and no host, hosts share the
// core and not each other, and interpreted packages need only the standard library.
func TestLayers(t *testing.T) {
	format := `{{.ImportPath}}{{range .Imports}} {{.}}{{end}}`
	for _, tags := range []string{"", "yaegi"} {
		cmd := exec.Command("go", "list", "-tags="+tags, "-f", format, "./...")
		cmd.Dir = root
		out, err := cmd.Output()
		require.NoError(t, err)
		for line := range strings.Lines(string(out)) {
			fields := strings.Fields(line)
			folder := strings.TrimPrefix(fields[0], module+"/")
			for _, imported := range fields[1:] {
				assert.Empty(t, breach(folder, imported), "%s imports %s", folder, imported)
			}
		}
	}
}

// The engine reaches nothing outside of itself, however indirectly.
func TestEngineIsPure(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", "./core")
	cmd.Dir = root
	out, err := cmd.Output()
	require.NoError(t, err)
	for path := range strings.FieldsSeq(string(out)) {
		own, found := strings.CutPrefix(path, module+"/")
		if found {
			assert.Contains(t, []string{"core", "core/allow", "core/jwt", "core/plain", "core/problem"}, own)
		} else {
			assert.True(t, isStandard(path), path)
		}
	}
}

// breach says which rule an import breaks, "" if it breaks none.
func breach(folder, imported string) string {
	for _, layer := range layers {
		if folder != layer.folder && !strings.HasPrefix(folder, layer.folder+"/") {
			continue
		}
		own, isOwn := strings.CutPrefix(imported, module+"/")
		if !isOwn {
			if layer.library && !isStandard(imported) {
				return "only the standard library"
			}
			return ""
		}
		inside := strings.HasPrefix(own, layer.folder+"/") && layer.folder != "core" && layer.folder != "rollout"
		if own == layer.folder || inside {
			return ""
		}
		for _, allowed := range layer.imports {
			if own == allowed {
				return ""
			}
		}
		return "not a layer below " + layer.folder
	}
	return "no layer covers " + folder
}

// isStandard reports whether a package is the standard library's, or vendored in it.
func isStandard(path string) bool {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "vendor/"), "/")
	return !strings.Contains(first, ".") || strings.HasPrefix(path, "vendor/")
}

// A rule that nothing can break is none.
func TestBreachesAreFound(t *testing.T) {
	for _, c := range [][2]string{
		{"core", module + "/core/live"},
		{"core", module + "/core/discover"},
		{"core", module + "/internal/remote"},
		{"core", "github.com/caddyserver/caddy/v2"},
		{"core/live", module + "/rollout"},
		{"core/live", module + "/caddygray"},
		{"core/jwt", module + "/core"},
		{"rollout", module + "/rollout/store"},
		{"rollout", module + "/rollout/loop"},
		{"rollout/loop", module + "/caddygray"},
		{"rollout/serve", module + "/caddygray"},
		{"rollout/loop", module + "/rollout/serve"},
		{"decider", module + "/caddygray"},
		{"core/live", module + "/decider"},
		{"traefikgray", module + "/rollout/loop"},
		{"caddygray", module + "/traefikgray"},
		{"traefikgray", module + "/caddygray"},
		{"traefikgray", module + "/rollout"},
		{"traefikgray", "go.uber.org/zap"},
		{"internal/remote", "go.etcd.io/etcd"},
		{"service", module + "/caddygray"},
		{"service/graygrpc", module + "/internal/remote"},
		{"core/live", module + "/service"},
		{"novelty", "fmt"},
	} {
		assert.NotEmpty(t, breach(c[0], c[1]), "%s imports %s", c[0], c[1])
	}
	for _, c := range [][2]string{
		{"core", "net/http"},
		{"core/live", module + "/core"},
		{"caddygray/cmd/caddy", module + "/caddygray"},
		{"caddygray", "go.uber.org/zap"},
	} {
		assert.Empty(t, breach(c[0], c[1]), "%s imports %s", c[0], c[1])
	}
}
