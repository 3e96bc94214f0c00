package live

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// compileText takes documents such as "v1 v2": the versions, stable first; "bad" is refused.
func compileText(document []byte) (*Policy, error) {
	text := string(document)
	if text == "bad" {
		return nil, errors.New("bad document")
	}
	if text == "panic" {
		panic("compile")
	}
	names := strings.Fields(text)
	return &Policy{Value: text, Service: "s", Stable: names[0], Versions: names}, nil
}

type recorder struct {
	mu    sync.Mutex
	views []*View
	log   bytes.Buffer
}

func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.Write(p)
}

func (r *recorder) last() *View {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.views[len(r.views)-1]
}

func use(t *testing.T, c Config) (*User, *recorder) {
	t.Helper()
	r := &recorder{}
	c.Compile = compileText
	c.Notify = func(v *View) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.views = append(r.views, v)
	}
	c.Logger = slog.New(slog.NewTextHandler(r, nil))
	u, err := Use(c)
	require.NoError(t, err)
	t.Cleanup(u.Release)
	return u, r
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, 10*time.Second, time.Millisecond, what)
}

func put(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path+".new", []byte(text), 0o600))
	require.NoError(t, os.Rename(path+".new", path))
}

func text(v *View) string {
	if v.Policy == nil {
		return ""
	}
	return v.Policy.Value.(string)
}

func TestUseErrors(t *testing.T) {
	_, err := Use(Config{URL: "file:///x"})
	require.ErrorContains(t, err, "Compile and Notify are required")
	_, err = Use(Config{URL: "ftp://x", Compile: compileText, Notify: func(*View) {}})
	require.ErrorContains(t, err, `unknown scheme "ftp"`)
}

func TestBadDocumentsNeverReplaceGoodOnes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p")
	put(t, path, "v1 v2")
	u, r := use(t, Config{URL: "file://" + path + "?interval=10ms"})
	<-u.Ready
	require.Equal(t, "v1 v2", text(r.last()))
	for _, bad := range []string{"bad", "panic"} {
		put(t, path, bad)
		eventually(t, bad, func() bool {
			s := u.State()
			return s.Rejected != nil && strings.Contains(s.Rejected.Error, map[string]string{"bad": "bad document", "panic": "internal error: compile"}[bad])
		})
		require.Equal(t, "v1 v2", text(r.last()))
	}
	require.NoError(t, os.Remove(path))
	eventually(t, "deleted", func() bool { return u.State().Deleted })
	require.Equal(t, "v1 v2", text(r.last()))
	put(t, path, "v1 v2")
	eventually(t, "back", func() bool { s := u.State(); return !s.Deleted && s.Rejected == nil })
	require.EqualValues(t, 1, u.State().Updates, "the same document is not put in force twice")
	require.EqualValues(t, 2, u.State().Rejections)
}

func TestSwitch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p")
	cache := filepath.Join(t.TempDir(), "cache")
	put(t, path, "v1 v2")
	config := Config{URL: "file://" + path + "?interval=10ms", CacheDir: cache}
	u, r := use(t, config)
	<-u.Ready
	note := func(part string) {
		t.Helper()
		eventually(t, part, func() bool { return strings.Contains(u.State().SwitchNote, part) })
	}
	force := func(version string) {
		t.Helper()
		eventually(t, "force "+version, func() bool { return r.last().Force == version })
	}
	put(t, path+".switch", `{"epoch": 3, "to": "v2"}`)
	force("v2")
	put(t, path+".switch", `{"epoch": 3, "to": "v1"}`)
	note("epoch 3 was seen with another version: use 4 or more")
	put(t, path+".switch", `{"epoch": 2, "to": ""}`)
	note("epoch 2 is older than 3")
	put(t, path+".switch", `{"epoch": 4, "too": "v1"}`)
	note(`unknown field "too"`)
	require.NoError(t, os.Remove(path+".switch"))
	eventually(t, "note gone", func() bool { return u.State().SwitchNote == "" })
	require.Equal(t, "v2", r.last().Force, "a switch ends by a newer one, not by deleting it")

	// A version that comes with a later document.
	put(t, path+".switch", `{"epoch": 5, "to": "v3"}`)
	note(`no version "v3", only v1, v2`)
	put(t, path, "v1 v2 v3")
	force("v3")
	// A version that goes: stable.
	put(t, path, "v1 v2")
	force("v1")
	note(`no version "v3": everything goes to v1`)

	// After a restart with the switch gone from the source, epochs still only grow.
	require.NoError(t, os.Remove(path+".switch"))
	u.Release()
	config.Variant = "another process"
	u, r = use(t, config)
	require.Equal(t, "v1", r.last().Force)
	require.EqualValues(t, 5, u.State().Switch.Epoch)
	put(t, path+".switch", `{"epoch": 4, "to": ""}`)
	note("epoch 4 is older than 5")
	put(t, path+".switch", `{"epoch": 6, "to": ""}`)
	force("")
	require.Zero(t, strings.Count(r.log.String(), "internal error"))
}

