package kong

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/internal/casetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type object = map[string]any

func policyFile(t *testing.T, policy string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "policy.json")
	require.NoError(t, os.WriteFile(path, []byte(policy), 0o600))
	return "file://" + path + "?interval=10ms"
}

// await starts an instance and waits until its policy is in force.
func (p *plugin) await(config object) int32 {
	p.t.Helper()
	instance := p.start(config)
	require.Eventually(p.t, func() bool {
		r := &request{method: "GET", target: "/", header: lines{}}
		p.access(instance, r)
		return len(r.header) > 0
	}, 10*time.Second, time.Millisecond)
	return instance
}

// All shared cases that Kong can carry, spoken to the plugin as Kong speaks.
func TestCases(t *testing.T) {
	files, err := casetest.Load("../../testdata/cases")
	require.NoError(t, err)
	p := startPlugin(t)
	count, left := 0, map[string]int{}
	for _, f := range files {
		for _, g := range f.Groups {
			e, err := core.Load(g.Policy)
			require.NoError(t, err)
			header, upstreams := strings.ToLower(e.Header()), object{}
			for version := range e.Versions() {
				upstreams[version] = "upstream-" + version
			}
			p.t = t
			instance := p.await(object{"service": e.Service(), "source": policyFile(t, string(g.Policy)), "upstreams": upstreams,
				"options": nil, "allow_env": nil})
			e.Close()
			for _, c := range g.Cases {
				r := &request{method: c.Request.Method, target: c.Request.Target, peer: "127.0.0.1", client: c.Request.IP,
					scheme: "http", header: lines{"host": {c.Request.Host}}}
				told, textual := 0, true
				for _, line := range c.Request.Headers {
					name := strings.ToLower(line[0])
					r.header[name] = append(r.header[name], strings.Trim(line[1], " \t"))
					told++
					textual = textual && utf8.ValidString(line[1])
				}
				switch {
				case !textual:
					left["bytes of headers that are not UTF-8"]++
					continue
				case !utf8.ValidString(c.Request.Target):
					left["a target that is not UTF-8"]++
					continue
				case told >= maxHeaders:
					left["1,000 lines of header"]++
					continue
				}
				count++
				t.Run(f.Name+"/"+c.Name, func(t *testing.T) {
					p.t = t
					p.access(instance, r)
					assert.Equal(t, []string{c.Version}, r.header[header])
					assert.Equal(t, "upstream-"+c.Version, r.upstream)
					assert.Equal(t, g.Carried(c.Version), core.CarriedVersion(r.header["baggage"]))
					assert.Empty(t, r.log)
				})
			}
			p.t = t
			p.close(instance)
		}
	}
	t.Log(count, "cases; left out:", left)
}

const shop = `{"service": "shop", "stable": "v1", "versions": {"v1": {}, "v2": {}}, "anonymous": "cookie",
	"identity": ["cookie uid"], "trust": ["10.9.9.9"], "rules": [
	{"name": "told", "version": "v2", "when": ["header X-Gray-Version = v2"]},
	{"name": "testers", "version": "v2", "when": ["header X-App-Version = beta"]},
	{"name": "office", "version": "v2", "when": ["ip in 198.51.100.0/24"]},
	{"name": "ramp", "version": "v2", "percent": 99.999, "when": ["path = /ramp"]}]}`

// What a client claims counts for nothing, and cookies reach it.
func TestEffects(t *testing.T) {
	p := startPlugin(t)
	instance := p.await(object{"service": "shop", "source": policyFile(t, shop), "upstreams": object{"v2": "shop-v2"}})
	r := &request{method: "GET", target: "/", peer: "203.0.113.7", client: "203.0.113.7", scheme: "http",
		header: lines{
			"x-gray-version": {"v2"}, "x_gray_version": {"v2"}, "baggage": {"a=1,gray=v2"}, "x-forwarded-for": {"198.51.100.1"}}}
	p.access(instance, r)
	assert.Equal(t, lines{"x-gray-version": {"v1"}, "baggage": {"a=1"}, "x-forwarded-for": {"198.51.100.1"}},
		r.header)
	assert.Empty(t, r.upstream, "the route's service is the stable version")

	r = &request{method: "GET", target: "/", peer: "10.9.9.9", client: "203.0.113.7",
		header: lines{"x-gray-version": {"v2"}}}
	p.access(instance, r)
	assert.Equal(t, "shop-v2", r.upstream, "peers in trust are believed")

	r = &request{method: "GET", target: "/ramp", scheme: "https", header: lines{"cookie": {"a=1"}}}
	p.access(instance, r)
	assert.Equal(t, "shop-v2", r.upstream)
	assert.Regexp(t, "^gray_id=[0-9a-f]{32}; .*; Secure", r.response.Get("Set-Cookie"))
	assert.Equal(t, "private", r.response.Get("Cache-Control"))
	assert.Regexp(t, "^a=1; gray_id=[0-9a-f]{32}$", r.header["cookie"][0])

	// What cannot be read is not decided.
	r = &request{method: "GET", target: "/", garbled: true, header: lines{
		"x-odd": {"\x01"}, "x-app-version": {"beta"},
		"x-gray-version": {"v2"}, "x_gray_version": {"v2"}, "baggage": {"gray=v2"}}}
	p.access(instance, r)
	assert.Empty(t, r.upstream)
	assert.NotContains(t, r.header, "x_gray_version")
	assert.NotContains(t, r.header, "x-gray-version")
	assert.NotContains(t, r.header, "baggage")
	assert.Len(t, r.log, 1)

	// Before there is a policy, nothing is decided.
	instance = p.start(object{"service": "shop", "source": "file://" + filepath.Join(t.TempDir(), "none.json")})
	r = &request{method: "GET", target: "/", header: lines{"x-gray-version": {"v2"}, "baggage": {"gray=v2"}}}
	p.access(instance, r)
	assert.Empty(t, r.header)
	p.close(instance)
}

// A configuration that is wrong is refused when Kong starts an instance.
func TestConfig(t *testing.T) {
	for _, text := range []string{`{"service": 1}`, `{"service": "shop", "source": "ftp://x"}`, `{}`} {
		assert.Error(t, New().(*Config).UnmarshalJSON([]byte(text)), text)
	}
	c := New().(*Config)
	require.NoError(t, c.UnmarshalJSON(fmt.Appendf(nil, `{"service": "shop", "source": %q}`, policyFile(t, shop))))
	c.handle.Close()
}
