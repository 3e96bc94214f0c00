package live

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// bell rings after everything that was handled.
type bell struct {
	mu    sync.Mutex
	rings chan struct{}
}

var handledBell = &bell{rings: make(chan struct{})}

func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.rings)
	b.rings = make(chan struct{})
}

func (b *bell) next() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.rings
}

// eventually awaits what makes ok true. It looks again after everything that was handled.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	timeout := time.After(10 * time.Second)
	for {
		ring := handledBell.next()
		if ok() {
			return
		}
		select {
		case <-ring:
		case <-timeout:
			require.Fail(t, "it does not happen", what)
		}
	}
}

// fakeClock stands still until it is moved.
type fakeClock struct {
	mu     sync.Mutex
	time   time.Time
	timers []*fakeTimer
}

type fakeTimer struct {
	at   time.Time
	call func()
}

// stopClock has the package go by a clock that the test moves.
func stopClock(t *testing.T) *fakeClock {
	c := &fakeClock{time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	realNow, realAfter := now, after
	now = c.now
	after = c.after
	t.Cleanup(func() { now, after = realNow, realAfter })
	return c
}

func (c *fakeClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.time
}

func (c *fakeClock) after(d time.Duration, f func()) func() {
	c.mu.Lock()
	defer c.mu.Unlock()
	timer := &fakeTimer{c.time.Add(d), f}
	c.timers = append(c.timers, timer)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		timer.call = func() {}
	}
}

// move lets d pass, and calls what was due by then.
func (c *fakeClock) move(d time.Duration) {
	c.mu.Lock()
	c.time = c.time.Add(d)
	var due []func()
	var later []*fakeTimer
	for _, timer := range c.timers {
		if timer.at.After(c.time) {
			later = append(later, timer)
		} else {
			due = append(due, timer.call)
		}
	}
	c.timers = later
	c.mu.Unlock()
	for _, call := range due {
		call()
	}
}

func TestDiskIsWrittenNotTooOften(t *testing.T) {
	clock := stopClock(t)
	path := filepath.Join(t.TempDir(), "p")
	cache := t.TempDir()
	kept := func() string {
		files, err := filepath.Glob(cache + "/*.policy.json")
		require.NoError(t, err)
		if len(files) == 0 {
			return ""
		}
		data, err := os.ReadFile(files[0])
		require.NoError(t, err)
		return string(data)
	}
	put(t, path, "v1")
	h, r := open(t, Options{Source: from("file://" + path + "?interval=10ms"), Cache: cache})
	eventually(t, "the first one at once", func() bool { return kept() == policyText("v1") })
	for _, versions := range []string{"v1 v2", "v1 v2 v3"} {
		put(t, path, versions)
		eventually(t, versions, func() bool { return text(r.last()) == versions })
	}
	require.Equal(t, policyText("v1"), kept())
	clock.move(keepPause)
	require.Equal(t, policyText("v1 v2 v3"), kept(), "only the newest")
	require.Equal(t, keepPause.Seconds(), h.State().AgeSeconds)
}
