package repo

import (
	"crypto/sha256"
	"encoding/binary"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

var (
	serviceNames = []*regexp.Regexp{
		regexp.MustCompile(`(?m)^\s*gray ([a-z][a-z0-9-]*) \{`),
		regexp.MustCompile(`"service": "([^"]+)"`),
		regexp.MustCompile(`(?m)^\s*service(?::| =) "?([a-z][a-z0-9-]*)"?$`),
		regexp.MustCompile(`(?m)plugin[./]gray[./]service:? ([a-z][a-z0-9-]*)$`),
	}
	percentages = regexp.MustCompile(`percent"?(?:: ?| = | )"?(?:\{\$GRAY_PERCENT:)?([0-9.]+)`)
)

// People try the examples from their own machine, without a cookie. The address that they come from
// must not be in a small percentage, or they would see the new version where the text says the old.
func TestLocalAddressesAreNotInSmallPercentages(t *testing.T) {
	texts := map[string]string{} // by example: its folder, or a document
	for _, path := range tracked(t) {
		switch {
		case strings.HasPrefix(path, "examples/") && !strings.HasSuffix(path, ".go"):
			texts[filepath.Dir(path)] += read(t, path) + "\n"
		case strings.HasPrefix(path, "docs/"), path == "README.md", path == ".traefik.yml":
			texts[path] = read(t, path)
		}
	}
	checked := map[string]bool{}
	for name, text := range texts {
		largest := 0.0
		for _, m := range percentages.FindAllStringSubmatch(text, -1) {
			percent, err := strconv.ParseFloat(m[1], 64)
			if assert.NoError(t, err, name) && percent <= 25 {
				largest = max(largest, percent)
			}
		}
		if largest == 0 {
			continue
		}
		services := map[string]bool{}
		for _, pattern := range serviceNames {
			for _, m := range pattern.FindAllStringSubmatch(text, -1) {
				services[m[1]] = true
			}
		}
		if name == "docs/jwt.md" || name == "docs/command.md" {
			services["shop"] = true // their policies are excerpts
		}
		assert.NotEmpty(t, services, "%s: a percentage of no service", name)
		checked[name] = true
		for service := range services {
			for _, address := range []string{"127.0.0.1", "::1"} {
				at := position(service+"/v2", address)
				assert.Greater(t, at, largest, "%s: %s is in %g %% of %s: take another name", name, address, largest, service)
			}
		}
	}
	for _, name := range []string{"README.md", "docs/policy.md", "docs/guide.md", "docs/traefik.md", "examples/quickstart",
		"examples/guide", "examples/caddy", "examples/traefik/file", "examples/traefik/docker", "examples/traefik/kv",
		"examples/traefik/kubernetes"} {
		assert.True(t, checked[name], "%s: no percentage found", name)
	}
}

// position is a caller's position between 0 and 100, as docs/policy.md describes it.
func position(salt, identity string) float64 {
	sum := sha256.Sum256([]byte(salt + "\x00" + identity))
	return float64(binary.BigEndian.Uint64(sum[:8])) / (1 << 32) / (1 << 32) * 100
}

func TestPosition(t *testing.T) {
	assert.InDelta(t, 52.9, position("shop/v2", "u-1001"), 0.05) // as docs/policy.md says
}
