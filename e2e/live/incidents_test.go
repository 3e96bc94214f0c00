package live

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/core/source"
	"github.com/grayrelease/gray/e2e/backends"
)

const secretVariable = "GRAY_E2E_SECRET"

// What goes wrong around policies: files from Windows, switches that are pruned, backups that are
// restored, registries that list nobody, documents by people who may not be trusted. All routes
// are those of one Caddy and one Traefik.
func TestIncidents(t *testing.T) {
	t.Setenv(secretVariable, "s3cret")
	f := newFleet(t, "v1", "v2")
	keys, mounts := t.TempDir(), t.TempDir()
	kept := map[string]*backends.Backend{
		"file": backends.File(t), "etcd": backends.Etcd(t), "consul": backends.Consul(t), "nacos": backends.Nacos(t),
	}
	certified := newSecured(t)
	routes := map[string]route{
		"certified": {source: certified.source()},
		"closed":    {source: kept["etcd"].URL("closed")},
		"listed":    {source: kept["etcd"].URL("listed"), allow: map[string][]string{"allow_hosts": {"*.example.com"}}},
		"open": {source: kept["etcd"].URL("open"), allow: map[string][]string{
			"allow_env": {secretVariable}, "allow_files": {keys}, "allow_hosts": {"localhost"}}},
	}
	for name, b := range kept {
		routes[name] = route{source: b.URL(name)}
		if b.Registry != nil {
			routes["at-"+name] = route{source: kept["file"].URL("at-" + name)}
		}
	}
	hasMounts := mounted(t, mounts, f)
	for _, name := range []string{"alone", "fixed"} {
		routes[name] = route{source: "file://" + filepath.Join(mounts, name, "user.json")}
	}
	gateways := startRouted(t, routes, f)
	on := func(t testing.TB, route string) *follower { return &follower{t, gateways, route} }

	t.Run("at once", func(t *testing.T) {
		for name, b := range kept {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				i := &incident{follower: on(t, name), b: b, fleet: f}
				i.marks()
				i.prunedSwitch()
				i.epochBehind()
				if name == "file" {
					i.slowWriter()
				}
			})
			if b.Registry != nil {
				t.Run("at "+name, func(t *testing.T) {
					t.Parallel()
					emptyRegistry(on(t, "at-"+name), kept["file"], b.Registry)
				})
			}
		}
		t.Run("certificates", func(t *testing.T) {
			t.Parallel()
			renewedCertificates(on(t, "certified"), certified, f)
		})
		t.Run("trust", func(t *testing.T) {
			t.Parallel()
			trust(t, kept["etcd"], keys, on)
		})
		t.Run("mounts", func(t *testing.T) {
			if !hasMounts {
				t.Skip("nothing can be mounted here")
			}
			t.Parallel()
			switchFiles(t, on, mounts, strings.TrimPrefix(kept["file"].URL("file.switch"), "file://"))
		})
	})
	t.Run("restored backup", func(t *testing.T) {
		i := &incident{follower: on(t, "etcd"), b: kept["etcd"], fleet: f}
		i.restoredBackup()
	})
}

// incident is what happens to one source.
type incident struct {
	*follower
	b     *backends.Backend
	fleet *fleet
}

func (i *incident) put(document string) { i.b.Put(i.route, document) }

func (i *incident) flip(epoch int, to string) {
	i.b.Put(i.b.Switch(i.route), fmt.Sprintf(`{"epoch": %d, "to": %q}`, epoch, to))
}

// policy sends everybody to v2.
func (i *incident) policy() string {
	return strings.Replace(i.fleet.document("v2", 100), "shop", i.route, 1)
}

