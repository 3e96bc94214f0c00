package live

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// What is wrong with a switch is said with the epoch that would be taken.
func TestErrorsProposeTheNextEpoch(t *testing.T) {
	for document, want := range map[string]string{
		`{"epoc": 10}`:                `switch: want {"epoch": 10, "to": "v1"}: epoc: unknown field (did you mean "epoch"?)`,
		`{"epoch": "10", "to": "v1"}`: `switch: want {"epoch": 10, "to": "v1"}: epoch: must be a number, is the string "10"`,
		`epoch: 10`:                   `switch: want {"epoch": 10, "to": "v1"}: not valid JSON`,
		`{"to": "v1"}`:                "switch: epoch: want a number of 10 or more",
		`{"epoch": 0, "to": "v1"}`:    "switch: epoch: want a number of 10 or more",
		`{"epoch": 3, "to": "v2"}`:    "switch: epoch 3 is older than 9, which was seen: use 10 or more",
		`{"epoch": 9, "to": "v2"}`:    "switch: epoch 9 was seen with another version: use 10 or more",
	} {
		l := ledger{newest: Switch{Epoch: 9, To: "v1"}}
		_, err := l.take(offer{[]byte(document), false}, []string{"v1", "v2"}, "v1")
		require.ErrorContains(t, err, want, document)
		require.NotContains(t, err.Error(), "Go ")
	}
}

// A store that was restored from a backup is behind what gateways have seen.
func TestSafeDirectionWins(t *testing.T) {
	versions := []string{"v1", "v2"}
	for _, c := range []struct {
		what       string
		seen       Switch
		epoch      int64
		to         string
		written    bool
		force      string // afterwards
		note       string
		isRefused  bool
		isSwitched bool
	}{
		{"to stable, written now", Switch{Epoch: 9, To: "v2"}, 6, "v1", true, "v1", "use 10 or more to end it", false, true},
		{"after an ended switch", Switch{Epoch: 9}, 6, "v1", true, "v1", "use 10 or more to end it", false, true},
		{"a stale read", Switch{Epoch: 9, To: "v2"}, 6, "v1", false, "v2", "epoch 6 is older than 9", true, false},
		{"away from stable", Switch{Epoch: 9}, 6, "v2", true, "", "epoch 6 is older than 9", true, false},
		{"ending", Switch{Epoch: 9, To: "v2"}, 6, "", true, "v2", "epoch 6 is older than 9", true, false},
		{"in force already, read again", Switch{Epoch: 9, To: "v1"}, 6, "v1", false, "v1", "it is in force", false, false},
		{"the same epoch", Switch{Epoch: 9, To: "v2"}, 9, "v1", true, "v1", "use 10 or more to end it", false, true},
		{"the same epoch, which ended a switch", Switch{Epoch: 9}, 9, "v1", true, "v1", "use 10 or more to end it", false, true},
		{"the same epoch, a stale read", Switch{Epoch: 9}, 9, "v1", false, "", "was seen with another version", true, false},
		{"the same epoch, away from stable", Switch{Epoch: 9, To: "v1"}, 9, "v2", true, "v1", "was seen with another", true, false},
		{"the same epoch, ending", Switch{Epoch: 9, To: "v1"}, 9, "", true, "v1", "was seen with another version", true, false},
		{"the same switch again", Switch{Epoch: 9, To: "v1"}, 9, "v1", true, "v1", "", false, false},
		{"a higher epoch", Switch{Epoch: 9, To: "v2"}, 10, "", false, "", "", false, true},
	} {
		t.Run(c.what, func(t *testing.T) {
			l := ledger{newest: c.seen}
			data := fmt.Appendf(nil, `{"epoch": %d, "to": %q, "reason": "r"}`, c.epoch, c.to)
			switched, err := l.take(offer{data, c.written}, versions, "v1")
			require.Equal(t, c.isRefused, err != nil, err)
			require.Equal(t, c.isSwitched, switched != nil)
			require.Contains(t, l.note, c.note)
			require.Equal(t, c.force, l.newest.To)
			require.Equal(t, c.epoch, l.offered)
			require.GreaterOrEqual(t, l.newest.Epoch, c.seen.Epoch, "epochs only grow")
			if switched != nil {
				require.Equal(t, "r", switched.Reason)
				require.Equal(t, l.newest, *switched, "it is what the disk keeps")
			}
		})
	}
}

func TestRestoredBackup(t *testing.T) {
	path := t.TempDir() + "/p"
	cache := t.TempDir()
	put(t, path, "v1 v2")
	put(t, path+".switch", `{"epoch": 9, "to": "v2"}`)
	o := Options{Source: from("file://" + path + "?interval=10ms"), Cache: cache}
	h, r := open(t, o)
	eventually(t, "forced", func() bool { return r.last().Overlay.Force == "v2" })
	put(t, path+".switch", `{"epoch": 6, "to": "v1", "reason": "errors"}`)
	eventually(t, "rolled back", func() bool { return r.last().Overlay.Force == "v1" })
	state := h.State()
	require.EqualValues(t, 6, state.SwitchOffered)
	require.EqualValues(t, 9, state.Switch.Epoch)
	require.Contains(t, state.SwitchNote, "use 10 or more to end it")
	h.Close()

	again, _ := open(t, Options{Source: from("file://" + path + "?interval=20ms"), Cache: cache})
	eventually(t, "read", func() bool { return again.State().SwitchOffered == 6 })
	put(t, path+".switch", `{"epoch": 7, "to": ""}`)
	eventually(t, "refused", func() bool { return again.State().SwitchOffered == 7 })
}
