package live

import (
	"bytes"
	"encoding/json"
	"errors"
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

	"github.com/grayrelease/gray/core"
)

func TestMain(m *testing.M) {
	handled = handledBell.ring
	goleak.VerifyTestMain(m)
}

// policyText is the policy document of versions, stable first: "v1 v2". Other text is a document
// that is not good.
func policyText(text string) string {
	names := strings.Fields(text)
	if len(names) == 0 || !strings.ContainsAny(names[0], "0123456789") || strings.Contains(text, "{") {
		return text
	}
	versions := map[string]core.Version{}
	for _, name := range names {
		versions[name] = core.Version{}
	}
	document, err := json.Marshal(core.Policy{Service: "s", Stable: names[0], Versions: versions})
	if err != nil {
		panic(err)
	}
	return string(document)
}

type recorder struct {
	mu    sync.Mutex
	views []*Current
	log   bytes.Buffer
}

func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.Write(p)
}

func (r *recorder) said(text string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Contains(r.log.String(), text)
}

func (r *recorder) last() *Current {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.views[len(r.views)-1]
}

func (r *recorder) view(i int) *Current {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.views[i]
}

// open opens a handle whose host takes everything but policies with the version "no", and panics at
// "panic1".
func open(t *testing.T, o Options) (*Handle, *recorder) {
	t.Helper()
	r := &recorder{}
	o.Apply = func(c *Current) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if c.Engine != nil && has(versionsOf(c.Engine), "no") {
			return errors.New("this host does not take it")
		}
		if c.Engine != nil && has(versionsOf(c.Engine), "panic1") {
			panic("apply")
		}
		r.views = append(r.views, c)
		return nil
	}
	o.Logger = slog.New(slog.NewTextHandler(r, nil))
	h, err := Open(o)
	require.NoError(t, err)
	t.Cleanup(h.Close)
	return h, r
}

func from(url string) *Source { return &Source{URL: url} }

var writes atomic.Int64

func put(t *testing.T, path, text string) {
	t.Helper()
	putDocument(t, path, policyText(text))
}

// putDocument writes a file as it would be had it been written a while ago: nobody waits for more.
func putDocument(t *testing.T, path, document string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path+".new", []byte(document), 0o600))
	writes.Add(1)
	old := time.Now().Add(time.Duration(writes.Load())*time.Millisecond - time.Hour)
	require.NoError(t, os.Chtimes(path+".new", old, old))
	require.NoError(t, os.Rename(path+".new", path))
}

func text(c *Current) string {
	if c.Engine == nil {
		return ""
	}
	return strings.Join(versionsOf(c.Engine), " ")
}

func TestOpenErrors(t *testing.T) {
	_, err := Open(Options{})
	require.ErrorContains(t, err, "a policy, the path of one, or a source is required")
	_, err = Open(Options{Source: from("ftp://x")})
	require.ErrorContains(t, err, `unknown scheme "ftp"`)
	_, err = Open(Options{File: "/nowhere/policy.json"})
	require.EqualError(t, err, "there is no folder /nowhere for the file policy.json")
}

// A source's first document is refused: the log says whose it is.
func TestRefusalNamesTheServiceFromTheFirst(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p")
	putDocument(t, path, `{"service": "shop", "stable": "v9", "versions": {"v1": {}}}`)
	h, r := open(t, Options{Source: from("file://" + path + "?interval=10ms")})
	eventually(t, "refused", func() bool { return h.State().Rejections == 1 })
	require.True(t, r.said(`msg="policy refused; there is none before it" service=shop source=`))
}

func TestBadDocumentsNeverReplaceGoodOnes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p")
	put(t, path, "v1 v2")
	u, r := open(t, Options{Source: from("file://" + path + "?interval=10ms")})
	<-u.Ready()
	require.Equal(t, "v1 v2", text(r.last()))
	for _, bad := range []string{"bad", "panic1", "v1 no"} {
		put(t, path, bad)
		eventually(t, bad, func() bool {
			s := u.State()
			return s.Rejected != nil && strings.Contains(s.Rejected.Error, map[string]string{"bad": "not valid JSON", "panic1": "internal error: apply", "v1 no": "does not take it"}[bad])
		})
		require.Equal(t, "v1 v2", text(r.last()))
	}
	require.NoError(t, os.Remove(path))
	eventually(t, "deleted", func() bool { return u.State().Deleted })
	require.Equal(t, "v1 v2", text(r.last()))
	put(t, path, "v1 v2")
	eventually(t, "back", func() bool { s := u.State(); return !s.Deleted && s.Rejected == nil })
	require.EqualValues(t, 1, u.State().Updates, "the same document is not put in force twice")
	require.EqualValues(t, 3, u.State().Rejections)
}

