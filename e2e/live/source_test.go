package live

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/e2e/backends"
)

// All events of a source, one after the other, under requests. None of the requests may fail.
func TestSource(t *testing.T) {
	t.Parallel()
	for _, backend := range backends.All {
		if testing.Short() && (backend.Name == "http-wait" || backend.Name == "nacos-3") {
			continue
		}
		t.Run(backend.Name, func(t *testing.T) {
			t.Parallel()
			b := backend.Start(t)
			for _, host := range gateways {
				ok := t.Run(host.name, func(t *testing.T) {
					s := &story{t: t, b: b, key: host.name + ".json", fleet: newFleet(t, "v1", "a", "b", "z")}
					s.settings = settings{source: b.URL(s.key), cache: t.TempDir(), fleet: s.fleet}
					s.start = func(with settings) *gateway { return host.start(t, with) }
					s.tell()
				})
				if !ok {
					break // the server may be down
				}
			}
		})
	}
}

type story struct {
	t        *testing.T
	b        *backends.Backend
	key      string
	fleet    *fleet
	settings settings
	start    func(settings) *gateway
	g        *gateway
}

func (s *story) put(version string, percent int) { s.b.Put(s.key, s.fleet.document(version, percent)) }

func (s *story) flip(epoch int, to string) {
	s.b.Put(s.b.Switch(s.key), fmt.Sprintf(`{"epoch": %d, "to": %q, "reason": "errors", "by": "ann"}`, epoch, to))
}

func (s *story) tell() {
	s.g = s.start(s.settings)
	s.g.await("v1")
	s.g.awaitState("no document yet", func(st live.State) bool { return st.Deleted && st.Origin == "none" })
	load := send(s.t, s.g, sameVersion)
	s.percentages()
	s.switches()
	s.badDocuments()
	s.deletion()
	s.cut()
	load.end()
	s.restart()
	load = send(s.t, s.g, sameVersion)
	s.burst()
	load.end()
}

func (s *story) percentages() {
	s.put("a", 0)
	s.g.awaitState("in force", func(st live.State) bool { return st.Origin == "source" })
	s.g.await("v1")
	s.put("a", 100)
	s.g.await("a")
	s.put("b", 100)
	s.g.await("b")

	s.put("a", 30)
	engine, err := core.Load([]byte(s.fleet.document("a", 30)))
	require.NoError(s.t, err)
	s.g.awaitState("30 %", func(st live.State) bool { return st.Updates >= 4 && st.Rejected == nil })
	for i := range 60 {
		user := fmt.Sprintf("u-%d", i)
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("X-User", user)
		version := core.Decide(engine, &core.Caller{Request: r}).Version
		for _, path := range s.g.paths {
			_, body := get(http.DefaultClient, s.g.url+path, user)
			require.Equal(s.t, answer(version, version), body, "%s as %s", path, user)
		}
	}
}

func (s *story) switches() {
	disabled := strings.Replace(s.fleet.document("a", 100), "{", `{"enabled": false, `, 1)
	s.put("a", 100)
	s.g.await("a")
	s.b.Put(s.key, disabled)
	s.g.await("v1")
	s.put("a", 100)
	s.g.await("a")

	s.flip(7, "v1")
	s.g.await("v1")
	state := s.g.awaitState("forced", func(st live.State) bool { return st.Forced == "v1" })
	require.Equal(s.t, "errors", state.Switch.Reason)
	s.flip(6, "")
	s.g.awaitState("an older epoch is refused", func(st live.State) bool {
		return strings.Contains(st.SwitchNote, "epoch 6 is older than 7")
	})
	s.g.await("v1")
	s.flip(8, "")
	s.g.await("a")
	s.put("a", 0)
	s.g.await("v1")
	s.flip(9, "a")
	s.g.await("a")
	s.flip(10, "")
	s.g.await("v1")
	s.put("a", 100)
	s.g.await("a")
}

func (s *story) badDocuments() {
	good := s.fleet.document("b", 100)
	bad := []struct{ document, problem string }{
		{`{"service": "shop"`, "unexpected end"},
		{strings.Replace(good, "stable", "stabel", 1), "stabel"},
		{strings.Replace(good, "shop", "other", 1), `about "other"`},
		{strings.Replace(good, s.fleet.url("b"), "ftp://10.0.0.1", 1), "versions.b.upstreams[0]"},
	}
	for _, each := range bad {
		s.b.Put(s.key, each.document)
		s.g.awaitState("refused", func(st live.State) bool {
			return st.Rejected != nil && strings.Contains(st.Rejected.Error, each.problem)
		})
		for _, path := range s.g.paths {
			want := "a"
			if path == "/header" && strings.Contains(each.document, "ftp:") {
				want = "b" // this mode forwards nothing itself: what only the others cannot use is good for it
			}
			s.g.awaitAt(path, answer(want, want))
		}
	}
	require.Equal(s.t, len(bad), strings.Count(s.g.log(), "policy refused"),
		"once for each revision:\n%s", tail(s.g.log()))
	s.put("b", 100)
	s.g.await("b")
	require.Nil(s.t, s.g.state().Rejected)
}

