package sources

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/e2e/backends"
)

// A hundred routes on one source need one connection and no more goroutines than one route. After
// the last route there are none.
func TestRoutesShareOneWatch(t *testing.T) {
	b := backends.Etcd(t)
	b.Put("shared", document("shared", 100))
	http.DefaultClient.CloseIdleConnections()
	for _, mode := range modes {
		t.Run(mode.name, func(t *testing.T) {
			load := mode.load(t)
			ignore := goleak.IgnoreCurrent()
			h := start(t, load, b.URL("shared"), "")
			h.await("v2")
			require.Eventually(t, func() bool { return watchers() == 1 }, patience, time.Millisecond)
			b.Relay.Open()
			var routes []*host
			for range 100 {
				routes = append(routes, start(t, load, b.URL("shared"), ""))
			}
			for range 500 { // reloads
				route := start(t, load, b.URL("shared"), "")
				require.Equal(t, "v2", route.version())
				route.close()
			}
			require.Equal(t, 601-500, h.state().Users)
			require.Equal(t, 1, watchers())
			now, most := b.Relay.Open()
			require.Equal(t, 1, now)
			require.Equal(t, 1, most)
			for _, route := range routes {
				route.close()
			}
			h.close()
			goleak.VerifyNone(t, ignore)
			h = start(t, load, b.URL("shared"), "")
			require.Equal(t, "v2", h.version(), "what was in force is remembered")
			h.awaitState("connected again", func(s live.State) bool { return s.Connected })
			h.close()
		})
	}
}

// watchers counts the goroutines that follow a source, but for those of the HTTP connection.
func watchers() int {
	text := make([]byte, 4<<20)
	text = text[:runtime.Stack(text, true)]
	n := 0
	for _, g := range strings.Split(string(text), "\n\n") {
		if strings.Contains(g, "remote.(*Etcd).Watch") || strings.Contains(g, "bufio.(*Scanner).Scan") &&
			strings.Contains(g, "yaegi") {
			n++
		}
	}
	return n
}

// Many sources in one process are followed at once, for as long as it takes to see one that is not.
func TestManySources(t *testing.T) {
	const sources, polls = 8, 300
	for _, mode := range modes {
		t.Run(mode.name, func(t *testing.T) {
			load, dir := mode.load(t), t.TempDir()
			path := func(i int) string { return filepath.Join(dir, fmt.Sprint(i)) }
			var hosts []*host
			for i := range sources {
				require.NoError(t, os.WriteFile(path(i), []byte(document("many", 100)), 0o600))
				hosts = append(hosts, start(t, load, "file://"+path(i)+"?interval=10ms", ""))
				hosts[i].await("v2")
			}
			time.Sleep(polls * 10 * time.Millisecond)
			for i := range sources {
				require.NoError(t, os.WriteFile(path(i)+".switch", []byte(`{"epoch": 1, "to": "v1"}`), 0o600))
			}
			for _, h := range hosts {
				h.await("v1")
			}
		})
	}
}