// marks writes documents as editors and shells of Windows do.
func (i *incident) marks() {
	i.put("\ufeff" + i.policy())
	i.serves("v2")
	i.b.Put(i.b.Switch(i.route), "\ufeff"+`{"epoch": 1, "to": "v1"}`)
	i.serves("v1")
	i.put("service: " + i.route + "\nstable: v1\n")
	i.says("YAML is refused", func(s live.State) bool {
		return s.Rejected != nil && strings.Contains(s.Rejected.Error, "not valid JSON at line 1, column 1: ") &&
			strings.Contains(s.Rejected.Error, "documents are JSON, not YAML")
	})
	if i.route == "nacos" { // takes text only
		i.flip(2, "")
		i.serves("v2")
		return
	}
	i.put(utf16(i.policy()))
	i.says("UTF-16 is refused", func(s live.State) bool {
		return s.Rejected != nil && strings.Contains(s.Rejected.Error, "UTF-16")
	})
	i.b.Put(i.b.Switch(i.route), utf16(`{"epoch": 2, "to": ""}`))
	i.says("a switch in UTF-16 is refused", func(s live.State) bool { return strings.Contains(s.SwitchNote, "UTF-16") })
	i.serves("v1")
	i.flip(2, "")
	i.serves("v2")
}

// utf16 is an ASCII text as PowerShell's > writes it.
func utf16(text string) string {
	var b strings.Builder
	b.WriteString("\xff\xfe")
	for _, c := range []byte(text) {
		b.Write([]byte{c, 0})
	}
	return b.String()
}

// prunedSwitch deletes the switch that is in force.
func (i *incident) prunedSwitch() {
	i.flip(3, "v1")
	i.serves("v1")
	i.b.Remove(i.b.Switch(i.route))
	i.says("deleted", func(s live.State) bool {
		return s.SwitchDeleted && s.Forced == "v1" && strings.Contains(s.SwitchNote, "it was deleted, and is still in force")
	})
	i.logs("kill switch was deleted from its source; it is still in force")
	i.measures("source_switch_deleted", 1)
	i.serves("v1")
	i.flip(4, "")
	i.serves("v2")
	i.says("not deleted", func(s live.State) bool { return !s.SwitchDeleted })
	i.measures("source_switch_deleted", 0)
}

// epochBehind writes epochs lower than one that was seen. Only the safe direction counts.
func (i *incident) epochBehind() {
	i.flip(9, "")
	i.says("seen", func(s live.State) bool { return s.Switch.Epoch == 9 })
	i.flip(5, "v2")
	i.says("refused", func(s live.State) bool {
		return strings.Contains(s.SwitchNote, "epoch 5 is older than 9, which was seen: use 10 or more")
	})
	i.flip(6, "v1")
	i.serves("v1")
	i.says("in force", func(s live.State) bool {
		return s.Switch.Epoch == 9 && s.SwitchOffered == 6 && strings.Contains(s.SwitchNote, "use 10 or more to end it")
	})
	i.measures("source_switch_epoch_seen", 9)
	i.measures("source_switch_epoch_offered", 6)
	i.flip(7, "")
	i.says("refused", func(s live.State) bool { return strings.Contains(s.SwitchNote, "epoch 7 is older than 9") })
	i.serves("v1")
	i.flip(10, "")
	i.serves("v2")
}

// slowWriter writes a file in pieces. On a machine that is busy a piece may come so late that the
// file has settled, which shows nothing.
func (i *incident) slowWriter() {
	for range 5 {
		before := map[string]uint64{}
		for _, g := range i.gateways {
			before[g.name] = g.state(i.t, i.route).Rejections
		}
		pause := i.writeSlowly(strings.Replace(i.policy(), `"percent": 100`, `"percent": 0`, 1))
		i.serves("v1")
		if pause < 800*time.Millisecond {
			for _, g := range i.gateways {
				require.Equal(i.t, before[g.name], g.state(i.t, i.route).Rejections, g.name)
			}
			return
		}
		i.put(i.policy())
		i.serves("v2")
	}
	i.t.Log("this machine is too busy to write a file in time")
}

// writeSlowly returns the longest pause between two pieces.
func (i *incident) writeSlowly(text string) (longest time.Duration) {
	file, err := os.Create(strings.TrimPrefix(i.b.URL(i.route), "file://"))
	require.NoError(i.t, err)
	defer file.Close()
	last := time.Now()
	for len(text) > 0 {
		n := min(40, len(text))
		_, err := file.WriteString(text[:n])
		require.NoError(i.t, err)
		text = text[n:]
		longest = max(longest, time.Since(last))
		last = time.Now()
		time.Sleep(200 * time.Millisecond) // the writer's pace
	}
	return longest
}

