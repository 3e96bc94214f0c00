package live

import (
	"fmt"
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
)

// fakeConsul lists instances by service, and answers blocking queries when they change.
type fakeConsul struct {
	*httptest.Server
	mu      sync.Mutex
	index   int
	lists   map[string]string
	changed chan struct{}
}

func newFakeConsul(t *testing.T) *fakeConsul {
	c := &fakeConsul{index: 1, lists: map[string]string{}, changed: make(chan struct{})}
	c.Server = httptest.NewServer(http.HandlerFunc(c.serve))
	t.Cleanup(c.Close)
	t.Cleanup(c.CloseClientConnections)
	return c
}

func (c *fakeConsul) serve(w http.ResponseWriter, r *http.Request) {
	for {
		c.mu.Lock()
		index, changed, list := fmt.Sprint(c.index), c.changed, c.lists[filepath.Base(r.URL.Path)]
		c.mu.Unlock()
		if r.URL.Query().Get("index") == index {
			select {
			case <-changed:
				continue
			case <-r.Context().Done():
				return
			}
		}
		w.Header().Set("X-Consul-Index", index)
		_, _ = io.WriteString(w, "["+list+"]")
		return
	}
}

func (c *fakeConsul) list(service string, addresses ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var entries []string
	for _, a := range addresses {
		entries = append(entries, fmt.Sprintf(`{"Service": {"Address": %q, "Port": 80}}`, a))
	}
	c.lists[service] = strings.Join(entries, ",")
	c.index++
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *fakeConsul) policy() string {
	url := "consul://" + strings.TrimPrefix(c.URL, "http://") + "/"
	return fmt.Sprintf(`{"service": "s", "stable": "v1", "versions": {"v1": {"discover": "%sone"}, "v2": {"discover": "%stwo"}}}`, url, url)
}

// A registry that lists nobody for a moment is no reason to answer nobody.
func TestStableKeepsItsLastInstances(t *testing.T) {
	registry := newFakeConsul(t)
	registry.list("one", "10.0.0.1")
	registry.list("two", "10.0.0.2")
	path := filepath.Join(t.TempDir(), "p")
	cache := t.TempDir()
	put(t, path, registry.policy())
	o := Options{Source: from("file://" + path + "?interval=10ms"), Cache: cache}
	h, r := open(t, o)
	lists := func(v1, v2 int) func() bool {
		return func() bool {
			u := h.Current().Upstreams
			_, known := u["v2"]
			return len(u["v1"]) == v1 && len(u["v2"]) == v2 && known
		}
	}
	eventually(t, "listed", lists(1, 1))
	registry.list("one")
	registry.list("two")
	eventually(t, "an empty canary is gone at once", lists(1, 0))
	eventually(t, "held", func() bool { return h.State().Upstreams["v1"].Held })
	require.True(t, h.Current().StableHeld)
	require.False(t, h.State().Upstreams["v2"].Held)
	eventually(t, "logged", func() bool { return r.said("the registry lists no instance of the stable version") })
	h.Close()

	h, _ = open(t, o)
	eventually(t, "held over a restart", func() bool { return h.Current().StableHeld })
	require.Equal(t, "http://10.0.0.1:80", h.Current().Upstreams["v1"][0].URL)
	registry.list("one", "10.0.0.3")
	eventually(t, "listed again", func() bool { return !h.Current().StableHeld })
	require.Equal(t, "http://10.0.0.3:80", h.Current().Upstreams["v1"][0].URL)
}

// Documents may begin with the mark that Windows' editors put before UTF-8.
func TestByteOrderMarks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p")
	put(t, path, "\xef\xbb\xbf"+policyText("v1 v2"))
	h, r := open(t, Options{Source: from("file://" + path + "?interval=10ms")})
	<-h.Ready()
	put(t, path+".switch", "\xef\xbb\xbf"+`{"epoch": 1, "to": "v2"}`)
	eventually(t, "forced", func() bool { return r.last().Overlay.Force == "v2" })
	put(t, path, "\xff\xfe{\x00}\x00")
	eventually(t, "refused", func() bool { return h.State().Rejected != nil })
	require.Contains(t, h.State().Rejected.Error, "UTF-16")
	put(t, path+".switch", "\xff\xfe{\x00}\x00")
	eventually(t, "refused", func() bool { return strings.Contains(h.State().SwitchNote, "UTF-16") })

	byFile, err := Open(Options{File: path + ".marked"})
	require.Error(t, err, "there is none")
	require.Nil(t, byFile)
	put(t, path+".marked", "\xef\xbb\xbf"+policyText("v1"))
	byFile, err = Open(Options{File: path + ".marked"})
	require.NoError(t, err)
	byFile.Close()
}

// A file that is written slowly, and whole in the end, was never wrong.
func TestSlowWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p")
	text := policyText("v1 v2")
	h, r := open(t, Options{Source: from("file://" + path + "?interval=10ms")})
	f, err := os.Create(path)
	require.NoError(t, err)
	defer f.Close()
	for len(text) > 0 {
		n := len(text)
		if n > 20 {
			n = 20
		}
		_, err := f.WriteString(text[:n])
		require.NoError(t, err)
		text = text[n:]
		time.Sleep(200 * time.Millisecond) // the writer's pace is what is tested
	}
	<-h.Ready()
	require.Zero(t, h.State().Rejections)
	require.False(t, r.said("refused"))
	require.NoError(t, os.WriteFile(path, []byte(`{"service": `), 0o600))
	eventually(t, "what stays half is refused", func() bool { return h.State().Rejected != nil })
}