// A gateway that starts sees the same switch as one that runs: no view without it comes first, and what is refused there is refused here.
func TestSwitchAtStart(t *testing.T) {
	for _, scheme := range []string{"file", "http"} {
		t.Run(scheme, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "p")
			url := "file://" + path + "?interval=10ms"
			if scheme == "http" {
				server := httptest.NewServer(http.FileServer(http.Dir(filepath.Dir(path))))
				defer server.Close()
				url = server.URL + "/p#interval=50ms"
			}
			put(t, path, "v1 v2")
			put(t, path+".switch", `{"epoch": 1, "to": "v2"}`)
			u, r := use(t, Config{URL: url})
			<-u.Ready
			require.Equal(t, "v2", r.views[1].Force, "with the document, not after it")
			require.Len(t, r.views, 2)
			u.Release()

			put(t, path+".switch", `{"epoch": 5, "to": "v22"}`)
			u, r = use(t, Config{URL: url, Variant: "started later"})
			eventually(t, "refused", func() bool { return strings.Contains(u.State().SwitchNote, `no version "v22"`) })
			require.Empty(t, r.last().Force)
			put(t, path+".switch", `{"epoch": 5, "to": "v2"}`)
			eventually(t, "the same epoch is free", func() bool { return r.last().Force == "v2" })
		})
	}
}

// The policy in a gateway's own configuration needs nothing but its instances from the disk, which other services share.
func TestFixedDocuments(t *testing.T) {
	cache := t.TempDir()
	for _, document := range []string{"a1 a2", "b1 b2", "a1 a2 a3"} {
		u, r := use(t, Config{Document: []byte(document), Service: document[:1], CacheDir: cache})
		require.Equal(t, document, text(r.last()))
		require.Len(t, r.views, 1)
		u.Release()
	}
	files, err := filepath.Glob(cache + "/*")
	require.NoError(t, err)
	require.Empty(t, files)

	_, err = Use(Config{Document: []byte("bad"), Service: "s", Compile: compileText, Notify: func(*View) {}})
	require.ErrorContains(t, err, "bad document")
	_, err = Use(Config{Document: []byte("bad"), Service: "s", Compile: compileText, Notify: func(*View) {}})
	require.ErrorContains(t, err, "bad document", "the first try leaves nothing behind")
}

// An HTTP server may give every document the same ETag, a build's for instance.
func TestRefusedDocumentsAreKnownByWhatTheySay(t *testing.T) {
	var document atomic.Value
	document.Store("v1")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ".switch") {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("ETag", `"build-7"`)
		_, _ = io.WriteString(w, document.Load().(string))
	}))
	defer server.Close()
	u, r := use(t, Config{URL: server.URL + "/p#interval=50ms"})
	<-u.Ready
	document.Store("bad")
	eventually(t, "refused", func() bool { return u.State().Rejected != nil })
	document.Store("v1 v2")
	eventually(t, "accepted", func() bool { return text(r.last()) == "v1 v2" })
}

// A switch file that cannot be read is an error, and no reason to go without the document.
func TestUnreadableSwitch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p")
	put(t, path, "v1 v2")
	require.NoError(t, os.Mkdir(path+".switch", 0o700))
	u, r := use(t, Config{URL: "file://" + path + "?interval=10ms"})
	eventually(t, "in force", func() bool { return text(r.last()) == "v1 v2" })
	eventually(t, "told", func() bool { return strings.Contains(u.State().Error, "no regular file") })
}