// restoredBackup puts an etcd back to what it was some epochs before. The rollback is written while
// the gateways see the store, and while they do not.
func (i *incident) restoredBackup() {
	backup := i.b.BackUp(i.t)
	i.flip(20, "v1")
	i.serves("v1")
	i.flip(21, "")
	i.serves("v2")
	i.b.Restore(i.t, backup)
	i.says("an old copy is no switch", func(s live.State) bool { return s.Connected && s.SwitchOffered == 10 })
	i.serves("v2")
	i.flip(11, "v1")
	i.serves("v1")
	i.says("which epoch is next", func(s live.State) bool {
		return strings.Contains(s.SwitchNote, "use 22 or more to end it")
	})
	i.flip(22, "")
	i.serves("v2")

	backup = i.b.BackUp(i.t)
	i.flip(30, "v1")
	i.serves("v1")
	i.flip(31, "")
	i.serves("v2")
	i.b.Relay.Hold(true)
	i.b.Relay.Cut()
	i.b.Restore(i.t, backup)
	i.flip(23, "v1")
	i.says("away", func(s live.State) bool { return !s.Connected && s.SwitchOffered == 31 })
	i.b.Relay.Hold(false)
	i.serves("v1")
	i.says("which epoch is next", func(s live.State) bool {
		return s.SwitchOffered == 23 && strings.Contains(s.SwitchNote, "use 32 or more to end it")
	})
	i.flip(32, "")
	i.serves("v2")
}

// emptyRegistry has a registry list nobody for a while. Traefik's stable version is its own
// service.
func emptyRegistry(f *follower, files *backends.Backend, r *backends.Registry) {
	t := f.t.(*testing.T)
	own := newFleet(t, "v1", "v2")
	files.Put(f.route, fmt.Sprintf(`{"service": %q, "stable": "v1", "rules": [{"version": "v2"}],
		"versions": {"v1": {"discover": %q}, "v2": {"discover": %q}}}`, f.route, r.URL("v1"), r.URL("v2")))
	listed := func(v1, v2 int, isHeld bool) {
		t.Helper()
		f.says(fmt.Sprint(v1, " and ", v2, " instances, held: ", isHeld), func(s live.State) bool {
			one, two := s.Upstreams["v1"], s.Upstreams["v2"]
			return len(one.Instances) == v1 && len(two.Instances) == v2 && one.Held == isHeld && !two.Held && !two.Kept
		})
	}
	r.Register("s", "v1", own.port(t, "v1"))
	r.Register("c", "v2", own.port(t, "v2"))
	listed(1, 1, false)
	f.serves("v2")
	r.Deregister("s", own.port(t, "v1"))
	r.Deregister("c", own.port(t, "v2"))
	listed(1, 0, true)
	f.serves("v1")
	f.logs("the registry lists no instance of the stable version; those that it listed last stay in use")
	f.measures("stable_held", 1)

	own.instances["v1"].Close()
	for _, g := range f.gateways {
		if g.metric != nil {
			f.await(g, "the error says why", func(live.State) bool {
				return g.gets(f.route) == "" && strings.Contains(g.log(), "one of those that it listed last does not answer")
			})
		}
	}
	again := newFleet(t, "v1")
	r.Register("s2", "v1", again.port(t, "v1"))
	listed(1, 0, false)
	f.serves("v1")
	f.measures("stable_held", 0)
}

// listener is a server that remembers what it was asked.
type listener struct {
	*httptest.Server
	mu    sync.Mutex
	asked []string
}

func (l *listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	l.asked = append(l.asked, r.Host+r.URL.String()+" "+r.Header.Get("X-Consul-Token"))
	l.mu.Unlock()
	switch r.URL.Path {
	case "/to-metadata":
		http.Redirect(w, r, "http://169.254.169.254/latest", http.StatusFound)
	case "/to-odd":
		http.Redirect(w, r, "http://0xa9fea9fe/latest", http.StatusFound)
	case "/to-inner":
		http.Redirect(w, r, l.URL+"/inner", http.StatusFound)
	default:
		_, _ = io.WriteString(w, `{"answer": "0f the inner server"}`)
	}
}