func TestSwitch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p")
	cache := filepath.Join(t.TempDir(), "cache")
	put(t, path, "v1 v2")
	config := Options{Source: from("file://" + path + "?interval=10ms"), Cache: cache}
	u, r := open(t, config)
	<-u.Ready()
	note := func(part string) {
		t.Helper()
		eventually(t, part, func() bool { return strings.Contains(u.State().SwitchNote, part) })
	}
	force := func(version string) {
		t.Helper()
		eventually(t, "force "+version, func() bool { return r.last().Overlay.Force == version })
	}
	put(t, path+".switch", `{"epoch": 3, "to": "v2"}`)
	force("v2")
	put(t, path+".switch", `{"epoch": 3, "to": ""}`)
	note("epoch 3 was seen with another version: use 4 or more")
	put(t, path+".switch", `{"epoch": 2, "to": ""}`)
	note("epoch 2 is older than 3")
	put(t, path+".switch", `{"epoch": 4, "too": "v1"}`)
	note(`too: unknown field (did you mean "to"?)`)
	require.NoError(t, os.Remove(path+".switch"))
	note("it was deleted, and is still in force: write one with epoch 4 or more")
	require.True(t, u.State().SwitchDeleted)
	eventually(t, "logged", func() bool { return r.said("kill switch was deleted from its source; it is still in force") })
	require.Equal(t, "v2", r.last().Overlay.Force, "a switch ends by a newer one, not by deleting it")

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
	u.Close()
	config.Cache += "/."
	u, r = open(t, config)
	require.Equal(t, "v1", r.last().Overlay.Force)
	require.EqualValues(t, 5, u.State().Switch.Epoch)
	eventually(t, "deleted, still in force", func() bool { return u.State().SwitchDeleted })
	put(t, path+".switch", `{"epoch": 4, "to": ""}`)
	note("epoch 4 is older than 5")
	put(t, path+".switch", `{"epoch": 6, "to": ""}`)
	force("")
	require.Zero(t, strings.Count(r.log.String(), "internal error"))
}

// A gateway that starts sees the same switch as one that runs: no view without it comes first, and
// what is refused there is refused here.
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
			u, r := open(t, Options{Source: from(url)})
			<-u.Ready()
			require.Equal(t, "v2", r.view(1).Overlay.Force, "with the document, not after it")
			require.Len(t, r.views, 2)
			u.Close()

			put(t, path+".switch", `{"epoch": 5, "to": "v22"}`)
			u, r = open(t, Options{Source: from(url), Cache: t.TempDir()})
			eventually(t, "refused", func() bool { return strings.Contains(u.State().SwitchNote, `no version "v22"`) })
			require.Empty(t, r.last().Overlay.Force)
			put(t, path+".switch", `{"epoch": 5, "to": "v2"}`)
			eventually(t, "the same epoch is free", func() bool { return r.last().Overlay.Force == "v2" })
		})
	}
}

// A policy in a gateway's own configuration needs nothing from the disk but its instances.
func TestPolicyInPlace(t *testing.T) {
	cache := t.TempDir()
	for _, versions := range []string{"a1 a2", "b1 b2", "a1 a2 a3"} {
		p, err := core.ParsePolicy([]byte(policyText(versions)))
		require.NoError(t, err)
		u, r := open(t, Options{Policy: p, Cache: cache})
		require.Equal(t, versions, text(r.last()))
		require.Len(t, r.views, 1)
		require.Equal(t, "configuration", u.Current().Origin)
		require.Len(t, u.Current().Revision, 12)
		u.Close()
		u.Close()
	}
	files, err := filepath.Glob(cache + "/*")
	require.NoError(t, err)
	require.Empty(t, files)
	for key := range watches {
		require.NotContains(t, key, cache, "nothing is remembered of it")
	}

	for range 2 { // the first try leaves nothing behind
		_, err = Open(Options{Policy: &core.Policy{Service: "s"}})
		require.ErrorContains(t, err, "stable: required")
	}
	_, err = Open(Options{Policy: &core.Policy{Service: "s", Stable: "v1", Versions: map[string]core.Version{"v1": {Discover: "consol://h/x"}}}})
	require.ErrorContains(t, err, `versions.v1.discover: unknown scheme "consol"`)
	refuse := func(*Current) error { return errors.New("not here") }
	_, err = Open(Options{Policy: &core.Policy{Service: "s", Stable: "v1", Versions: map[string]core.Version{"v1": {}}}, Apply: refuse})
	require.ErrorContains(t, err, "not here")
	goleak.VerifyNone(t)
}

