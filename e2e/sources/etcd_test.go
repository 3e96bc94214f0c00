package sources

import (
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core/live"
)

// What a gateway missed while it was away is found even when etcd has compacted it away.
func TestEtcdCompaction(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.name, func(t *testing.T) {
			b := etcdBackend(t)
			base := "http://" + b.relay.target
			b.put("compact", document("one", 0))
			h := start(t, mode.load(t), b.url("compact"), "", "")
			h.await("v1")
			b.relay.hold(true)
			b.relay.cut()
			b.put("compact", document("two", 0))
			b.put("compact", document("three", 100))
			answer := post(t, base+"/v3/kv/range", map[string]any{"key": []byte("compact")})
			revision := answer["header"].(map[string]any)["revision"].(string)
			n, err := strconv.Atoi(revision)
			require.NoError(t, err)
			post(t, base+"/v3/kv/compaction", map[string]any{"revision": n, "physical": true})
			b.relay.hold(false)
			h.await("v2")
		})
	}
}

// A server that hangs, so that no connection ends and none answers, is noticed by the time limit.
func TestServerThatHangs(t *testing.T) {
	b := etcdBackend(t)
	b.put("hang", document("one", 0))
	h := start(t, modes[0].load(t), b.url("hang")+"?timeout=300ms", "", "")
	h.await("v1")
	b.process.Signal(syscall.SIGSTOP)
	b.relay.cut()
	h.awaitState("no answer", func(s live.State) bool { return !s.Connected && s.Error != "" })
	require.Equal(t, "v1", h.version())
	b.process.Signal(syscall.SIGCONT)
	b.put("hang", document("two", 100))
	h.await("v2")
}
