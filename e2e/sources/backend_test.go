package sources

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/e2e/servers"
)

// backend is a real place that policies come from. Keys are written to the server itself; the gateway reads through a relay that can cut its connections.
type backend struct {
	name    string
	process *servers.Process // nil where there is none to kill
	relay   *relay           // nil for files
	url     func(key string) string
	put     func(key, text string) // the document
	remove  func(key string)
	swtch   func(key string) string // the key of the switch beside a document
	// single: one connection serves the document and the switch
	single bool
}

var backends = []struct {
	name  string
	start func(t testing.TB) *backend
}{
	{"file", fileBackend},
	{"http", func(t testing.TB) *backend { return webBackend(t, false) }},
	{"http-wait", func(t testing.TB) *backend { return webBackend(t, true) }},
	{"etcd", etcdBackend},
	{"consul", consulBackend},
	{"nacos", nacosBackend},
	{"nacos-3", nacos3Backend},
}

func slashSwitch(key string) string { return key + "/switch" }
func dotSwitch(key string) string   { return key + ".switch" }

func fileBackend(t testing.TB) *backend {
	dir := t.TempDir()
	path := func(key string) string { return filepath.Join(dir, key) }
	return &backend{
		name: "file", swtch: dotSwitch,
		url: func(key string) string { return "file://" + path(key) },
		put: func(key, text string) {
			require.NoError(t, os.WriteFile(path(key)+".new", []byte(text), 0o600))
			require.NoError(t, os.Rename(path(key)+".new", path(key)))
		},
		remove: func(key string) { require.NoError(t, os.Remove(path(key))) },
	}
}

// webBackend is an HTTP server, with ETags, that can hold requests or not.
func webBackend(t testing.TB, holds bool) *backend {
	var mu sync.Mutex
	texts := map[string]string{}
	changed := make(chan struct{})
	set := func(key string, text *string) {
		mu.Lock()
		defer mu.Unlock()
		if text == nil {
			delete(texts, "/"+key)
		} else {
			texts["/"+key] = *text
		}
		close(changed)
		changed = make(chan struct{})
	}
	etag := func(text string) string {
		return fmt.Sprintf("%q", fmt.Sprintf("%x", len(text))+base64.RawURLEncoding.EncodeToString([]byte(text))[:min(60, len(text))])
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		deadline := time.After(20 * time.Second)
		for {
			mu.Lock()
			text, ok := texts[r.URL.Path]
			wait := changed
			mu.Unlock()
			if holds {
				w.Header().Set("Preference-Applied", "wait")
			}
			w.Header().Set("ETag", etag(text))
			same := ok && r.Header.Get("If-None-Match") == etag(text)
			if same && holds && r.Header.Get("Prefer") != "" {
				select {
				case <-wait:
					continue
				case <-deadline:
				case <-r.Context().Done():
					return
				}
			}
			switch {
			case !ok:
				http.NotFound(w, r)
			case same:
				w.WriteHeader(http.StatusNotModified)
			default:
				_, _ = io.WriteString(w, text)
			}
			return
		}
	})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	b := &backend{name: "http", swtch: dotSwitch, relay: newRelay(t, l.Addr().String()), single: !holds,
		put:    func(key, text string) { set(key, &text) },
		remove: func(key string) { set(key, nil) },
	}
	b.url = func(key string) string { return "http://" + b.relay.addr + "/" + key + "#interval=50ms" }
	return b
}

func etcdBackend(t testing.TB) *backend {
	p, port := servers.Etcd(t)
	base := servers.BaseURL(port)
	b := &backend{name: "etcd", process: p, swtch: slashSwitch, relay: newRelay(t, servers.Host(port)), single: true}
	b.url = func(key string) string { return "etcd://" + b.relay.addr + "/" + key }
	b.put = func(key, text string) { etcdPut(t, base, key, text, 0) }
	b.remove = func(key string) {
		post(t, base+"/v3/kv/deleterange", map[string]any{"key": []byte(key)})
	}
	return b
}

func etcdPut(t testing.TB, base, key, text string, lease int64) {
	post(t, base+"/v3/kv/put", map[string]any{"key": []byte(key), "value": []byte(text), "lease": lease})
}