// Handles of one source share its documents; each decides for itself which it takes.
func TestEachHandleHasItsOwnVerdict(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p")
	cache := t.TempDir()
	put(t, path, "v1 v2")
	source := from("file://" + path + "?interval=10ms")
	picky, _ := open(t, Options{Source: source, Cache: cache})
	<-picky.Ready()
	other := make(chan string, 10)
	taking, err := Open(Options{Source: source, Cache: cache, Apply: func(c *Current) error { other <- text(c); return nil }})
	require.NoError(t, err)
	defer taking.Close()
	require.Equal(t, "v1 v2", <-other)
	require.Same(t, picky.Current().Engine, taking.Current().Engine, "compiled once")

	put(t, path, "v1 no")
	require.Equal(t, "no v1", <-other)
	eventually(t, "refused", func() bool { return picky.State().Rejected != nil })
	require.Equal(t, "v1 v2", text(picky.Current()))
	require.Nil(t, taking.State().Rejected)
	third, r := open(t, Options{Source: source, Cache: cache})
	require.Equal(t, "v1 v2", text(r.last()), "a further one gets what all took")
	require.NotNil(t, third.State().Rejected)

	// The switch reaches both, each with the versions that it has.
	put(t, path+".switch", `{"epoch": 1, "to": "v2"}`)
	require.Equal(t, "no v1", <-other)
	eventually(t, "forced to stable", func() bool { return taking.Current().Overlay.Force == "v1" })
	eventually(t, "forced", func() bool { return picky.Current().Overlay.Force == "v2" })
	require.Contains(t, taking.State().SwitchNote, `no version "v2"`)

	foreign, err := Open(Options{Source: source, Cache: cache, Service: "other", Apply: func(c *Current) error {
		require.Nil(t, c.Engine)
		return nil
	}})
	require.NoError(t, err)
	defer foreign.Close()
	require.Contains(t, States()[0].Rejected.Error, `about "s", not "other"`)
}

// The journal has what the log has, and does not grow without a bound.
func TestJournal(t *testing.T) {
	var j journal
	for i := range 3 * maxEntries {
		j.add(time.Unix(int64(i), 0), strings.Repeat("x", 2*maxEntryText), []any{"n", i})
	}
	require.Len(t, j.list(), maxEntries)
	require.EqualValues(t, 3*maxEntries-1, j.list()[maxEntries-1].At.Unix())
	require.Less(t, len(j.list()[0].Text), maxEntryText+10)

	path := filepath.Join(t.TempDir(), "p")
	put(t, path, "v1 v2")
	u, _ := open(t, Options{Source: from("file://" + path + "?interval=10ms")})
	<-u.Ready()
	eventually(t, "in force", func() bool {
		entries := u.State().Journal
		return len(entries) > 0 && strings.HasPrefix(entries[len(entries)-1].Text, "policy in force revision=")
	})
}

// What serves before there is a document, and "off" beside a source, are overlays.
func TestPolicyBesideASource(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p")
	base, err := core.ParsePolicy([]byte(policyText("v1 v2")))
	require.NoError(t, err)
	source := from("file://" + path + "?interval=10ms")
	u, r := open(t, Options{Policy: base, Source: source, Cache: t.TempDir()})
	require.Equal(t, "v1", u.Current().Overlay.Force)
	require.Equal(t, "none", u.Current().Origin)
	put(t, path, "v1 v2 v3")
	eventually(t, "in force", func() bool { return text(r.last()) == "v1 v2 v3" })
	require.Empty(t, u.Current().Overlay.Force)
	require.Equal(t, "source", u.Current().Origin)

	off := false
	base.Enabled = &off
	put(t, path+".switch", `{"epoch": 1, "to": "v2"}`)
	u, r = open(t, Options{Policy: base, Source: source, Cache: t.TempDir()})
	eventually(t, "in force", func() bool { return text(r.last()) == "v1 v2 v3" })
	require.Equal(t, "v1", u.Current().Overlay.Force, "off outranks the switch")
	require.Contains(t, u.Current().Overlay.Reason, "says off")
}

// An HTTP server may give every document the same ETag, a build's for instance.
func TestRefusedDocumentsAreKnownByWhatTheySay(t *testing.T) {
	var document atomic.Value
	document.Store(policyText("v1"))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ".switch") {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("ETag", `"build-7"`)
		_, _ = io.WriteString(w, document.Load().(string))
	}))
	defer server.Close()
	u, r := open(t, Options{Source: from(server.URL + "/p#interval=50ms")})
	<-u.Ready()
	document.Store("bad")
	eventually(t, "refused", func() bool { return u.State().Rejected != nil })
	document.Store(policyText("v1 v2"))
	eventually(t, "accepted", func() bool { return text(r.last()) == "v1 v2" })
}

