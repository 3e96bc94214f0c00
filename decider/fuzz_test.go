package decider

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	base "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
)

// fuzzed returns a server that is asked without a connection. No peer of the fuzzed requests is
// trusted to claim a version.
func fuzzed(f *testing.F) *Server {
	path := f.TempDir() + "/policy.json"
	require.NoError(f, writeFile(path, fuzzedPolicy))
	config := &Config{Listen: "127.0.0.1:0", Admin: "127.0.0.1:0", TrustedProxies: []string{"127.0.0.1", "10.0.0.0/8"},
		Services: []Service{{Service: "shop", Source: "file://" + path}}}
	require.NoError(f, config.Check())
	s, err := New(config, nil)
	require.NoError(f, err)
	f.Cleanup(s.Close)
	select {
	case <-s.list[0].handle.Ready():
	case <-time.After(10 * time.Second):
		f.Fatal("no policy")
	}
	return s
}

// fuzzedPolicy reads every attribute. Only who claims it gets v2.
const fuzzedPolicy = `{"service": "shop", "stable": "v1", "versions": {"v1": {}, "v2": {}, "v3": {}},
	"trust": ["192.0.2.1"],
	"anonymous": "cookie", "identity": ["cookie uid", "header X-User", "query user"],
	"jwt": {"secret": "0123456789abcdef0123456789abcdef"},
	"tester": {"secret": "0123456789abcdef0123456789abcdef"}, "rules": [
	{"name": "told", "version": "v2", "when": ["header X-Gray-Version = v2"]},
	{"name": "member", "version": "v2", "when": ["baggage gray = v2"]},
	{"version": "v3", "when": ["cookie a = 1", "query b prefix 2", "path contains x", "host suffix .test"]},
	{"version": "v3", "when": ["claim sub exists"]}, {"version": "v3", "when": ["ip in 198.51.100.0/24, 2001:db8::/32"]},
	{"version": "v3", "when": ["baggage user semver >=1"]},
	{"version": "v3", "when": ["method = POST", "header X-Age > 3"]},
	{"version": "v3", "percent": 50}]}`

// checkTold checks what is said of a request whose claims nobody believes.
func checkTold(t *testing.T, version, baggage string) {
	t.Helper()
	if version != "v1" && version != "v3" {
		t.Fatalf("version %q", version)
	}
	members := strings.Split(baggage, ",")
	own := 0
	for _, member := range members {
		key, _, found := strings.Cut(member, "=")
		if found && strings.Trim(key, " \t") == "gray" {
			own++
		}
	}
	want := 1
	if version == "v1" {
		want = 0 // absence says stable
	}
	if own != want || own > 0 && members[len(members)-1] != "gray="+version {
		t.Fatalf("baggage %q", baggage)
	}
}

// FuzzCheck asks as Envoy does: with any message, and with a request of any parts.
func FuzzCheck(f *testing.F) {
	s := fuzzed(f)
	a := &authorization{server: s}
	f.Add([]byte{}, "GET", "/a?b=2", "shop.test", "203.0.113.7", "x-gray-version: v2\nbaggage: a=1,gray=v2", true)
	f.Add([]byte{0x0a, 0x02}, "POST", "/%zz", "[::1]:80", "::1", "cookie: a=1; uid=\xff\nauthorization: Bearer a.b.c",
		false)
	f.Add([]byte{}, "OPTIONS", "*", "", "",
		"x_gray_version: v2\nconnection: x-gray-version\n: x\nx-forwarded-for: 198.51.100.1", true)
	f.Add([]byte{}, "GET", "/?gray=v2.1.x", "xn--a.test.", "10.1.1.1", "baggage: gray = v2\nbaggage: ,,gray=v2;p", true)
	f.Fuzz(func(t *testing.T, message []byte, method, path, host, peer, lines string, isRaw bool) {
		var any auth.CheckRequest
		if proto.Unmarshal(message, &any) == nil {
			answer, err := a.Check(context.Background(), &any)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := proto.Marshal(answer); err != nil {
				t.Fatal(err)
			}
		}
		if strings.Contains(peer, "192.0.2.1") {
			return // who is believed
		}
		r := &auth.AttributeContext_HttpRequest{Method: method, Path: path, Host: host, Headers: map[string]string{},
			HeaderMap: &base.HeaderMap{}}
		for line := range strings.SplitSeq(lines, "\n") {
			name, value, _ := strings.Cut(line, ": ")
			if isRaw {
				r.HeaderMap.Headers = append(r.HeaderMap.Headers, &base.HeaderValue{Key: name, RawValue: []byte(value)})
			} else {
				r.Headers[name] = value
			}
		}
		answer, err := a.Check(context.Background(), &auth.CheckRequest{Attributes: &auth.AttributeContext{
			Source: peerAt(peer), Request: &auth.AttributeContext_Request{Http: r}}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := proto.Marshal(answer); err != nil {
			t.Fatal(err)
		}
		checkTold(t, setBy(answer, "X-Gray-Version"), setBy(answer, "Baggage"))
		for _, h := range answer.GetOkResponse().Headers {
			if slices.Contains(answer.GetOkResponse().HeadersToRemove, h.Header.Key) {
				t.Fatalf("%s is set and removed", h.Header.Key)
			}
		}
	})
}

// FuzzDecide asks as gateways do by HTTP: with any request, and with a request's lines beside those
// that a gateway sets.
func FuzzDecide(f *testing.F) {
	s := fuzzed(f)
	f.Add("GET /decide HTTP/1.1\r\nHost: a\r\n\r\n", "GET", "/a?b=2", "shop.test", "203.0.113.7",
		"X-Gray-Version: v2\r\nBaggage: gray=v2")
	f.Add("POST /decide/shop?x HTTP/1.0\r\n\r\n", "POST", "/%zz", "[::1]:80", "::1",
		"Cookie: a=1; uid=\xff\r\nAuthorization: Bearer a.b.c")
	f.Add("GET //decide/../x HTTP/1.1\r\nHost: a\r\n\r\n", "", "*", "", "unknown",
		"X_Gray_Version: v2\r\nX-Forwarded-For: 198.51.100.1")
	f.Add("PRI * HTTP/2.0\r\n\r\n", "GET", "http://x/y", "xn--a.test.", "10.1.1.1, 127.0.0.1",
		"Baggage: gray = v2\r\nBaggage: ,,gray=v2;p")
	f.Fuzz(func(t *testing.T, raw, method, uri, host, chain, lines string) {
		if r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw))); err == nil {
			w := httptest.NewRecorder()
			s.serveQuestion(w, r)
			if w.Code != http.StatusOK && w.Code != http.StatusNotFound {
				t.Fatal(w.Code)
			}
		}
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET /decide HTTP/1.1\r\nHost: a\r\n" + lines +
			"\r\n\r\n")))
		if err != nil || strings.Contains(chain, "192.0.2.1") {
			return
		}
		for name, value := range map[string]string{forwardedMethod: method, forwardedURI: uri, forwardedHost: host,
			forwardedProto: "https"} {
			r.Header[name] = []string{value}
		}
		r.Header[forwardedFor] = append(r.Header[forwardedFor], chain)
		w := httptest.NewRecorder()
		s.serveQuestion(w, r)
		h := w.Header()
		if w.Code != http.StatusOK {
			t.Fatal(w.Code)
		}
		if h.Get(mistake) != "" {
			if lastAddress([]string{chain}) != "" || h.Get("X-Gray-Version") != "" || h.Get("Baggage") != "" {
				t.Fatal(h)
			}
			return
		}
		checkTold(t, h.Get("X-Gray-Version"), h.Get("Baggage"))
	})
}
