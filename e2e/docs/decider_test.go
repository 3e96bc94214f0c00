package docs

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/grayrelease/gray/decider"
	"github.com/grayrelease/gray/decider/kong"
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
	if heading == "Kong" {
		runKong(t, b)
		return
	}
	assert.Contains(t, testCode(t, "e2e/decider"), `"`+heading+`"`)
}

// runKong checks the plugin's part of a configuration of Kong's. There is no Kong to run.
func runKong(t *testing.T, b block) {
	var file struct {
		Services []struct {
			Plugins []struct {
				Name   string
				Config object
			}
		}
	}
	require.NoError(t, yaml.Unmarshal([]byte(b.text), &file))
	for _, service := range file.Services {
		require.Len(t, service.Plugins, 1)
		assert.Equal(t, "gray-kong", service.Plugins[0].Name)
		text, err := json.Marshal(service.Plugins[0].Config)
		require.NoError(t, err)
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.DisallowUnknownFields()
		type config kong.Config // without following the policy
		require.NoError(t, decoder.Decode(&config{}))
	}
}
