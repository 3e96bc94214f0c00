package traefik_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/e2e/traefik"
	"github.com/grayrelease/gray/internal/accesslog"
)

// What Traefik writes to its access log, in both formats, is read as the requests that it got.
func TestAccessLog(t *testing.T) {
	for format, want := range map[string]string{
		"json":   "Traefik JSON GET shop.example.com /cart?item=7 beta 200 127.0.0.1",
		"common": "common or combined GET  /cart?item=7  200 127.0.0.1",
	} {
		t.Run(format, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "access.log")
			g := traefik.Start(t, traefik.Options{
				Plugins: map[string]string{"empty": empty},
				Static: object{"accessLog": object{"filePath": file, "format": format,
					"fields": object{"headers": object{"defaultMode": "keep"}}}},
				Dynamic: dynamic(object{"shop": object{"rule": "Host(`shop.example.com`)", "service": "v1"}}, nil,
					object{"v1": server(upstream(t, "v1"))}),
			})
			req, err := http.NewRequest(http.MethodGet, g.URL+"/cart?item=7", nil)
			require.NoError(t, err)
			req.Host = "shop.example.com"
			req.Header.Set("X-App-Version", "beta")
			res, err := http.DefaultClient.Do(req)
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			var lines []string
			require.Eventually(t, func() bool {
				lines = requestsTo(t, file, "/cart")
				return len(lines) > 0
			}, time.Minute, 20*time.Millisecond)
			assert.Equal(t, []string{want}, lines)
		})
	}
}

// requestsTo are the requests of a log for a path, each in a line.
func requestsTo(t *testing.T, file, path string) []string {
	t.Helper()
	log, err := os.Open(file)
	if os.IsNotExist(err) {
		return nil
	}
	require.NoError(t, err)
	defer log.Close()
	var mu sync.Mutex
	var found []string
	err = accesslog.Scan(context.Background(), log, func() accesslog.Reader {
		var parser accesslog.Parser
		return func(line accesslog.Line) {
			r, err := parser.Parse(line.Text)
			if !assert.NoError(t, err, string(line.Text)) || !strings.HasPrefix(r.Request.URL.Path, path) {
				return
			}
			assert.False(t, r.Time.IsZero(), string(line.Text))
			mu.Lock()
			defer mu.Unlock()
			found = append(found, fmt.Sprint(r.Format, " ", r.Request.Method, " ", r.Request.Host, " ", r.Request.URL, " ",
				r.Request.Header.Get("X-App-Version"), " ", r.Status, " ", r.Client))
		}
	})
	require.NoError(t, err)
	return found
}
