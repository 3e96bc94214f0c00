package docs

import (
	"testing"

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