// A switch file that cannot be read is an error, and no reason to go without the document.
func TestUnreadableSwitch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p")
	put(t, path, "v1 v2")
	require.NoError(t, os.Mkdir(path+".switch", 0o700))
	u, r := open(t, Options{Source: from("file://" + path + "?interval=10ms")})
	eventually(t, "in force", func() bool { return text(r.last()) == "v1 v2" })
	eventually(t, "told", func() bool { return strings.Contains(u.State().Error, "not a regular file") })
}

// A gateway that reloads starts the new configuration before it lets go of the old one, whose lists
// must not be the last that are kept.
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
	start := func(entries map[string]string) *Handle {
		versions := map[string]core.Version{"v1": {}}
		for version, url := range entries {
			versions[version] = core.Version{Discover: url}
		}
		u, err := Open(Options{Policy: &core.Policy{Service: "shop", Stable: "v1", Versions: versions}, Cache: cache})
		require.NoError(t, err)
		t.Cleanup(u.Close)
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
	before := start(map[string]string{"v1": entry + "one"})
	eventually(t, "one", func() bool { return strings.Contains(kept(), "/one") })
	after := start(map[string]string{"v1": entry + "one", "v2": entry + "two"})
	eventually(t, "two", func() bool { return strings.Contains(kept(), "/two") })
	before.Close()
	require.Contains(t, kept(), "/two")
	after.Close()
	require.Contains(t, kept(), "/two")
}

// A document that is being applied when the last handle goes has not been refused.
func TestLettingGoRefusesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p")
	put(t, path, "v1 v2")
	applying, proceed := make(chan struct{}), make(chan struct{})
	var once sync.Once
	o := Options{Source: from("file://" + path + "?interval=10ms"), Apply: func(c *Current) error {
		if c.Engine != nil {
			once.Do(func() { close(applying) })
			<-proceed
		}
		return nil
	}}
	u, err := Open(o)
	require.NoError(t, err)
	<-applying
	closed := make(chan struct{})
	go func() {
		u.Close()
		close(closed)
	}()
	close(proceed)
	<-closed
	u, err = Open(o)
	require.NoError(t, err)
	defer u.Close()
	<-u.Ready()
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
		`{"to": "v1"}`:                   "epoch: want a number of 1 or more",
		`{"epoch": 0, "to": ""}`:         "epoch: want a number of 1 or more",
		`{"epoch": 1.5, "to": ""}`:       "want {",
		`{"epoch": "7", "to": ""}`:       "want {",
		`{"epoch": 1, "to": ""} {}`:      "after top-level value",
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
	config := Options{Source: from("file://" + path + "?interval=10ms"), Cache: cache}
	u, _ := open(t, config)
	<-u.Ready()
	u.Close()
	files, err := filepath.Glob(cache + "/*")
	require.NoError(t, err)
	require.Len(t, files, 1, "nothing but the document: %v", files)
	info, err := os.Stat(files[0])
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	require.NoError(t, os.Remove(path))
	config.Cache += "/."
	u, r := open(t, config)
	require.Equal(t, "v1 v2", text(r.view(0)), "at once, from Use")
	require.Equal(t, "kept", u.State().Origin)
	u.Close()

	// A kept file that was damaged is no worse than none.
	require.NoError(t, os.WriteFile(files[0], []byte("bad"), 0o600))
	require.NoError(t, os.WriteFile(strings.Replace(files[0], ".policy.", ".switch.", 1), []byte("bad"), 0o600))
	require.NoError(t, os.WriteFile(strings.Replace(files[0], ".policy.", ".upstreams.", 1), []byte("bad"), 0o600))
	config.Cache += "/."
	u, r = open(t, config)
	require.Empty(t, text(r.last()))
	require.Equal(t, "none", u.State().Origin)
}

func TestUnwritableCacheIsNoReasonToFail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p")
	put(t, path, "v1 v2")
	u, r := open(t, Options{Source: from("file://" + path + "?interval=10ms"), Cache: filepath.Join(path, "in a file")})
	<-u.Ready()
	require.Equal(t, "v1 v2", text(r.last()))
	eventually(t, "log", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return strings.Contains(r.log.String(), "cannot be kept on disk")
	})
}

