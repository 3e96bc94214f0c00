package live

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// picky is a host that takes no policy with a certain version.
func picky(refuse string) func(*Current) error {
	return func(c *Current) error {
		if c.Engine != nil && has(versionsOf(c.Engine), refuse) {
			return errors.New("no")
		}
		return nil
	}
}

func TestLastGoodDocumentAfterARefuserHasLeft(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p")
	put(t, path, "v1 v2")
	o := Options{Source: from("file://" + path + "?interval=10ms"), Cache: t.TempDir()}
	oa, ob := o, o
	oa.Apply, ob.Apply = picky("xx"), picky("v3")
	ha, err := Open(oa)
	require.NoError(t, err)
	hb, err := Open(ob)
	require.NoError(t, err)
	<-ha.Ready()
	<-hb.Ready()
	put(t, path, "v1 v2 v3")
	eventually(t, "a has v3", func() bool { return text(ha.Current()) == "v1 v2 v3" && hb.State().Rejected != nil })
	hb.Close()
	ha.Close()
	require.NoError(t, os.Remove(path))
	h, _ := open(t, o)
	require.Equal(t, "v1 v2 v3", text(h.Current()))
}

func TestRefusedDocumentBringsNoSwitch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p")
	put(t, path, "v1 v2")
	h, err := Open(Options{Source: from("file://" + path + "?interval=10ms"), Apply: picky("v3")})
	require.NoError(t, err)
	defer h.Close()
	<-h.Ready()
	put(t, path+".switch", `{"epoch": 5, "to": "v3"}`)
	eventually(t, "waits", func() bool { return h.State().SwitchNote != "" })
	put(t, path, "v1 v2 v3")
	eventually(t, "refused", func() bool { return h.State().Rejected != nil })
	s := h.State()
	require.Nil(t, s.Switch, "forced %q, in force %q", s.Forced, h.Current().Overlay.Force)
}

func TestFailedOpenForgetsNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p")
	put(t, path, "v1 v2")
	put(t, path+".switch", `{"epoch": 9, "to": "v2"}`)
	o := Options{Source: from("file://" + path + "?interval=10ms")}
	h, _ := open(t, o)
	eventually(t, "forced", func() bool { return h.Current().Overlay.Force == "v2" })
	h.Close()
	bad := o
	bad.Apply = func(*Current) error { return errors.New("host is broken") }
	_, err := Open(bad)
	require.Error(t, err)
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.Remove(path+".switch"))
	again, _ := open(t, o)
	require.Equal(t, "v2", again.Current().Overlay.Force)
}

func TestAddressesWithoutAPolicy(t *testing.T) {
	h, _ := open(t, Options{Source: from("file:///nowhere/p")})
	require.NotPanics(t, func() { h.Current().Addresses("v1") })
}
