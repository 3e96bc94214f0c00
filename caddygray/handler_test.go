package caddygray_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/caddygray"
	"github.com/grayrelease/gray/internal/casetest"
)

const twoVersions = `
	stable v1
	version v1
	version v2
`

// site runs Caddy with the directives of one site, and returns its URL.
func site(t *testing.T, directives string) string {
	t.Helper()
	address := freeAddress(t)
	startCaddyfile(t, "http://"+address+" {\n"+directives+"\n}\n")
	return "http://" + address
}

func TestPlaceholders(t *testing.T) {
	url := site(t, `
		gray shop {
			`+twoVersions+`
			identity cookie uid
			rule ramp v2 {
				percent 0.0001
			}
			rule wanted v2 {
				when header X-V = v2
			}
		}
		map {http.gray.version} {color} {
			v2 green
			default blue
		}
		header Color {color}
		header Version {http.gray.version}
		header Rule {http.gray.rule}
		header Service {http.gray.service}
		header Same {http.gray.shop.version}
		header Identity {http.gray.identity}
		header Bucket {http.gray.bucket}
		header Reason {http.gray.reason}
		header Fallback {http.gray.fallback}
		respond "{http.gray.other.version}{http.gray.nonsense}"
	`)
	req, err := http.NewRequest(http.MethodGet, url, nil)
	require.NoError(t, err)
	req.Header.Set("X-V", "v2")
	req.AddCookie(&http.Cookie{Name: "uid", Value: "u-53"})
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	res.Body.Close()
	for name, want := range map[string]string{
		"Version": "v2", "Rule": "wanted", "Service": "shop", "Same": "v2", "Color": "green", "Identity": "u-53",
		"Bucket": "16.1900", "Reason": `rule "wanted" matched`, "Fallback": "false",
	} {
		require.Equal(t, want, res.Header.Get(name), name)
	}
	got := get(t, url, "")
	require.Equal(t, "v1", got.header.Get("Version"))
	require.Equal(t, "blue", got.header.Get("Color"))
	require.Empty(t, got.header.Get("Identity")+got.header.Get("Bucket")+got.header.Get("Rule"))
	require.Equal(t, "{http.gray.nonsense}", got.body, "what is unknown stays, as everywhere in Caddy")
}

func TestPlaceholdersAfterTheRequestHasChanged(t *testing.T) {
	url := site(t, `
		gray shop {
			`+twoVersions+`
			identity header X-User-ID
			rule beta v2 {
				when path prefix /beta
			}
			rule ramp v2 {
				when path prefix /ramp
				percent 0.0001
			}
		}
		request_header -X-User-ID
		handle_path /beta* {
			respond "{http.gray.version} {http.gray.rule} {http.gray.reason} {path}"
		}
		handle {
			respond "{http.gray.identity} {http.gray.bucket} {header.X-User-ID}"
		}
	`)
	ask := func(path string) string {
		t.Helper()
		req, err := http.NewRequest(http.MethodGet, url+path, nil)
		require.NoError(t, err)
		req.Header.Set("X-User-ID", "u-53")
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer res.Body.Close()
		var body bytes.Buffer
		_, err = body.ReadFrom(res.Body)
		require.NoError(t, err)
		return body.String()
	}
	require.Equal(t, `v2 beta rule "beta" matched /x`, ask("/beta/x"))
	require.Equal(t, "u-53 16.1900 ", ask("/ramp"), "as it was when the percentage was asked")
	require.Equal(t, "  ", ask("/"), "no percentage was asked, and the header is gone")
}

func TestPlaceholdersWithoutDecision(t *testing.T) {
	url := site(t, `
		@decided path /decided
		gray @decided shop {
			`+twoVersions+`
		}
		respond "{http.gray.version}"
	`)
	require.Equal(t, "v1", get(t, url+"/decided", "").body)
	require.Equal(t, "{http.gray.version}", get(t, url, "").body, "nobody knows the placeholder")
}