func (l *listener) wasAsked(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.asked {
		if strings.Contains(line, text) {
			return true
		}
	}
	return false
}

// trust has documents ask for more than routing.
func trust(t *testing.T, b *backends.Backend, keys string, on func(testing.TB, string) *follower) {
	l := &listener{}
	l.Server = httptest.NewServer(l)
	t.Cleanup(l.Close)
	outer := strings.Replace(l.URL, "127.0.0.1", "localhost", 1)
	host := strings.TrimPrefix(outer, "http://")
	key := filepath.Join(keys, "key")
	require.NoError(t, os.WriteFile(key, []byte("a key of at least thirty-two bytes, for tests"), 0o600))
	discover := func(url string) string { return `"versions": {"v1": {}, "v2": {"discover": "` + url + `"}}` }
	jwt := func(field, value string) string {
		return `"versions": {"v1": {}}, "jwt": {"plaintext": true, "` + field + `": "` + value + `"}`
	}
	leak := discover("consul://" + host + "/${" + secretVariable + "}?token=${" + secretVariable + "}")
	token := discover("consul://" + host + "/shop-${" + secretVariable + "}?token=${" + secretVariable + "}")
	for _, c := range []struct {
		route, part string
		refused     string // by the state, or
		journal     string // what is in the journal once the document is in force
	}{
		{route: "closed", part: leak, refused: "${" + secretVariable + "} is not allowed here"},
		{route: "closed", part: discover("consul://{env." + secretVariable + "}/shop"), refused: "placeholders in braces"},
		{route: "closed", part: `"versions": {"v1": {"upstreams": ["{file./etc/passwd}:80"]}}`,
			refused: "placeholders in braces"},
		{route: "closed", part: jwt("secret", "file://"+key), refused: "jwt.secret: the file is not allowed here"},
		{route: "closed", part: jwt("key", "file:///etc/shadow"), refused: "jwt.key: the file is not allowed here"},
		{route: "closed", part: jwt("jwks", "file:///etc/shadow"), refused: "jwt.jwks: the file is not allowed here"},
		{route: "closed", part: `"versions": {"v1": {}}, "cookie": {"secret": "file://` + key + `"}`,
			refused: "cookie.secret: the file is not allowed here"},
		{route: "closed", part: discover("consul://169.254.169.254:80/shop"), refused: "169.254.169.254 may not be asked"},
		{route: "closed", part: discover("etcd://[::ffff:a9fe:a9fe]:80/shop/"), refused: "may not be asked"},
		{route: "closed", part: discover("nacos://[fe80::1]:80/shop"), refused: "fe80::1 may not be asked"},
		{route: "closed", part: discover("consul://2852039166/shop"), refused: "2852039166 may not be asked"},
		{route: "closed", part: discover("consul://0xA9.0376.43518/shop"), refused: "may not be asked"},
		{route: "closed", part: jwt("jwks", "http://0251.0376.0251.0376./keys"), refused: "may not be asked"},
		{route: "closed", part: jwt("oidc", "http://[64:ff9b::169.254.169.254]"), refused: "may not be asked"},
		{route: "closed", part: `"versions": {"v1": {}, "v2": {"upstreams": ["169.254.169.254:80"]}}`,
			refused: "upstreams[0]: 169.254.169.254 may not be asked"},
		{route: "closed", part: `"versions": {"v1": {}, "v2": {"upstreams": ["unix//var/run/docker.sock"]}}`,
			refused: "upstreams[0]: the file is not allowed here"},
		{route: "closed", part: jwt("jwks", l.URL+"/to-odd"), journal: "0xa9fea9fe may not be asked"},
		{route: "closed", part: jwt("jwks", "http://169.254.169.254/keys"), refused: "169.254.169.254 may not be asked"},
		{route: "closed", part: jwt("oidc", "http://metadata.google.internal"), refused: "may not be asked"},
		{route: "closed", part: jwt("jwks", l.URL+"/to-metadata"), journal: "169.254.169.254 may not be asked"},
		{route: "closed", part: jwt("jwks", l.URL+"/answer"), journal: "keys for tokens cannot be read"},
		{route: "listed", part: discover("consul://" + host + "/shop"), refused: "localhost may not be asked"},
		{route: "listed", part: jwt("jwks", l.URL+"/keys"), refused: "127.0.0.1 may not be asked"},
		{route: "open", part: jwt("secret", "file://"+key), journal: "policy in force"},
		{route: "open", part: jwt("secret", "file://"+keys+"/../key"), refused: "the file is not allowed here"},
		{route: "open", part: jwt("jwks", outer+"/to-inner"), journal: "127.0.0.1 may not be asked"},
		{route: "open", part: discover("consul://" + host + "/${HOME}"), refused: "${HOME} is not allowed here"},
	} {
		f := on(t, c.route)
		b.Put(c.route, `{"service": "`+c.route+`", "stable": "v1", `+c.part+`}`)
		f.says(c.part, func(s live.State) bool {
			if c.refused != "" {
				return s.Rejected != nil && strings.Contains(s.Rejected.Error, c.refused)
			}
			return s.Rejected == nil && strings.Contains(fmt.Sprint(s.Journal), c.journal)
		})
		require.False(t, l.wasAsked("s3cret"), c.part)
	}
	require.False(t, l.wasAsked("/inner"))
	f := on(t, "open")
	b.Put("open", `{"service": "open", "stable": "v1", `+token+`}`)
	f.says("the variable that is allowed is used", func(s live.State) bool { return s.Upstreams["v2"].Error != "" })
	require.True(t, l.wasAsked("/shop-s3cret"))
	for _, g := range f.gateways {
		require.NotContains(t, fmt.Sprintf("%+v", g.state(t, "open")), "0f the inner server")
		require.NotContains(t, fmt.Sprintf("%+v", g.state(t, "open")), "s3cret")
		require.NotContains(t, g.log(), "s3cret")
		require.NotContains(t, g.log(), "0f the inner server")
	}
}

