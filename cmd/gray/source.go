package main

import (
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/grayrelease/gray/rollout/store"
)

// envSource names the environment variable with the default source.
const envSource = "GRAY_SOURCE"

// withSource checks that a command gets n arguments, and perhaps a source after them.
func withSource(n int) cobra.PositionalArgs { return cobra.RangeArgs(n, n+1) }

// source returns the source that a command line names after n other arguments, or else the
// environment's.
func (p *program) source(args []string, n int) (*store.Store, error) {
	url := p.env(envSource)
	if len(args) > n {
		url = args[n]
	}
	if url == "" {
		return nil, usage("give the URL of the policy's source, or set %s (as in %s=etcd://10.0.0.9:2379/gray/shop)",
			envSource, envSource)
	}
	if !strings.Contains(url, "://") {
		path, err := filepath.Abs(url)
		if err != nil {
			return nil, away(err)
		}
		url = "file://" + path
	}
	s, err := store.Open(url, nil)
	if err != nil {
		return nil, usage("the source: %w", err)
	}
	return s, nil
}