func TestSeveralServices(t *testing.T) {
	url := site(t, `
		gray users {
			`+twoVersions+`
			debug_header
			rule wanted v2 {
				when header X-V = v2
			}
		}
		gray orders {
			stable blue
			version blue `+says(t, "blue")+`
			version green `+says(t, "green")+`
			header X-Orders-Version
			debug_header
		}
		@new gray {
			service users
			version v2
		}
		header @new Matched yes
		header Users {http.gray.users.version}
		header Last {http.gray.version}
		reverse_proxy {
			dynamic gray
		}
	`)
	got := get(t, url, "v2")
	require.Equal(t, "blue told v2", got.body, "both services' headers stand")
	require.Equal(t, "v2", got.header.Get("Users"))
	require.Equal(t, "blue", got.header.Get("Last"))
	require.Equal(t, "yes", got.header.Get("Matched"))
	require.ElementsMatch(t, []string{`"users"; version=v2; rule="wanted"`, `"orders"; version=blue`},
		got.header["X-Gray-Decision"])
	require.Empty(t, get(t, url, "").header.Get("Matched"))
}

func TestUpstreamIsToldOfItsOwnService(t *testing.T) {
	url := site(t, `
		gray shop {
			stable v1
			version v1 `+repeats(t, "one")+`
			version v2 `+repeats(t, "two")+`
			version v3 `+freeAddress(t)+`
			rule wanted v2 {
				when header X-V = v2
			}
			rule dead v3 {
				when header X-V = v3
			}
		}
		gray orders {
			stable blue
			version blue
		}
		reverse_proxy {
			dynamic gray shop
		}
	`)
	require.Equal(t, `two ["v2"] ["gray=v2"]`, get(t, url, "v2").body, "not of orders, whose decision came last")
	require.Equal(t, `one ["v1"] []`, get(t, url, "").body)
	require.Equal(t, `one ["v1"] []`, get(t, url, "v3").body, "after a fallback")
}

func TestDirectivesWithPathsRunFirst(t *testing.T) {
	two := `
		gray orders {
			` + twoVersions + `
		}
		gray /shop* shop {
			` + twoVersions + `
		}
	`
	const say = "\nrespond {http.gray.service}\n"
	require.Equal(t, "orders", get(t, site(t, two+say)+"/shop", "").body, "in the order of Caddy")
	require.Equal(t, "shop", get(t, site(t, "route {\n"+two+say+"}\n")+"/shop", "").body, "in the order of the file")
}

func TestMatcherWithRules(t *testing.T) {
	url := site(t, `
		gray shop {
			`+twoVersions+`
			rule wanted v2 {
				when header X-V = v2
			}
			rule other v2 {
				when header X-V = other
			}
		}
		@one gray v2 {
			rule wanted
		}
		@none gray {
			rule ""
		}
		handle @one {
			respond one
		}
		handle @none {
			respond none
		}
		handle {
			respond else
		}
	`)
	require.Equal(t, "one", get(t, url, "v2").body)
	require.Equal(t, "else", get(t, url, "other").body)
	require.Equal(t, "none", get(t, url, "").body)
}

func TestMatcherWithoutDecision(t *testing.T) {
	url := site(t, "@x gray v1\nrespond @x matched")
	require.Empty(t, get(t, url, "").body)
}

func TestVary(t *testing.T) {
	url := site(t, `
		gray shop {
			`+twoVersions+`
			identity header x-user, cookie uid
			vary
			rule ramp v2 {
				when header x-app-version = beta
				percent 50
			}
		}
		handle /missing {
			error 404
		}
		handle /own {
			header Vary Accept-Encoding
			respond ok
		}
		respond ok
	`)
	require.Equal(t, []string{"Cookie, X-App-Version, X-User"}, get(t, url, "").header["Vary"])
	require.Equal(t, []string{"Cookie, X-App-Version, X-User"}, get(t, url+"/missing", "").header["Vary"], "of errors too")
	require.ElementsMatch(t, []string{"Accept-Encoding", "Cookie, X-App-Version, X-User"},
		get(t, url+"/own", "").header["Vary"])
}

