package core_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
)

type caseFile struct {
	Groups []struct {
		Policy json.RawMessage `json:"policy"`
		Cases  []struct {
			Name    string      `json:"name"`
			Request caseRequest `json:"request"`
			Version string      `json:"version"`
			Rule    string      `json:"rule"`
		} `json:"cases"`
	} `json:"groups"`
}

type caseRequest struct {
	Method        string          `json:"method"`
	Host          string          `json:"host"`
	Target        string          `json:"target"`
	Headers       [][2]string     `json:"headers"`
	HeadersBase64 [][2]string     `json:"headers_base64"`
	IP            string          `json:"ip"`
	Claims        json.RawMessage `json:"claims"`
}

func (c caseRequest) build(t *testing.T, secret string) *core.Caller {
	method, target, host, ip := c.Method, c.Target, c.Host, c.IP
	if method == "" {
		method = "GET"
	}
	if target == "" {
		target = "/"
	}
	if host == "" {
		host = "example.com"
	}
	if ip == "" {
		ip = "203.0.113.7"
	}
	r := httptest.NewRequest(method, target, nil)
	r.Host = host
	r.RemoteAddr = "127.0.0.1:40000"
	for _, h := range c.Headers {
		r.Header.Add(h[0], h[1])
	}
	for _, h := range c.HeadersBase64 {
		v, err := base64.StdEncoding.DecodeString(h[1])
		require.NoError(t, err)
		r.Header.Add(h[0], string(v))
	}
	if c.Claims != nil {
		r.Header.Set("Authorization", "Bearer "+sign(t, c.Claims, secret))
	}
	return &core.Caller{Request: r, Client: ip}
}

func sign(t *testing.T, body []byte, secret string) string {
	enc := base64.RawURLEncoding
	text := enc.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + enc.EncodeToString(body)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return text + "." + enc.EncodeToString(mac.Sum(nil))
}

func TestCases(t *testing.T) {
	files, err := filepath.Glob("../testdata/cases/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	total := 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		var f caseFile
		require.NoError(t, json.Unmarshal(data, &f), file)
		for _, g := range f.Groups {
			e, err := core.Load(g.Policy)
			if err != nil {
				t.Errorf("%s: %s\n%v", file, g.Cases[0].Name, err)
				continue
			}
			var key struct{ JWT struct{ Secret string } }
			require.NoError(t, json.Unmarshal(g.Policy, &key))
			for _, c := range g.Cases {
				total++
				t.Run(filepath.Base(file)+"/"+c.Name, func(t *testing.T) {
					caller := c.Request.build(t, key.JWT.Secret)
					d := core.Decide(e, caller)
					if d.Version != c.Version || d.Rule != c.Rule {
						t.Errorf("got %s by %q, want %s by %q", d.Version, d.Rule, c.Version, c.Rule)
					}
				})
			}
		}
	}
	t.Log(total, "cases")
}