// A gateway that reloads starts the new configuration before it lets go of the old one, whose lists must not be the last that are kept.
func TestKeptListsAreThoseOfTheNewConfiguration(t *testing.T) {
	registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if index := r.URL.Query().Get("index"); index != "" && index != "0" {
			<-r.Context().Done()
			return
		}
		w.Header().Set("X-Consul-Index", "7")
		_, _ = io.WriteString(w, `[{"Node":{"Address":"10.0.0.1"},"Service":{"Address":"10.0.0.1","Port":80}}]`)
	}))
	defer registry.Close()
	defer registry.CloseClientConnections()
	entry := "consul://" + strings.TrimPrefix(registry.URL, "http://") + "/"
	cache := t.TempDir()
	start := func(document string, entries map[string]string) *User {
		u, err := Use(Config{Document: []byte(document), Service: "shop", CacheDir: cache, Notify: func(*View) {}, Compile: func([]byte) (*Policy, error) {
			return &Policy{Service: "shop", Stable: "v1", Versions: []string{"v1", "v2"}, Discover: entries}, nil
		}})
		require.NoError(t, err)
		t.Cleanup(u.Release)
		return u
	}
	kept := func() string {
		files, err := filepath.Glob(cache + "/*.upstreams.json")
		require.NoError(t, err)
		if len(files) == 0 {
			return ""
		}
		data, err := os.ReadFile(files[0])
		require.NoError(t, err)
		return string(data)
	}
	before := start("before", map[string]string{"v1": entry + "one"})
	eventually(t, "one", func() bool { return strings.Contains(kept(), "/one") })
	after := start("after", map[string]string{"v1": entry + "one", "v2": entry + "two"})
	eventually(t, "two", func() bool { return strings.Contains(kept(), "/two") })
	before.Release()
	require.Contains(t, kept(), "/two")
	after.Release()
	require.Contains(t, kept(), "/two")
}

// A document that is being compiled when the last user goes has not been refused.
func TestLettingGoRefusesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p")
	put(t, path, "v1 v2")
	compiling, proceed := make(chan struct{}), make(chan struct{})
	var once sync.Once
	config := Config{URL: "file://" + path + "?interval=10ms", Notify: func(*View) {}, Compile: func(document []byte) (*Policy, error) {
		once.Do(func() { close(compiling) })
		<-proceed
		return compileText(document)
	}}
	u, err := Use(config)
	require.NoError(t, err)
	<-compiling
	released := make(chan struct{})
	go func() {
		u.Release()
		close(released)
	}()
	eventually(t, "let go", func() bool { return u.State().Users == 0 })
	close(proceed)
	<-released
	u, err = Use(config)
	require.NoError(t, err)
	defer u.Release()
	<-u.Ready
	require.Zero(t, u.State().Rejections)
}

func TestParseSwitch(t *testing.T) {
	s, err := ParseSwitch([]byte(` {"epoch": 7, "to": "v1", "reason": "r", "by": "b", "at": "a"} `))
	require.NoError(t, err)
	require.Equal(t, Switch{Epoch: 7, To: "v1", Reason: "r", By: "b", At: "a"}, s)
	for document, want := range map[string]string{
		``:                               "want {",
		`[]`:                             "want {",
		`{"epoch": 7}`:                   "to: want the version",
		`{"to": "v1"}`:                   "epoch: want a number",
		`{"epoch": 0, "to": ""}`:         "epoch: want a number",
		`{"epoch": 1.5, "to": ""}`:       "want {",
		`{"epoch": "7", "to": ""}`:       "want {",
		`{"epoch": 1, "to": ""} {}`:      "there is more",
		`{"epoch": 1, "to": "", "x": 1}`: "unknown field",
		`{"epoch": 1, "to": "` + strings.Repeat("x", 1025) + `"}`: "longer than 1024",
	} {
		_, err := ParseSwitch([]byte(document))
		require.ErrorContains(t, err, want, document)
	}
}