func TestVaryGiven(t *testing.T) {
	url := site(t, "gray shop {\n"+twoVersions+"\nvary X-App-Version\n}\nrespond ok")
	require.Equal(t, []string{"X-App-Version"}, get(t, url, "").header["Vary"])
}

func TestAccessLog(t *testing.T) {
	log := filepath.Join(t.TempDir(), "access.log")
	url := site(t, `
		log {
			output file `+log+`
			format json
		}
		gray shop {
			stable v1
			version v1 `+says(t, "one")+`
			version v2 `+freeAddress(t)+`
			rule wanted v2 {
				when header X-V = v2
			}
		}
		gray other {
			`+twoVersions+`
		}
		reverse_proxy {
			dynamic gray shop
		}
	`)
	get(t, url, "v2")
	var entry struct{ Gray map[string]any }
	require.Eventually(t, func() bool {
		text, _ := os.ReadFile(log)
		return bytes.HasSuffix(text, []byte("\n")) && json.Unmarshal(bytes.SplitN(text, []byte("\n"), 2)[0], &entry) == nil
	}, 10*time.Second, 10*time.Millisecond)
	require.Equal(t, map[string]any{
		"shop":  map[string]any{"version": "v2", "rule": "wanted", "fallback": true},
		"other": map[string]any{"version": "v1", "rule": ""},
	}, entry.Gray)
}

func TestEnvironment(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte("0123456789abcdef0123456789abcdef"), 0o600))
	t.Setenv("GRAY_ONE", says(t, "one"))
	t.Setenv("GRAY_TWO", says(t, "two"))
	t.Setenv("GRAY_WANTED", "v2")
	url := site(t, `
		gray shop {
			stable v1
			version v1 {env.GRAY_ONE}
			version v2 {env.GRAY_TWO}
			jwt {
				secret {file.`+secret+`}
			}
			rule wanted v2 {
				when header X-V in x, {env.GRAY_WANTED}
				when header X-V matches ^v\d{1,2}$
			}
		}
		reverse_proxy {
			dynamic gray
		}
	`)
	require.Equal(t, "two told v2", get(t, url, "v2").body)
	require.Equal(t, "one told v1", get(t, url, "x").body)
}

func TestCookieIsSet(t *testing.T) {
	url := site(t, `
		gray shop {
			`+twoVersions+`
			identity cookie uid
			anonymous cookie
			cookie visitor 24h
			rule ramp v2 {
				percent 50
			}
		}
		respond {http.gray.version}
	`)
	first := get(t, url, "")
	cookie, err := http.ParseSetCookie(first.header.Get("Set-Cookie"))
	require.NoError(t, err)
	require.Equal(t, "visitor", cookie.Name)
	require.Equal(t, 86400, cookie.MaxAge)
	for range 10 {
		req, err := http.NewRequest(http.MethodGet, url, nil)
		require.NoError(t, err)
		req.AddCookie(&http.Cookie{Name: "visitor", Value: cookie.Value})
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		var body bytes.Buffer
		_, err = body.ReadFrom(res.Body)
		require.NoError(t, err)
		res.Body.Close()
		require.Equal(t, first.body, body.String())
		require.Empty(t, res.Header.Get("Set-Cookie"))
	}
}

func TestUpstreamHasTheNewCookie(t *testing.T) {
	upstream := backend(t, func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(r.Header.Get("Cookie"))) })
	url := site(t, `
		gray shop {
			stable v1
			version v1 `+upstream+`
			identity cookie uid
			anonymous cookie
			rule ramp v1 {
				percent 50
			}
		}
		reverse_proxy {
			dynamic gray
		}
	`)
	got := get(t, url, "")
	cookie, err := http.ParseSetCookie(got.header.Get("Set-Cookie"))
	require.NoError(t, err)
	require.Equal(t, cookie.Name+"="+cookie.Value, got.body)
}

