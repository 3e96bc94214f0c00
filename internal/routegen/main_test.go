package main

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFileIsCurrent(t *testing.T) {
	want, err := generate()
	require.NoError(t, err)
	have, err := os.ReadFile("../../core/ways_yaegi.go")
	require.NoError(t, err)
	require.Equal(t, string(want), string(have), "run `go generate ./core`")
}
