package source

import (
	"context"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/grayrelease/gray/internal/remote"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOpenErrors(t *testing.T) {
	for _, c := range []struct{ url, want string }{
		{"redis://h/k", `unknown scheme "redis": want one of consul, etcd, file, http, https, nacos`},
		{"etcd://h", "the key is missing"},
		{"consul://h/", "the key is missing"},
		{"nacos://h", "the dataId is missing"},
		{"nacos://h/d?api=v9", "option api: want auto, v1 or v3"},
		{"https://h", "the path is missing"},
		{"file://relative", "a file URL has no host"},
		{"etcd://h/k?tokn=s3cret", `etcd has no option "tokn"`},
		{"file:///f?interval=1ms", "option interval: want a duration of at least 10ms"},
	} {
		_, err := Open(c.url, nil)
		require.ErrorContains(t, err, c.want, c.url)
		require.NotContains(t, err.Error(), "s3cret")
	}
}

// watch gives the events of a source until the test ends.
func watch(t *testing.T, url string) <-chan Event {
	s, err := Open(url, nil)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	events := make(chan Event, 100)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Watch(ctx, func(e Event) {
			if !e.Contact {
				events <- e
			}
		})
	}()
	t.Cleanup(func() { cancel(); <-done })
	return events
}

func next(t *testing.T, events <-chan Event) Event {
	t.Helper()
	select {
	case e := <-events:
		return e
	case <-time.After(10 * time.Second):
		t.Fatal("no event")
		return Event{}
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p.json")
	write := func(text string) { require.NoError(t, os.WriteFile(path, []byte(text), 0o600)) }
	write("one")
	events := watch(t, "file://"+path+"?interval=10ms")
	e := next(t, events)
	require.Equal(t, Switch, e.Key, "the switch is read first, as it outranks the document")
	require.True(t, e.Missing)
	e = next(t, events)
	require.Equal(t, Rollout, e.Key)
	require.True(t, e.Missing)
	require.Equal(t, "one", string(next(t, events).Data))

	// In place, same length, within the granularity of times.
	for _, text := range []string{"two", "six", "ten"} {
		write(text)
		require.Equal(t, text, string(next(t, events).Data))
	}
	require.NoError(t, os.WriteFile(path+".switch", []byte("sw"), 0o600))
	e = next(t, events)
	require.Equal(t, Switch, e.Key)
	require.Equal(t, "sw", string(e.Data))

	require.NoError(t, os.Remove(path))
	require.True(t, next(t, events).Missing)
	require.NoError(t, os.Mkdir(path, 0o700))
	require.ErrorContains(t, next(t, events).Err, "is not a regular file")
	require.NoError(t, os.Remove(path))
	write(strings.Repeat("x", remote.MaxDocument+1))
	for {
		if e := next(t, events); e.Err != nil && strings.Contains(e.Err.Error(), "larger than") {
			return
		}
	}
}

// Kubernetes replaces a mounted ConfigMap by pointing the link ..data elsewhere.
func TestFileBehindLinks(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, name), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name, "p.json"), []byte("in "+name), 0o600))
	}
	require.NoError(t, os.Symlink("a", filepath.Join(dir, "..data")))
	require.NoError(t, os.Symlink("..data/p.json", filepath.Join(dir, "p.json")))
	events := watch(t, "file://"+filepath.Join(dir, "p.json")+"?interval=10ms")
	require.True(t, next(t, events).Missing, "the switch")
	require.True(t, next(t, events).Missing, "the rollout")
	require.Equal(t, "in a", string(next(t, events).Data))
	require.NoError(t, os.Symlink("b", filepath.Join(dir, "..tmp")))
	require.NoError(t, os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")))
	require.Equal(t, "in b", string(next(t, events).Data))
}

func TestWebSendsCredentialsAndReadsOnlyChanges(t *testing.T) {
	bodies := make(chan int, 1000)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer t0p" || r.URL.RawQuery != "v=1" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("ETag", `"same"`)
		if r.Header.Get("If-None-Match") == `"same"` {
			w.WriteHeader(http.StatusNotModified)
			bodies <- 0
			return
		}
		bodies <- 1
		_, _ = w.Write([]byte("doc " + r.URL.Path))
	}))
	defer s.Close()
	events := watch(t, s.URL+"/p.json?v=1#interval=50ms&token=t0p")
	e := next(t, events)
	require.Equal(t, Switch, e.Key, "the switch is read first, as it outranks the document")
	require.Equal(t, "doc /p.json.switch", string(e.Data))
	require.Equal(t, "doc /p.json.rollout", string(next(t, events).Data))
	e = next(t, events)
	require.Equal(t, "doc /p.json", string(e.Data))
	require.Equal(t, `"same"`, e.Revision)
	full := 0
	for range 6 {
		full += <-bodies
	}
	require.Equal(t, 3, full)
}

// A cache before the server may say that requests are held, as the server did, and answer at once.
func TestWebThatOnlySaysItHolds(t *testing.T) {
	var asked atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("Preference-Applied", "wait=55")
		_, _ = w.Write([]byte("doc"))
	}))
	defer s.Close()
	events := watch(t, s.URL+"/p.json#interval=100ms")
	next(t, events)
	next(t, events)
	time.Sleep(time.Second) // what is counted is what does not happen
	require.Less(t, asked.Load(), int64(50))
}

func TestWebErrors(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }))
	defer s.Close()
	e := next(t, watch(t, "http://ann:s3cret@"+strings.TrimPrefix(s.URL, "http://")+"/p?k=s3cret"))
	require.ErrorContains(t, e.Err, "answered 502")
	require.NotContains(t, e.Err.Error(), "s3cret")
}

func TestTLS(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("secure")) }))
	defer s.Close()
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600))
	require.ErrorContains(t, next(t, watch(t, s.URL+"/p")).Err, "certificate")
	require.Equal(t, "secure", string(next(t, watch(t, s.URL+"/p#ca_file="+ca)).Data))
	require.Equal(t, "secure", string(next(t, watch(t, s.URL+"/p#insecure_skip_verify=true")).Data))
	require.ErrorContains(t, next(t, watch(t, s.URL+"/p#server_name=other.example&ca_file="+ca)).Err, "other.example")
}