func TestOff(t *testing.T) {
	url := site(t, `
		gray shop {
			`+twoVersions+`
			off
			rule all v2
		}
		respond "{http.gray.version} {http.gray.reason}"
	`)
	require.Equal(t, "v1 the policy is not enabled: every request gets the stable version", get(t, url, "").body)
	require.EqualValues(t, 1, metric(t, "caddy_gray_policy_info", "service=shop", "enabled=false"))
}

func TestClaims(t *testing.T) {
	files, err := casetest.Load("../testdata/cases")
	require.NoError(t, err)
	var policy json.RawMessage
	var request *casetest.Request
	for _, f := range files {
		for _, g := range f.Groups {
			for i := range g.Cases {
				if request == nil && g.Cases[i].Request.Claims != nil {
					policy, request = g.Policy, &g.Cases[i].Request
				}
			}
		}
	}
	require.NotNil(t, request)
	handler := object{}
	require.NoError(t, json.Unmarshal(policy, &handler))
	handler["handler"], handler["service"] = "gray", "claims"
	handler["rules"] = []object{{"version": handler["stable"], "when": []string{"claim sub exists"}}}
	address := freeAddress(t)
	start(t, object{"http": object{"grace_period": 1, "servers": object{"s": object{
		"listen": []string{address}, "automatic_https": object{"disable": true},
		"routes": []object{{"handle": []object{handler, {"handler": "static_response"}}}},
	}}}})
	grown := map[string]func() float64{}
	for _, result := range []string{"ok", "none", "malformed", "expired"} {
		grown[result] = growth(t, "caddy_gray_tokens_total", "service=claims", "result="+result)
	}
	exchange(t, "tcp", address, request.Method, request.Raw())
	exchange(t, "tcp", address, "GET", []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	exchange(t, "tcp", address, "GET", []byte("GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a.b.c\r\n\r\n"))
	for result, count := range map[string]int{"ok": 1, "none": 1, "malformed": 1, "expired": 0} {
		require.EqualValues(t, count, grown[result](), result)
	}
}

func TestUnverifiedTokensShowInMetrics(t *testing.T) {
	site(t, "gray loose {\n"+twoVersions+"\njwt {\nverify false\n}\n}\nrespond ok")
	require.EqualValues(t, 1, metric(t, "caddy_gray_policy_info", "service=loose", "tokens_verified=false"))
}

func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	bad := write("bad.json",
		`{"service": "shop", "stable": "v1", "versions": {"v1": {}}, "ruls": [], "rules": [{"version": "v3"}]}`)
	good := write("good.json", `{"service": "shop", "stable": "v1", "versions": {"v1": {}}}`)
	versions := object{"v1": object{}}
	for name, c := range map[string]struct {
		handler object
		want    []string
	}{
		"empty":         {object{}, []string{"service: required", "versions: required", "stable: required"}},
		"unknown field": {object{"ruls": 1}, []string{`ruls: unknown field (did you mean "rules"?)`}},
		"several problems": {object{"service": "s", "stable": "v2", "versions": versions, "anonymous": "x"},
			[]string{`policy of "s":` + "\n", "\nstable: version", "anonymous: unknown word"}},
		"bad file": {object{"policy": bad},
			[]string{"policy file " + bad, `ruls: unknown field (did you mean "rules"?)`}},
		"file and fields": {object{"policy": good, "stable": "v1"}, []string{"stable is given beside the policy file"}},
		"another service": {object{"policy": good, "service": "x"}, []string{`is about the service "shop", not "x"`}},
		"no file": {
			object{"policy": dir + "/none"}, []string{"reading the policy: there is no file none in the folder "},
		},
		"upstream": {object{"service": "s", "stable": "v1",
			"versions": object{"v1": object{"upstreams": []string{"a:1", "ftp://x"}}}}, []string{"versions.v1.upstreams[1]:"}},
		"health version": {object{"service": "s", "stable": "v1", "versions": versions,
			"health_checks": object{"v2": object{"uri": "/"}}}, []string{"health_checks.v2: no such version"}},
		"health uri": {object{"service": "s", "stable": "v1", "versions": versions,
			"health_checks": object{"v1": object{"uri": "x"}}}, []string{`health_checks.v1: uri: "x"`}},
		"health null": {object{"service": "s", "stable": "v1", "versions": versions, "health_checks": object{"v1": nil}},
			[]string{"health_checks.v1: empty: "}},
		"debug header": {object{"service": "s", "stable": "v1", "versions": versions, "debug_header": "X Y"},
			[]string{`debug_header: "X Y" is not a valid header name`}},
		"vary": {object{"service": "s", "stable": "v1", "versions": versions,
			"vary": object{"headers": []string{"*", "A", "B,"}}}, []string{`vary.headers[2]: "B," is not a valid header name`}},
		"placeholder": {object{"service": "s", "stable": "v1",
			"versions": object{"v1": object{"upstreams": []string{"{env.GRAY_NOT_SET}"}}}},
			[]string{"placeholder {env.GRAY_NOT_SET} has no value"}},
	} {
		t.Run(name, func(t *testing.T) {
			c.handler["handler"] = "gray"
			server := object{"routes": []object{{"handle": []object{c.handler}}}}
			config, err := json.Marshal(object{"apps": object{"http": object{"servers": object{"s": server}}}})
			require.NoError(t, err)
			var parsed caddy.Config
			require.NoError(t, json.Unmarshal(config, &parsed))
			err = caddy.Validate(&parsed)
			require.Error(t, err)
			for _, want := range c.want {
				require.Contains(t, err.Error(), want)
			}
		})
	}
}

