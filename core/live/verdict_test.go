package live

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
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

func TestAddressesByWeight(t *testing.T) {
	h, err := Open(Options{Policy: &core.Policy{Service: "shop", Stable: "v1", Versions: map[string]core.Version{
		"v1": {Upstreams: []string{"10.0.0.1:8080 weight=3", "10.0.0.2:8080"}},
		"v2": {Upstreams: []string{"10.0.1.1:8080 weight=4", "10.0.1.2:8080 weight=2"}},
	}}})
	require.NoError(t, err)
	t.Cleanup(h.Close)
	require.Equal(t, []string{"10.0.0.1:8080", "10.0.0.1:8080", "10.0.0.1:8080", "10.0.0.2:8080"},
		h.Current().Addresses("v1"))
	require.Equal(t, []string{"10.0.1.1:8080", "10.0.1.1:8080", "10.0.1.2:8080"}, h.Current().Addresses("v2"))
}

// A document that every handle refuses takes neither the lists nor the revision of the one in
// force.
func TestRefusedDocumentTakesNothingFromTheOneInForce(t *testing.T) {
	registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("index") != "" {
			<-r.Context().Done()
			return
		}
		w.Header().Set("X-Consul-Index", "7")
		_, _ = io.WriteString(w, `[{"Node":{"Address":"10.0.0.1"},"Service":{"Address":"10.0.0.1","Port":80}}]`)
	}))
	t.Cleanup(registry.Close)
	t.Cleanup(registry.CloseClientConnections)
	entry := "consul://" + strings.TrimPrefix(registry.URL, "http://") + "/s"
	path := filepath.Join(t.TempDir(), "p")
	cache := t.TempDir()
	put(t, path, `{"service": "s", "stable": "v1", "versions": {"v1": {"discover": "`+entry+`"}}}`)
	o := Options{Source: from("file://" + path + "?interval=10ms"), Cache: cache, Apply: picky("v3")}
	h, err := Open(o)
	require.NoError(t, err)
	eventually(t, "listed", func() bool { return len(h.Current().Upstreams["v1"]) == 1 })
	good := h.Current().Revision
	put(t, path, "v1 v3")
	eventually(t, "refused", func() bool { return h.State().Rejected != nil })
	h.Close()
	files, err := filepath.Glob(cache + "/*.upstreams.json")
	require.NoError(t, err)
	require.Len(t, files, 1)
	data, err := os.ReadFile(files[0])
	require.NoError(t, err)
	require.Contains(t, string(data), "10.0.0.1")

	h, err = Open(o)
	require.NoError(t, err)
	defer h.Close()
	require.Equal(t, good, h.Current().Revision, "of what is in force, not of what was refused")
}

func TestServiceOfAFileAndOfASource(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p")
	put(t, path, "v1 v2")
	_, err := Open(Options{File: path, Service: "other"})
	require.ErrorContains(t, err, `service: the document is about "s", not "other"`)
	_, err = Open(Options{File: path, Service: "other", Source: from("file:///nowhere/p")})
	require.ErrorContains(t, err, `service: the policy beside the source is about "s", not "other"`)

	h, _ := open(t, Options{File: path, Source: from("file://" + path + "?interval=10ms")})
	<-h.Ready()
	put(t, path, `{"service": "x", "stable": "v1", "versions": {"v1": {}}}`)
	eventually(t, "refused", func() bool { return h.State().Rejected != nil })
	require.Contains(t, h.State().Rejected.Error, `about "x", not "s"`)
}
