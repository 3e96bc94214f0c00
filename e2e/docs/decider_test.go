package docs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/decider"
)

func isDecider(b block) bool {
	return b.language == "yaml" && b.file == "docs/decide.md" && (b.begins("listen:") || b.begins("services:"))
}

// runDecider has the decision server read its configuration.
func runDecider(t *testing.T, b block) {
	_, err := decider.ParseConfig([]byte(b.text))
	require.NoError(t, err)
}

// isGateway reports whether a block is a configuration of a gateway that asks.
func isGateway(b block) bool {
	return b.file == "docs/decide.md" && (b.language == "yaml" && (b.begins("admin:") || b.begins("#")) ||
		b.language == "nginx" || b.language == "haproxy" || b.language == "lua")
}

// runGateway checks that a test runs what is under the block's heading in the real gateway.
func runGateway(t *testing.T, b block) {
	page, err := os.ReadFile(filepath.Join(root, b.file))
	require.NoError(t, err)
	heading := ""
	for i, line := range strings.Split(string(page), "\n") {
		if name, found := strings.CutPrefix(line, "## "); found && i < b.line {
			heading = name
		}
	}
	assert.Contains(t, testCode(t, "e2e/decider"), `"`+heading+`"`)
}