func (s *story) deletion() {
	s.b.Remove(s.key)
	s.g.awaitState("deleted", func(st live.State) bool { return st.Deleted })
	s.g.await("b")
	s.put("a", 100)
	s.g.await("a")
	require.False(s.t, s.g.state().Deleted)
}

func (s *story) cut() {
	if s.b.Relay == nil {
		return
	}
	s.b.Relay.Cut()
	s.put("b", 100)
	s.g.await("b")
	s.b.Relay.Cut()
	s.flip(11, "v1")
	s.g.await("v1")
	s.flip(12, "")
	s.g.await("b")
}

// restart takes the source down, and then the gateway.
func (s *story) restart() {
	s.put("a", 100)
	s.g.await("a")
	s.flip(20, "v1")
	s.g.await("v1")
	awaitKept(s.t, s.settings.cache, "policy", s.fleet.url("a"))
	awaitKept(s.t, s.settings.cache, "switch", `"epoch":20`)

	load := send(s.t, s.g, sameVersion)
	up := s.down()
	s.g.await("v1")
	s.ask(50)
	load.end()
	s.g.kill()
	s.g = s.start(s.settings)
	s.g.await("v1")
	state := s.g.awaitState("the source is down", func(st live.State) bool { return st.Error != "" || st.Deleted })
	require.Equal(s.t, "kept", state.Origin)
	require.Equal(s.t, "v1", state.Forced)
	require.EqualValues(s.t, 20, state.Switch.Epoch)

	// One that has neither the source nor a cache serves stable, and says so.
	empty := s.settings
	empty.cache = s.t.TempDir()
	bare := s.start(empty)
	bare.await("v1")
	bare.awaitState("nothing to go by", func(st live.State) bool {
		return st.Origin == "none" && (st.Error != "" || st.Deleted)
	})
	bare.kill()

	load = send(s.t, s.g, sameVersion)
	up()
	s.g.awaitState("connected", func(st live.State) bool { return st.Connected && st.Origin == "source" })
	s.g.await("v1")
	s.flip(21, "")
	s.g.await("a")
	load.end()
}

// down takes the source away in the way that its kind allows.
func (s *story) down() (up func()) {
	switch {
	case s.b.Process != nil:
		s.b.Process.Kill()
		up = s.b.Process.Start
	case s.b.Relay != nil:
		s.b.Relay.Hold(true)
		s.b.Relay.Cut()
		up = func() { s.b.Relay.Hold(false) }
	default:
		s.b.Remove(s.key)
		s.b.Remove(s.b.Switch(s.key))
		s.g.awaitState("deleted", func(st live.State) bool { return st.Deleted })
		return func() { s.put("a", 100) }
	}
	s.g.awaitState("not connected", func(st live.State) bool { return !st.Connected && st.Error != "" })
	return up
}

// burst changes the policy faster than anybody needs.
func (s *story) burst() {
	n := 1000
	if testing.Short() {
		n = 200
	}
	for i := range n {
		s.put([]string{"a", "b"}[i%2], 100)
		s.ask(1) // some writes take no time at all
	}
	s.put("z", 100)
	s.g.await("z")
	s.t.Logf("%d documents came into force", s.g.state().Updates)
}

// ask sends requests to each route, none of which may fail.
func (s *story) ask(times int) {
	for range times {
		for _, path := range s.g.paths {
			status, body := get(http.DefaultClient, s.g.url+path, "")
			require.Equal(s.t, http.StatusOK, status, "%s: %s", path, body)
			require.True(s.t, sameVersion(body), "%s: %s", path, body)
		}
	}
}

// awaitKept waits until a file of the cache holds a text.
func awaitKept(t *testing.T, folder, kind, text string) {
	t.Helper()
	require.Eventually(t, func() bool {
		files, _ := filepath.Glob(filepath.Join(folder, "*."+kind+".json"))
		if len(files) != 1 {
			return false
		}
		data, err := os.ReadFile(files[0])
		return err == nil && strings.Contains(string(data), text)
	}, patience, tick, "%s in %s", text, folder)
}
