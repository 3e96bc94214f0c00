package sources

import (
	"fmt"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/e2e/backends"
)

// What a gateway missed while it was away is found even when etcd has compacted it away.
func TestEtcdCompaction(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.name, func(t *testing.T) {
			b := backends.Etcd(t)
			base := "http://" + b.Relay.Target
			b.Put("compact", document("one", 0))
			h := start(t, mode.load(t), b.URL("compact"), "")
			h.await("v1")
			b.Relay.Hold(true)
			b.Relay.Cut()
			b.Put("compact", document("two", 0))
			b.Put("compact", document("three", 100))
			answer := backends.Post(t, base+"/v3/kv/range", map[string]any{"key": []byte("compact")})
			revision := answer["header"].(map[string]any)["revision"].(string)
			n, err := strconv.Atoi(revision)
			require.NoError(t, err)
			backends.Post(t, base+"/v3/kv/compaction", map[string]any{"revision": n, "physical": true})
			b.Relay.Hold(false)
			h.await("v2")
		})
	}
}

// A store that was restored from a backup is behind what gateways have seen. A rollback that is
// written then reaches those that were cut off from it meanwhile; an old copy is none.
func TestRollbackAfterARestoredBackup(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.name, func(t *testing.T) {
			b := backends.Etcd(t)
			flip := func(epoch int, to string) {
				b.Put(b.Switch("store"), fmt.Sprintf(`{"epoch": %d, "to": %q}`, epoch, to))
			}
			b.Put("store", document("one", 100))
			flip(4, "v1")
			h := start(t, mode.load(t), b.URL("store"), "")
			h.await("v1")
			early := b.BackUp(t)
			flip(5, "")
			h.await("v2")
			late := b.BackUp(t)
			flip(8, "v1")
			h.await("v1")
			flip(9, "")
			h.await("v2")
			cut := func(backup string, write func()) {
				b.Relay.Hold(true)
				b.Relay.Cut()
				b.Restore(t, backup)
				write()
				h.awaitState("away", func(s live.State) bool { return !s.Connected })
				b.Relay.Hold(false)
			}
			cut(late, func() { flip(6, "v1") })
			h.await("v1")
			require.Contains(t, h.state().SwitchNote, "use 10 or more to end it")
			flip(9, "v2")
			h.awaitState("away from stable", func(s live.State) bool { return s.SwitchOffered == 9 })
			require.Equal(t, "v1", h.version())
			flip(10, "")
			h.await("v2")
			cut(early, func() {})
			h.awaitState("an old copy", func(s live.State) bool { return s.Connected && s.SwitchOffered == 4 })
			require.Equal(t, "v2", h.version())
		})
	}
}

// A server that hangs, so that no connection ends and none answers, is noticed by the time limit.
func TestServerThatHangs(t *testing.T) {
	b := backends.Etcd(t)
	b.Put("hang", document("one", 0))
	h := start(t, modes[0].load(t), b.URL("hang")+"?timeout=300ms", "")
	h.await("v1")
	b.Process.Signal(syscall.SIGSTOP)
	b.Relay.Cut()
	h.awaitState("no answer", func(s live.State) bool { return !s.Connected && s.Error != "" })
	require.Equal(t, "v1", h.version())
	b.Process.Signal(syscall.SIGCONT)
	b.Put("hang", document("two", 100))
	h.await("v2")
}
