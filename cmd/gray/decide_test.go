package main

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The decision server says what is wrong with its configuration, and runs until it is ended.
func TestDecide(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	policy := write("shop.json", `{"service": "shop", "stable": "v1", "versions": {"v1": {}}}`)
	good := write("good.yml", "services: [{service: shop, source: 'file://"+policy+"?interval=10ms'}]\n")
	s := &shell{t: t}
	assert.Equal(t, "the configuration is valid\n", s.ok("decide", "--config", good, "--check"))
	s.ok("decide", "--service", "shop", "--source", "file://"+policy, "--grpc", "127.0.0.1:0", "--check")
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--config", write("bad.yml", "services: [{service: shop, sorce: x}]")}, exitNot, `did you mean "source"?`},
		{[]string{"--config", filepath.Join(dir, "none.yml")}, exitAway, "no such file"},
		{[]string{"--config", good, "--admin", "0.0.0.0:0"}, exitNot, "tokens: required"},
		{[]string{}, exitUsage, "config"},
		{[]string{"--service", "shop"}, exitUsage, "source"},
		{[]string{"--config", good, "--service", "shop", "--source", "x"}, exitUsage, "config"},
		{[]string{"--service", "shop", "--source", "x", "--listen", "127.0.0.1:0"}, exitNot, "source"},
	} {
		p, _, err := quiet()
		assert.Equal(t, c.code, p.run(context.Background(), append([]string{"decide"}, c.args...)), c.args)
		assert.Contains(t, err.String(), c.says)
	}

	ctx, cancel := context.WithCancel(context.Background())
	p, _, log := quiet()
	ended := make(chan int)
	go func() {
		ended <- p.run(ctx, []string{"decide", "--config", good, "--listen", "127.0.0.1:0", "--grpc", "127.0.0.1:0",
			"--admin", "127.0.0.1:0"})
	}()
	var address []string
	require.Eventually(t, func() bool {
		address = regexp.MustCompile(`msg=deciding address=(\S+)`).FindStringSubmatch(log.String())
		return address != nil
	}, 10*time.Second, 5*time.Millisecond)
	require.Eventually(t, func() bool {
		r, err := http.NewRequest("GET", "http://"+address[1]+"/decide", nil)
		require.NoError(t, err)
		r.Close = true
		for name, value := range map[string]string{"Method": "GET", "Proto": "http", "Host": "a", "Uri": "/",
			"For": "1.2.3.4"} {
			r.Header.Set("X-Forwarded-"+name, value)
		}
		res, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		res.Body.Close()
		return res.Header.Get("X-Gray-Version") == "v1"
	}, 10*time.Second, 5*time.Millisecond)
	cancel()
	assert.Equal(t, exitDone, <-ended)
}

// stream keeps what is written while it is read.
type stream struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *stream) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *stream) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// quiet returns a program whose output is kept.
func quiet() (p *program, out, err *stream) {
	out, err = &stream{}, &stream{}
	return &program{in: io.MultiReader(), out: out, err: err, env: func(string) string { return "" },
		isTerminal: func(any) bool { return false }}, out, err
}