// TestModules checks that JSON can say all that the Caddyfile can, and that Caddy reads the
// documents that it writes.
func TestModules(t *testing.T) {
	for _, id := range []string{"http.handlers.gray", "http.matchers.gray", "http.reverse_proxy.upstreams.gray"} {
		module, err := caddy.GetModule(id)
		require.NoError(t, err)
		require.NotNil(t, module.New())
	}
	h := &caddygray.Handler{}
	require.NoError(t, json.Unmarshal([]byte(`{"service": "s", "policy": "/x", "vary": {}}`), h))
	text, err := json.Marshal(h)
	require.NoError(t, err)
	require.JSONEq(t, `{"service": "s", "policy": "/x", "vary": {}}`, string(text))
}

func TestCountersSurviveReloads(t *testing.T) {
	address := freeAddress(t)
	config := func(percent int) []byte {
		return adapt(t,
			fmt.Sprintf("{\n\tadmin off\n\tpersist_config off\n\tgrace_period 1ns\n\tlog {\n\t\tlevel FATAL\n\t}\n}\n"+
				"http://%s {\n\tgray reloads {\n%s\n\trule r v2 {\n\tpercent %d\n\t}\n\t}\n\trespond ok\n}\n",
				address, strings.TrimSpace(twoVersions), percent))
	}
	load(t, config(0))
	decisions := growth(t, "caddy_gray_decisions_total", "service=reloads", "version=v1")
	responses := growth(t, "caddy_gray_responses_total", "service=reloads", "version=v1", "class=2xx")
	latencies := growth(t, "caddy_gray_response_latency_seconds", "service=reloads", "version=v1")
	for i := range 20 {
		require.Eventually(t, func() bool { // a reload resets connections that wait for the listener it replaces
			res, err := http.Get("http://" + address)
			if err == nil {
				res.Body.Close()
			}
			return err == nil
		}, 10*time.Second, time.Millisecond)
		require.EqualValues(t, i+1, decisions())
		require.EqualValues(t, i+1, responses())
		require.EqualValues(t, i+1, latencies())
		require.EqualValues(t, 1, metric(t, "caddy_gray_policy_info", "service=reloads"))
		require.Positive(t, metric(t, "caddy_gray_policy_age_seconds", "service=reloads"))
		require.NoError(t, caddy.Load(config(0), true))
		require.Error(t, caddy.Load(bytes.Replace(config(0), []byte(`"percent":0`), []byte(`"percent":101`), 1), true),
			"and one that is refused")
	}
}