// mounted mounts a document alone, and one with its folder, which is read-only. It reports whether
// that can be done here.
func mounted(t testing.TB, folder string, f *fleet) bool {
	outside := filepath.Join(t.TempDir(), "user.json")
	alone, fixed := filepath.Join(folder, "alone", "user.json"), filepath.Join(folder, "fixed")
	require.NoError(t, os.WriteFile(outside, []byte(strings.Replace(f.document("v2", 100), "shop", "alone", 1)), 0o644))
	require.NoError(t, os.MkdirAll(filepath.Dir(alone), 0o755))
	require.NoError(t, os.WriteFile(alone, nil, 0o644))
	require.NoError(t, os.MkdirAll(fixed, 0o755))
	mount := func(what, where string, options ...string) bool {
		if exec.Command("mount", append(options, what, where)...).Run() != nil {
			return false
		}
		t.Cleanup(func() { _ = exec.Command("umount", where).Run() })
		return true
	}
	return mount(outside, alone, "--bind") && mount("tmpfs", fixed, "-t", "tmpfs", "-o", "ro")
}

// switchFiles shows where a switch can appear.
func switchFiles(t *testing.T, on func(testing.TB, string) *follower, mounts, beside string) {
	alone := on(t, "alone")
	alone.serves("v2")
	alone.says("no switch can appear", func(s live.State) bool {
		return strings.Contains(s.SwitchFile.Warning, "only the file is mounted")
	})
	alone.logs("the kill switch cannot be used")
	for route, want := range map[string]*source.SwitchFile{
		"fixed": {Path: filepath.Join(mounts, "fixed", "user.json.switch"), Folder: "read-only"},
		"file":  {Path: beside, Folder: "writable"},
		"etcd":  nil,
	} {
		for _, g := range on(t, route).gateways {
			require.Equal(t, want, g.state(t, route).SwitchFile, g.name)
		}
	}
}