func consulBackend(t testing.TB) *backend {
	p, port := servers.Consul(t)
	base := servers.BaseURL(port)
	b := &backend{name: "consul", process: p, swtch: slashSwitch, relay: newRelay(t, servers.Host(port)), single: true}
	b.url = func(key string) string { return "consul://" + b.relay.addr + "/" + key }
	b.put = func(key, text string) { call(t, "PUT", base+"/v1/kv/"+key, "", text) }
	b.remove = func(key string) { call(t, "DELETE", base+"/v1/kv/"+key, "", "") }
	return b
}

func nacosBackend(t testing.TB) *backend {
	p, port := servers.Nacos(t)
	base := servers.BaseURL(port) + "/nacos/v1/cs/configs"
	b := &backend{name: "nacos", process: p, swtch: dotSwitch, relay: newRelay(t, servers.Host(port)), single: true}
	b.url = func(key string) string { return "nacos://" + b.relay.addr + "/" + key + "?group=gray" }
	b.put = func(key, text string) {
		form := url.Values{"dataId": {key}, "group": {"gray"}, "content": {text}}
		require.Equal(t, "true", call(t, "POST", base, "application/x-www-form-urlencoded", form.Encode()))
	}
	b.remove = func(key string) {
		call(t, "DELETE", base+"?"+url.Values{"dataId": {key}, "group": {"gray"}}.Encode(), "", "")
	}
	return b
}

func nacos3Backend(t testing.TB) *backend {
	p, port := servers.Nacos3(t)
	base := servers.BaseURL(port) + "/nacos/v3/admin/cs/config"
	b := &backend{name: "nacos-3", process: p, swtch: dotSwitch, relay: newRelay(t, servers.Host(port)), single: true}
	b.url = func(key string) string { return "nacos://" + b.relay.addr + "/" + key + "?group=gray&api=v3" }
	b.put = func(key, text string) {
		form := url.Values{"dataId": {key}, "groupName": {"gray"}, "content": {text}}
		require.Contains(t, call(t, "POST", base, "application/x-www-form-urlencoded", form.Encode()), "true")
	}
	b.remove = func(key string) {
		call(t, "DELETE", base+"?"+url.Values{"dataId": {key}, "groupName": {"gray"}}.Encode(), "", "")
	}
	return b
}

func post(t testing.TB, url string, body any) map[string]any {
	text, err := json.Marshal(body)
	require.NoError(t, err)
	var answer map[string]any
	require.NoError(t, json.Unmarshal([]byte(call(t, "POST", url, "application/json", string(text))), &answer))
	return answer
}

func call(t testing.TB, method, url, contentType, body string) string {
	req, err := http.NewRequest(method, url, bytes.NewReader([]byte(body)))
	require.NoError(t, err)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, 200, resp.StatusCode, "%s %s: %s", method, url, text)
	return strings.TrimSpace(string(text))
}

// relay passes connections on to a server, counts them, and can cut them.
type relay struct {
	addr string

	mu    sync.Mutex
	conns map[net.Conn]bool
	most  int
	held  bool // connections are refused

	target string
}

func newRelay(t testing.TB, target string) *relay {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r := &relay{addr: l.Addr().String(), target: target, conns: map[net.Conn]bool{}}
	t.Cleanup(func() { l.Close(); r.cut() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go r.pass(c)
		}
	}()
	return r
}

func (r *relay) pass(c net.Conn) {
	defer c.Close()
	r.mu.Lock()
	held := r.held
	r.mu.Unlock()
	if held {
		return
	}
	s, err := net.Dial("tcp", r.target)
	if err != nil {
		return
	}
	defer s.Close()
	r.mu.Lock()
	r.conns[c] = true
	r.most = max(r.most, len(r.conns))
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.conns, c)
		r.mu.Unlock()
	}()
	go func() { _, _ = io.Copy(s, c); s.Close(); c.Close() }()
	_, _ = io.Copy(c, s)
}

// cut closes all connections.
func (r *relay) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.conns {
		c.Close()
	}
}

// hold closes new connections at once, or no longer.
func (r *relay) hold(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held = on
}

// open is how many connections there are, and how many there were at most at one time since the last call.
func (r *relay) open() (now, most int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now, most = len(r.conns), r.most
	r.most = now
	return now, most
}
