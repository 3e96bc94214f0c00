package sources

import (
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
