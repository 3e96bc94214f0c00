package serve

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/live"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// policy is a document with a rollout of these guards.
func policy(guards ...string) string {
	lines, _ := json.Marshal(guards)
	return fmt.Sprintf(`{"service": "shop", "stable": "v1", "versions": {"v1": {"upstreams": ["127.0.0.1:1"]},
		"v2": {"upstreams": ["127.0.0.1:2"]}}, "identity": ["header X-User"], "rules": [{"name": "ramp", "version": "v2"}],
		"rollout": {"rule": "ramp", "steps": ["5%% for 1h", "50%% for 1h", "100%%"], "guard": %s, "warmup": "0s",
			"queries": {"q": "failed{version=\"$version\"}[$window]"}}}`, lines)
}

// controller is a running server.
type controller struct {
	t *testing.T
	*Server
	end  context.CancelFunc
	once sync.Once
	err  chan error
	log  *lines
}

// lines keeps what is logged.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// start runs a controller. The configuration has neither the address nor the source of its service,
// which is a file.
func start(t *testing.T, document, more string) *controller {
	t.Helper()
	path := filepath.Join(t.TempDir(), "shop.json")
	require.NoError(t, os.WriteFile(path, []byte(document), 0o600))
	return startAt(t, path, more)
}

func startAt(t *testing.T, path, more string) *controller {
	t.Helper()
	config, err := ParseConfig([]byte("listen: 127.0.0.1:0\n" + strings.ReplaceAll(more, "SERVICE",
		"{service: shop, source: \"file://"+path+"?interval=10ms\"") + "\n"))
	require.NoError(t, err)
	c := &controller{t: t, err: make(chan error, 1), log: &lines{}}
	c.Server, err = New(config, slog.New(slog.NewTextHandler(c.log, nil)))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	c.end = cancel
	go func() { c.err <- c.Run(ctx) }()
	t.Cleanup(c.stop)
	return c
}

func (c *controller) stop() {
	c.once.Do(func() {
		c.end()
		require.NoError(c.t, <-c.err)
		http.DefaultClient.CloseIdleConnections()
	})
}

// call sends a request and returns the status and the body.
func (c *controller) call(method, path, body string, header ...string) (int, string) {
	c.t.Helper()
	status, text, _ := c.callFull(method, path, body, header...)
	return status, text
}

func (c *controller) callFull(method, path, body string, header ...string) (int, string, http.Header) {
	c.t.Helper()
	req, err := http.NewRequest(method, "http://"+c.Address()+path, strings.NewReader(body))
	require.NoError(c.t, err)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	require.NoError(c.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(c.t, err)
	return res.StatusCode, string(text), res.Header
}

func (c *controller) rollout() *live.RolloutStatus {
	c.t.Helper()
	status, text := c.call("GET", "/gray/v1/shop", "")
	require.Equal(c.t, 200, status, text)
	var s live.State
	require.NoError(c.t, json.Unmarshal([]byte(text), &s))
	if s.Rollout == nil {
		return &live.RolloutStatus{}
	}
	return s.Rollout
}

func (c *controller) await(what string, ok func(*live.RolloutStatus) bool) *live.RolloutStatus {
	c.t.Helper()
	var last *live.RolloutStatus
	require.Eventually(c.t, func() bool { last = c.rollout(); return ok(last) }, 20*time.Second, 5*time.Millisecond,
		what)
	return last
}

func (c *controller) awaitPhase(phase string) *live.RolloutStatus {
	c.t.Helper()
	return c.await(phase, func(s *live.RolloutStatus) bool { return s.Phase == phase })
}

// verdict is what a guard says now.
func verdict(s *live.RolloutStatus, guard string) core.RolloutVerdict {
	for _, v := range s.Guards {
		if v.Guard == guard {
			return v
		}
	}
	return core.RolloutVerdict{}
}
