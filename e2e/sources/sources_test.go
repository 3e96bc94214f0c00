// Package sources holds the live policy against real servers, compiled and interpreted.
package sources

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/e2e/backends"
)

// document returns a policy that sends percent of the callers to v2. Service and rule both carry
// the mark, so that a mix of two documents would show.
func document(mark string, percent int) string {
	return fmt.Sprintf(`{"service": %q, "stable": "v1", "versions": {"v1": {}, "v2": {}},
		"rules": [{"name": %q, "version": "v2", "percent": %d}]}`, mark, mark, percent)
}

// Most tests wait, for servers that start and clients that notice, so several run at once.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "5"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// All events of a source, one after the other, under requests. None of the requests may fail. All
// that is tried with one server has keys of its own: servers take long to start.
func TestSource(t *testing.T) {
	t.Parallel()
	var loads []newGateway
	for _, mode := range modes {
		loads = append(loads, mode.load(t))
	}
	for _, each := range backends.All {
		t.Run(each.Name, func(t *testing.T) {
			t.Parallel()
			b := each.Start(t)
			for i, mode := range modes {
				t.Run(mode.name, func(t *testing.T) { story(t, b, loads[i], "gray-"+mode.name+".json") })
			}
			t.Run("two writers", func(t *testing.T) { twoWriters(t, b) })
			if each.Name == "nacos-3" {
				t.Run("is recognised", func(t *testing.T) { isRecognised(t, b, loads[0]) })
			}
		})
	}
}

func story(t *testing.T, b *backends.Backend, load newGateway, key string) {
	cache := t.TempDir()
	h := start(t, load, b.URL(key), cache)
	h.awaitState("the source has no document", func(s live.State) bool { return s.Deleted && s.Connected })
	require.Equal(t, "none", h.state().Origin)
	stop := requests(t, h)
	defer stop()

	b.Put(key, document("first", 0))
	h.await("v1")
	b.Put(key, document("second", 100))
	h.await("v2")
	require.Equal(t, "source", h.state().Origin)

	// The switch outranks the rules, ends by "to": "", and does not go back.
	b.Put(b.Switch(key), `{"epoch": 7, "to": "v1", "reason": "errors", "by": "ann", "at": "2025-05-01T10:00:00Z"}`)
	h.await("v1")
	require.Equal(t, "v1", h.state().Forced)
	b.Put(b.Switch(key), `{"epoch": 6, "to": ""}`)
	h.awaitState("an older epoch is refused", func(s live.State) bool {
		return strings.Contains(s.SwitchNote, "epoch 6 is older than 7")
	})
	require.Equal(t, "v1", h.version())
	b.Put(b.Switch(key), `{"epoch": 8, "to": ""}`)
	h.await("v2")
	b.Put(b.Switch(key), `{"epoch": 9, "to": "v9"}`)
	h.awaitState("an unknown version is refused", func(s live.State) bool {
		return strings.Contains(s.SwitchNote, `no version "v9"`)
	})
	require.Equal(t, "v2", h.version())

	// The document's own switch.
	b.Put(key, strings.Replace(document("third", 100), "{", `{"enabled": false, `, 1))
	h.await("v1")
	b.Put(key, document("fourth", 100))
	h.await("v2")

	// A bad document, also twice, is refused once.
	b.Put(key, `{"service": "bad"`)
	h.awaitState("refused", func(s live.State) bool { return s.Rejected != nil })
	require.Equal(t, "v2", h.version())
	b.Put(key, strings.Replace(document("worse", 0), `"stable"`, `"stabel"`, 1))
	h.awaitState("refused again", func(s live.State) bool {
		return s.Rejected != nil && strings.Contains(s.Rejected.Error, "stabel")
	})
	require.Equal(t, "v2", h.version())
	require.Equal(t, 2, strings.Count(h.log.String(), "policy refused"), h.log)

	b.Put(key, document("fifth", 0))
	h.await("v1")
	require.Nil(t, h.state().Rejected)

	b.Remove(key)
	h.awaitState("deleted", func(s live.State) bool { return s.Deleted })
	require.Equal(t, "fifth", h.get().Header().Get("X-Service"))
	b.Put(key, document("sixth", 100))
	h.await("v2")
	require.False(t, h.state().Deleted)

	if b.Relay != nil {
		b.Relay.Cut()
		b.Put(key, document("seventh", 0))
		h.await("v1")
		b.Put(key, document("eighth", 100))
		h.await("v2")
	}
	if b.Process != nil {
		awaitKept(t, cache, "eighth")
		b.Process.Kill()
		h.awaitState("not connected", func(s live.State) bool { return !s.Connected && s.Error != "" })
		require.Equal(t, "v2", h.version())

		// A gateway that starts now has the last good document and the switch.
		restarted := start(t, load, b.URL(key), again(cache))
		require.Equal(t, "v2", restarted.version())
		require.Equal(t, "kept", restarted.state().Origin)
		require.EqualValues(t, 8, restarted.state().Switch.Epoch)
		// One without either has nothing, and says so.
		bare := start(t, load, b.URL(key), "")
		require.Equal(t, "none", bare.version())
		bare.awaitState("nothing to go by", func(s live.State) bool { return s.Origin == "none" && s.Error != "" })

		b.Process.Start()
		h.awaitState("connected", func(s live.State) bool { return s.Connected })
		b.Put(key, document("ninth", 0))
		h.await("v1")
		restarted.await("v1")
		bare.await("v1")
		restarted.close()
		bare.close()
	}

	for i := range 1000 {
		b.Put(key, document(fmt.Sprintf("quick-%d", i), 100*(i%2)))
	}
	b.Put(key, document("last", 100))
	h.await("v2")
	h.awaitState("last", func(s live.State) bool { return s.Service == "last" })
	stop()

	if b.Relay != nil {
		now, most := b.Relay.Open()
		t.Logf("connections: %d now, %d at most; updates in force: %d", now, most, h.state().Updates)
		if b.Single { // between two requests there may be none
			require.LessOrEqual(t, now, 1)
		}
	}
}

// awaitKept waits until the document is on disk.
func awaitKept(t *testing.T, dir, mark string) {
	require.Eventually(t, func() bool {
		files, _ := filepath.Glob(filepath.Join(dir, "*.policy.json"))
		if len(files) != 1 {
			return false
		}
		text, err := os.ReadFile(files[0])
		return err == nil && strings.Contains(string(text), mark)
	}, 5*time.Second, 5*time.Millisecond)
}

// requests sends requests until it is stopped. Every answer must be 200, and all its parts must
// come from one document.
func requests(t *testing.T, h *host) (stop func()) {
	done := make(chan struct{})
	var group sync.WaitGroup
	group.Add(1)
	go func() {
		defer group.Done()
		for {
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond):
			}
			w := h.get()
			if rule := w.Header().Get("X-Rule"); w.Code != 200 || rule != "" && rule != w.Header().Get("X-Service") {
				t.Errorf("%d: rule %q of document %q", w.Code, rule, w.Header().Get("X-Service"))
				return
			}
		}
	}()
	var once sync.Once
	return func() { once.Do(func() { close(done); group.Wait() }) }
}
