package core

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/internal/casetest"
)

// FuzzLoad holds the reading of documents to three things: it ends, what it accepts decides, and
// what it accepts is accepted again when written out.
func FuzzLoad(f *testing.F) {
	files, err := casetest.Load("../testdata/cases")
	require.NoError(f, err)
	for _, file := range files {
		for _, group := range file.Groups {
			if len(group.Policy) < 4096 { // long ones are slow to mutate
				f.Add([]byte(group.Policy))
			}
		}
	}
	paths, err := filepath.Glob("../testdata/documents/*.json")
	require.NoError(f, err)
	for _, path := range paths {
		data, err := os.ReadFile(path)
		require.NoError(f, err)
		var documents []struct{ Document json.RawMessage }
		require.NoError(f, json.Unmarshal(data, &documents))
		for _, d := range documents {
			var text string
			if json.Unmarshal(d.Document, &text) != nil {
				text = string(d.Document)
			}
			if len(text) < 4096 {
				f.Add([]byte(text))
			}
		}
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		e, err := Load(document)
		if err != nil {
			require.Nil(t, e)
			require.NotEmpty(t, err.(problem.List))
			for _, p := range err.(problem.List) {
				require.NotEmpty(t, p.Message)
				require.GreaterOrEqual(t, p.Column, 0)
			}
			return
		}
		decision := Decide(e, &Caller{Request: request("/")})
		require.Contains(t, e.Versions(), decision.Version)
		p, err := ParsePolicy(document)
		require.NoError(t, err)
		again, err := json.Marshal(p)
		require.NoError(t, err)
		_, err = Load(again)
		require.NoError(t, err, "written out: %s", again)
	})
}

// FuzzCondition holds the reading of lines to their syntax, and any value to a yes or a no.
func FuzzCondition(f *testing.F) {
	for _, line := range []string{
		"header X-App = beta", "not cookie uid in a, b , \"c, d\"", "query a != \"\"", "claim a.b.0 in @vip", "claim /a~1b/c exists", "baggage gray = v2",
		"ip in 10.0.0.0/8, 2001:db8::/32, ::ffff:10.0.0.0/104", "ip in @office", "path prefix \"/a \\\" b\"", "host suffix .example", "method matches ^(GET|HEAD)$",
		"identity contains x", "query n >= -12.50", "header V semver >=2.3.0-rc.1 <3 != 2.4", "header V semver ^0.0.3 ~1", "header \"X-App\"\t=\tb", "not", "header", "path =", "path = \"a",
	} {
		for _, value := range []string{"", "beta", "10.1.2.3", "1.2.3-rc.1+b", "-0012.50", "\xff"} {
			f.Add(line, value)
		}
	}
	f.Fuzz(func(t *testing.T, line, value string) {
		c, problem := parseCondition(line, listsForTests)
		if problem != nil {
			p := problem.problem("when", line)
			require.GreaterOrEqual(t, p.Column, 1)
			require.LessOrEqual(t, p.Column, utf8.RuneCountInString(line)+1)
			require.NotEmpty(t, p.Message)
			return
		}
		require.NotNil(t, c)
		if c.holdsFor(value) {
			require.True(t, utf8.ValidString(value) && len(value) <= maxValue, "%q holds for a value that counts as absent", line)
		}
		// Space between words does not count, nor does quoting the line's source key.
		padded, problem := parseCondition("  "+line+" \t", listsForTests)
		require.Nil(t, problem)
		require.Equal(t, c.holdsFor(value), padded.holdsFor(value))
	})
}

// everyRule is a policy that looks at everything.
const everyRule = `"trust": ["203.0.113.0/24"], "identity": ["header X-ID", "cookie uid", "query id", "baggage user", "ip"], "anonymous": "stable",
	"lists": {"vip": ["u-1", "u-2"], "office": ["10.0.0.0/8"]},
	"rules": [
		{"name": "1", "version": "v2", "when": ["header X-App = beta", "not header X-App = gamma"]},
		{"name": "2", "version": "v1", "when": ["header X-App in a, b", "cookie uid in @vip"]},
		{"name": "3", "version": "v2", "when": ["header X-App = a"], "percent": 30},
		{"name": "4", "version": "v2", "when": ["header X-App matches ^[0-9]+$", "header X-App > 9"]},
		{"name": "5", "version": "v1", "when": ["header X-App semver ^1.2"]},
		{"name": "6", "version": "v2", "when": ["query a prefix b"]},
		{"name": "7", "version": "v2", "when": ["baggage gray = v2"]},
		{"name": "8", "version": "v1", "when": ["header X-Gray-Version exists"]},
		{"name": "9", "version": "v2", "when": ["ip in @office"]},
		{"name": "10", "version": "v2", "when": ["path suffix .html", "host contains example", "method != HEAD"]},
		{"name": "11", "version": "v1", "when": ["identity contains u", "header Host = shop.example"]},
		{"name": "12", "version": "v2", "when": ["cookie uid exists"], "percent": 50, "salt": "s"},
		{"name": "13", "version": "v2", "percent": 10}]`

// FuzzDecide holds decisions on any request to their explanation: two ways through the same rules
// that must end alike. It checks what is passed on too.
func FuzzDecide(f *testing.F) {
	f.Add("GET", "/index.html", "a=b", "shop.example:80", "203.0.113.7:1", "10.0.0.1", "beta", "", "uid=u-1; uid=2", "gray=v2,a=1", "u-1", "v2")
	f.Add("HEAD", "/", "a=%zz&a=b;c", "[::1]:80", "[::1]:1", "", "a", "b", "uid", ",,gray", "", "")
	f.Add("", "", "", "", "", "unknown", "10", "1.2.3-rc.1", "uid=\xff", "gray=%zz", "\xff", "x")
	f.Add("\n", "//", "id=1", "[", "@", "::ffff:10.1.2.3", "v1.4", "gamma", "=;=", "user=1", "", "v1")
	e := engineFor(f, everyRule)
	f.Fuzz(func(t *testing.T, method, path, query, host, peer, client, app, app2, cookie, baggage, id, version string) {
		r := &http.Request{
			Method: method, URL: &url.URL{Path: path, RawQuery: query}, Host: host, RemoteAddr: peer,
			Header: http.Header{"X-App": {app}, "Cookie": {cookie}, "Baggage": {baggage}, "X-Id": {id}, "X-Gray-Version": {version}},
		}
		if app2 != "" {
			r.Header["X-App"] = append(r.Header["X-App"], app2)
		}
		before := r.Header.Clone()
		caller := &Caller{Request: r, Client: client}
		d := Decide(e, caller)
		require.Equal(t, before, r.Header, "deciding changes nothing")
		x := Explain(e, &Caller{Request: r, Client: client})
		require.Equal(t, d.Version, x.Version)
		require.Equal(t, d.Rule, x.Rule)
		_, err := json.Marshal(x)
		require.NoError(t, err)

		response := http.Header{}
		Pass(e, caller, response, d)
		require.Equal(t, []string{d.Version}, r.Header["X-Gray-Version"])
		require.Equal(t, d.Baggage(), CarriedVersion(r.Header["Baggage"]))
		require.LessOrEqual(t, len(r.Header["Baggage"]), 1)
		require.Empty(t, response)
	})
}
