package live

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
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

// Versions that a document does not locate run where the policy beside the source says.
func TestAddressesBesideASource(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p")
	putDocument(t, path, `{"service": "s", "stable": "v1", "versions": {"v1": {}, "v2": {"upstreams": ["10.0.2.2:80"]},
		"v3": {"discover": "srv://127.0.0.1:1/x"}, "v4": {}}}`)
	h, _ := open(t, Options{
		Source: from("file://" + path + "?interval=10ms"),
		Policy: &core.Policy{Service: "s", Stable: "v1", Versions: map[string]core.Version{
			"v1": {Upstreams: []string{"10.0.1.1:80 weight=2", "10.0.1.2:80"}},
			"v2": {Upstreams: []string{"10.9.9.9:80"}}, "v3": {Upstreams: []string{"10.9.9.9:80"}},
		}},
	})
	<-h.Ready()
	c := h.Current()
	for version, want := range map[string][]string{
		"v1": {"10.0.1.1:80", "10.0.1.1:80", "10.0.1.2:80"}, "v2": {"10.0.2.2:80"}, "v3": nil, "v4": nil, "v5": nil,
	} {
		require.ElementsMatch(t, want, c.Addresses(version), version)
		require.Equal(t, want != nil || version == "v3", c.IsLocated(version), version)
	}

	_, err := Open(Options{
		Source: from("file://" + path),
		Policy: &core.Policy{Service: "s", Stable: "v1", Versions: map[string]core.Version{
			"v1": {}, "v2": {Discover: "srv://127.0.0.1:1/x"},
		}},
	})
	require.ErrorContains(t, err, "versions.v2.discover: beside a source, only upstreams count")
}

// A host that asks more of a policy than before has what is in force judged again.
func TestRecheck(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p")
	o := Options{Source: from("file://" + path + "?interval=10ms"), Policy: &core.Policy{Service: "s", Stable: "v1",
		Versions: map[string]core.Version{"v1": {}}}}
	for _, c := range []struct {
		name, first, second, refused, want string
		rejections                         uint64
	}{
		{"taken again", "v1 v2", "v1 v2", "v3", "v1 v2", 0},
		{"back to the policy beside the source", "v1 v2", "v1 v2", "v2", "v1", 1},
		{"back to what all took", "v1 v2", "v1 v3", "v3", "v1 v2", 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			put(t, path, c.first)
			other, one := o, o
			other.Apply = picky(c.refused)
			if c.first == c.second {
				other.Apply = picky("")
			}
			var refused atomic.Value
			refused.Store("")
			one.Apply = func(now *Current) error { return picky(refused.Load().(string))(now) }
			h, err := Open(one)
			require.NoError(t, err)
			defer h.Close()
			<-h.Ready()
			ho, err := Open(other)
			require.NoError(t, err)
			defer ho.Close()
			put(t, path, c.second)
			eventually(t, "the document is in force", func() bool { return text(h.Current()) == c.second })
			refused.Store(c.refused)
			require.NoError(t, h.Recheck())
			require.Equal(t, c.want, text(h.Current()))
			s := h.State()
			require.Equal(t, c.rejections, s.Rejections)
			require.Equal(t, c.rejections > 0, s.Rejected != nil)
		})
	}
	h, err := Open(Options{Policy: o.Policy, Apply: picky("")})
	require.NoError(t, err)
	defer h.Close()
	require.NoError(t, h.Recheck())
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