// requireGoroutines wants no more goroutines than that. A timer that fires has one for a moment, so
// it looks again; require.Eventually would count its own.
func requireGoroutines(t *testing.T, most int) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for runtime.NumGoroutine() > most {
		require.True(t, time.Now().Before(deadline), "%d goroutines, not %d", runtime.NumGoroutine(), most)
		time.Sleep(time.Millisecond)
	}
}

// However many users there are, a source is watched once; 500 reloads leave nothing behind.
func TestUsersShareOneWatch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p")
	put(t, path, "v1 v2")
	config := Options{Source: from("file://" + path + "?interval=10ms")}
	u, _ := open(t, config)
	<-u.Ready()
	before := runtime.NumGoroutine()
	var users []*Handle
	for range 100 {
		more, r := open(t, config)
		require.Equal(t, "v1 v2", text(r.last()))
		users = append(users, more)
	}
	requireGoroutines(t, before)
	require.Equal(t, 101, u.State().Users)
	for _, more := range users {
		more.Close()
		more.Close()
	}
	require.Equal(t, 1, u.State().Users)
	for range 500 { // the new configuration first, as Caddy does
		more, _ := open(t, config)
		u.Close()
		u = more
	}
	requireGoroutines(t, before)
	for range 500 { // the old one first, as Traefik does: what was in force is still there
		u.Close()
		var r *recorder
		u, r = open(t, config)
		require.Equal(t, "v1 v2", text(r.view(0)))
	}
	require.Len(t, States(), 1)
	u.Close()
	require.Empty(t, States())
	goleak.VerifyNone(t)
}

func TestIdleServicesAreBounded(t *testing.T) {
	for range 3 * maxIdle {
		u, _ := open(t, Options{Source: from("file:///none"), Cache: t.TempDir()})
		u.Close()
	}
	registryLock.Lock()
	defer registryLock.Unlock()
	require.LessOrEqual(t, len(watches), maxIdle)
	require.LessOrEqual(t, len(idle), maxIdle)
}

// The keys of a replaced policy are not fetched any more, and those of a refused one never are.
func TestReplacedPoliciesAreClosed(t *testing.T) {
	var fetches sync.Map
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fetches.Store(r.URL.Path, true)
		_, _ = io.WriteString(w, `{"keys": []}`)
	}))
	defer keys.Close()
	document := func(name, discover string) string {
		return `{"service": "s", "stable": "v1", "versions": {"v1": {"discover": "` + discover + `"}},
			"jwt": {"jwks": "` + keys.URL + `/` + name + `", "plaintext": true}}`
	}
	path := filepath.Join(t.TempDir(), "p")
	put(t, path, document("one", "consul://127.0.0.1:1/web"))
	u, _ := open(t, Options{Source: from("file://" + path + "?interval=10ms")})
	<-u.Ready()
	first := u.watch.offered
	put(t, path, document("two", "consul://127.0.0.1:1/web"))
	eventually(t, "two", func() bool { _, fetched := fetches.Load("/two"); return fetched })
	put(t, path, document("three", "bad"))
	eventually(t, "refused", func() bool {
		s := u.State()
		return s.Rejected != nil && strings.Contains(s.Rejected.Error, "versions.v1.discover: want a URL")
	})
	_, fetched := fetches.Load("/three")
	require.False(t, fetched)
	require.Zero(t, first.holders)
}

// What is doubtful in a policy is logged once, when it comes into force, and is in the state as
// long as it is.
func TestWarnings(t *testing.T) {
	p := &core.Policy{
		Service: "warned", Stable: "v1", Versions: map[string]core.Version{"v1": {}, "v2": {}},
		Rules: []core.Rule{{Name: "everybody", Version: "v2"}},
	}
	first, r := open(t, Options{Policy: p})
	require.True(t, r.said(`msg="policy warning" service=warned source="configuration of warned" warning="rules[0]: rule`))
	_, again := open(t, Options{Policy: p})
	require.False(t, again.said("warning"))
	require.Len(t, first.State().Warnings, 1)
	require.Contains(t, first.State().Warnings[0], `rule "everybody" has neither conditions nor a percentage`)

	path := filepath.Join(t.TempDir(), "p")
	put(t, path, `{"service": "s", "stable": "v1", "versions": {"v1": {}}, "rules": [{"version": "v1"}]}`)
	h, r := open(t, Options{Source: from("file://" + path + "?interval=10ms")})
	<-h.Ready()
	eventually(t, "warned", func() bool { return r.said("policy warning") && len(h.State().Warnings) == 1 })
	put(t, path, `{"service": "s", "stable": "v1", "versions": {"v1": {}}}`)
	eventually(t, "none", func() bool { return len(h.State().Warnings) == 0 })
}
