package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The controller says what is wrong with its configuration, and runs until it is ended.
func TestServe(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	policy := write("shop.json", `{"service": "shop", "stable": "v1", "versions": {"v1": {}, "v2": {}},
		"rules": [{"name": "ramp", "version": "v2"}], 
		"rollout": {"rule": "ramp", "steps": ["5% for 1h", "100%"], "guard": ["errors"]}}`)
	good := write("good.yml",
		"listen: 127.0.0.1:0\nservices: [{service: shop, source: 'file://"+policy+"?interval=10ms'}]\n")
	s := &shell{t: t}
	assert.Equal(t, "the configuration is valid\n", s.ok("serve", "--config", good, "--check"))
	s.ok("serve", "--service", "shop", "--source", "file://"+policy, "--gateway", "http://127.0.0.1:2019",
		"--prometheus", "http://127.0.0.1:9090", "--check")

	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--config", write("bad.yml", "services: [{service: shop, sorce: x}]")}, exitNot,
			`did you mean "source"?`},
		{[]string{"--config", filepath.Join(dir, "none.yml")}, exitAway, "no such file"},
		{[]string{"--config", good, "--listen", "0.0.0.0:0"}, exitNot, "tokens: required"},
		{[]string{}, exitUsage, "config"},
		{[]string{"--service", "shop"}, exitUsage, "source"},
		{[]string{"--config", good, "--service", "shop", "--source", "x"}, exitUsage, "config"},
		{[]string{"--service", "shop", "--source", "file://" + policy, "--prometheus", "x"}, exitNot, "prometheus.url"},
		{[]string{"--config", good, "more"}, exitUsage, "more"},
	} {
		var out, err strings.Builder
		p := &program{in: strings.NewReader(""), out: &out, err: &err, env: func(string) string { return "" },
			isTerminal: func(any) bool { return false }}
		assert.Equal(t, c.code, p.run(context.Background(), append([]string{"serve"}, c.args...)), c.args)
		assert.Contains(t, err.String(), c.says)
	}

	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan int)
	go func() {
		p := &program{in: strings.NewReader(""), out: &strings.Builder{}, err: &strings.Builder{},
			env: func(string) string { return "" }, isTerminal: func(any) bool { return false }}
		ended <- p.run(ctx, []string{"serve", "--config", good})
	}()
	require.Eventually(t, func() bool {
		_, err := os.Stat(policy + ".rollout")
		return err == nil
	}, 10*time.Second, 5*time.Millisecond, "it begins the rollout")
	cancel()
	assert.Equal(t, exitDone, <-ended)
}
