package sources

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/traefik/yaegi/interp"
	"github.com/traefik/yaegi/stdlib"

	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/e2e/sources/gateway"
	"github.com/grayrelease/gray/e2e/yaegi"
)

type newGateway = func(url, cacheDir string, log io.Writer) (func(http.ResponseWriter, *http.Request),
	func(), func() string, error)

// modes are the two ways in which gateways run the code.
var modes = []struct {
	name string
	load func(t testing.TB) newGateway
}{
	{"compiled", func(testing.TB) newGateway { return gateway.New }},
	{"yaegi", interpreted},
}

// interpreted loads the gateway and its dependencies into an interpreter, from source, as Traefik
// does with plugins.
func interpreted(t testing.TB) newGateway {
	t.Helper()
	gopath := t.TempDir()
	root, err := yaegi.Install("../..", gopath)
	require.NoError(t, err)
	dir := filepath.Join(root, "e2e", "sources", "gateway")
	require.NoError(t, os.MkdirAll(dir, 0o755))
	text, err := os.ReadFile("gateway/gateway.go")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "gateway.go"), text, 0o644))

	i := interp.New(interp.Options{GoPath: gopath, Env: os.Environ(), BuildTags: []string{"yaegi"}})
	require.NoError(t, i.Use(stdlib.Symbols))
	_, err = i.Eval(`import "github.com/grayrelease/gray/e2e/sources/gateway"`)
	require.NoError(t, err)
	v, err := i.Eval("gateway.New")
	require.NoError(t, err)
	return v.Interface().(newGateway)
}

// host is a running gateway.
type host struct {
	t      testing.TB
	handle func(http.ResponseWriter, *http.Request)
	close  func()
	state  func() live.State
	log    *syncLog
}

func start(t testing.TB, load newGateway, url, cacheDir string) *host {
	t.Helper()
	h := &host{t: t, log: &syncLog{}}
	handle, closeFunc, state, err := load(url, cacheDir, h.log)
	require.NoError(t, err)
	var once sync.Once
	h.handle, h.close = handle, func() { once.Do(closeFunc) }
	h.state = func() live.State {
		var s live.State
		require.NoError(t, json.Unmarshal([]byte(state()), &s))
		return s
	}
	t.Cleanup(h.close)
	return h
}

// again returns the same folder for a gateway that shares nothing else with the others, as after a
// restart.
func again(folder string) string { return folder + "/." }

// get sends a request through the gateway.
func (h *host) get() *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.handle(w, httptest.NewRequest("GET", "/", nil))
	return w
}

func (h *host) version() string { return h.get().Header().Get("X-Version") }

// await waits until the gateway serves a version, and returns how long that took.
func (h *host) await(version string) time.Duration {
	h.t.Helper()
	began := time.Now()
	for h.version() != version {
		if time.Since(began) > patience {
			h.t.Fatalf("after %s the gateway serves %q instead of %q; state: %+v\n%s", patience, h.version(),
				version, h.state(), h.log)
		}
		time.Sleep(200 * time.Microsecond)
	}
	return time.Since(began)
}

// awaitState waits until the state is as wanted.
func (h *host) awaitState(what string, ok func(live.State) bool) {
	h.t.Helper()
	began := time.Now()
	for !ok(h.state()) {
		if time.Since(began) > patience {
			h.t.Fatalf("after %s the state is not: %s: %+v\n%s", patience, what, h.state(), h.log)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

const patience = 20 * time.Second

type syncLog struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *syncLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *syncLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