func FuzzParseSwitch(f *testing.F) {
	f.Add([]byte(`{"epoch": 7, "to": "v1"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if s, err := ParseSwitch(data); err == nil && s.Epoch < 1 {
			t.Fatal(s)
		}
	})
}

func TestKeptOnDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p")
	cache := filepath.Join(t.TempDir(), "cache")
	put(t, path, "v1 v2")
	config := Config{URL: "file://" + path + "?interval=10ms", CacheDir: cache}
	u, _ := use(t, config)
	<-u.Ready
	u.Release()
	files, err := filepath.Glob(cache + "/*")
	require.NoError(t, err)
	require.Len(t, files, 1, "nothing but the document: %v", files)
	info, err := os.Stat(files[0])
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	require.NoError(t, os.Remove(path))
	config.Variant = "another process"
	u, r := use(t, config)
	require.Equal(t, "v1 v2", text(r.views[0]), "at once, from Use")
	require.Equal(t, "kept", u.State().Origin)
	u.Release()

	// A kept file that was damaged is no worse than none.
	require.NoError(t, os.WriteFile(files[0], []byte("bad"), 0o600))
	require.NoError(t, os.WriteFile(strings.Replace(files[0], ".policy.", ".switch.", 1), []byte("bad"), 0o600))
	require.NoError(t, os.WriteFile(strings.Replace(files[0], ".policy.", ".upstreams.", 1), []byte("bad"), 0o600))
	config.Variant = "a third"
	u, r = use(t, config)
	require.Empty(t, text(r.last()))
	require.Equal(t, "none", u.State().Origin)
}

func TestUnwritableCacheIsNoReasonToFail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p")
	put(t, path, "v1 v2")
	u, r := use(t, Config{URL: "file://" + path + "?interval=10ms", CacheDir: filepath.Join(path, "in a file")})
	<-u.Ready
	require.Equal(t, "v1 v2", text(r.last()))
	eventually(t, "log", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return strings.Contains(r.log.String(), "cannot be kept on disk")
	})
}

// However many users there are, a source is watched once; 500 reloads leave nothing behind.
func TestUsersShareOneWatch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p")
	put(t, path, "v1 v2")
	config := Config{URL: "file://" + path + "?interval=10ms"}
	u, _ := use(t, config)
	<-u.Ready
	before := runtime.NumGoroutine()
	var users []*User
	for range 100 {
		more, r := use(t, config)
		require.Equal(t, "v1 v2", text(r.last()))
		users = append(users, more)
	}
	require.LessOrEqual(t, runtime.NumGoroutine(), before)
	require.Equal(t, 101, u.State().Users)
	for _, more := range users {
		more.Release()
		more.Release()
	}
	require.Equal(t, 1, u.State().Users)
	for range 500 { // the new configuration first, as Caddy does
		more, _ := use(t, config)
		u.Release()
		u = more
	}
	require.LessOrEqual(t, runtime.NumGoroutine(), before)
	for range 500 { // the old one first, as Traefik does: what was in force is still there
		u.Release()
		var r *recorder
		u, r = use(t, config)
		require.Equal(t, "v1 v2", text(r.views[0]))
	}
	require.Len(t, States(), 1)
	u.Release()
	require.Empty(t, States())
	goleak.VerifyNone(t)
}

func TestIdleServicesAreBounded(t *testing.T) {
	for i := range 3 * maxIdle {
		u, _ := use(t, Config{URL: "file:///none", Variant: fmt.Sprint(i)})
		u.Release()
	}
	registryLock.Lock()
	defer registryLock.Unlock()
	require.LessOrEqual(t, len(services), maxIdle)
	require.LessOrEqual(t, len(idle), maxIdle)
}

func TestReplacedPoliciesAreClosed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p")
	put(t, path, "one")
	var mu sync.Mutex
	open := map[string]bool{}
	u, err := Use(Config{URL: "file://" + path + "?interval=10ms", Notify: func(*View) {}, Compile: func(d []byte) (*Policy, error) {
		mu.Lock()
		defer mu.Unlock()
		name := string(d)
		open[name] = true
		return &Policy{Versions: []string{"v1"}, Stable: "v1", Close: func() {
			mu.Lock()
			defer mu.Unlock()
			delete(open, name)
		}, Discover: map[string]string{"v1": map[bool]string{true: "consul://127.0.0.1:1/web", false: "bad"}[name != "three"]}}, nil
	}})
	require.NoError(t, err)
	defer u.Release()
	<-u.Ready
	for _, name := range []string{"two", "three"} { // three is refused for its discovery URL
		put(t, path, name)
		eventually(t, name, func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(open) == 1 && open["two"]
		})
	}
	eventually(t, "refused", func() bool {
		s := u.State()
		return s.Rejected != nil && strings.Contains(s.Rejected.Error, "versions.v1.discover: address: want a URL")
	})
	u.Release()
	require.Empty(t, open)
}
