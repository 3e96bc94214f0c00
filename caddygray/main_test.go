package caddygray_test

import (
	"fmt"
	"os"
	"testing"
)

// TestMain keeps what outlives a Caddy out of the user's own data folder.
func TestMain(m *testing.M) {
	folder, err := os.MkdirTemp("", "gray-test-")
	if err == nil {
		err = os.Setenv("XDG_DATA_HOME", folder)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(folder)
	os.Exit(code)
}
