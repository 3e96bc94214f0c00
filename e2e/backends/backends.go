// Package backends are the config centres and registries that the tests take policies and instances
// from.
package backends

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/e2e/servers"
)

// Backend is a real config centre. Keys are written to the server directly. The gateway reads
// through a relay, which can cut its connections.
type Backend struct {
	Name    string
	Process *servers.Process // nil where there is none to kill
	Relay   *Relay           // nil for files
	URL     func(key string) string
	Put     func(key, text string) // the document
	Remove  func(key string)
	Switch  func(key string) string // the key of the switch beside a document
	Single  bool                    // one connection serves the document and the switch

	Registry *Registry // of the same server, nil where there is none
}

// All of them.
var All = []struct {
	Name  string
	Start func(t testing.TB) *Backend
}{
	{"file", File},
	{"http", func(t testing.TB) *Backend { return Web(t, false) }},
	{"http-wait", func(t testing.TB) *Backend { return Web(t, true) }},
	{"etcd", Etcd},
	{"consul", Consul},
	{"nacos", Nacos},
	{"nacos-3", Nacos3},
}

func slashSwitch(key string) string { return key + "/switch" }
func dotSwitch(key string) string   { return key + ".switch" }

// File is a folder.
func File(t testing.TB) *Backend {
	dir := t.TempDir()
	path := func(key string) string { return filepath.Join(dir, key) }
	return &Backend{
		Name: "file", Switch: dotSwitch,
		URL: func(key string) string { return "file://" + path(key) },
		Put: func(key, text string) {
			require.NoError(t, os.WriteFile(path(key)+".new", []byte(text), 0o600))
			require.NoError(t, os.Rename(path(key)+".new", path(key)))
		},
		Remove: func(key string) { require.NoError(t, os.Remove(path(key))) },
	}
}

// Web is an HTTP server, with ETags and conditional writes, that can hold requests or not.
func Web(t testing.TB, holds bool) *Backend {
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
	etag := func(text string) string { return fmt.Sprintf("\"%x\"", sha256.Sum256([]byte(text))) }
	put := func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		text, ok := texts[r.URL.Path]
		if r.Header.Get("If-None-Match") == "*" && ok || r.Header.Get("If-Match") != "" &&
			(!ok || r.Header.Get("If-Match") != etag(text)) {
			w.WriteHeader(http.StatusPreconditionFailed)
			return
		}
		texts[r.URL.Path] = string(body)
		w.Header().Set("ETag", etag(string(body)))
		close(changed)
		changed = make(chan struct{})
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			put(w, r)
			return
		}
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
	b := &Backend{Name: "http", Switch: dotSwitch, Relay: newRelay(t, l.Addr().String()), Single: !holds,
		Put:    func(key, text string) { set(key, &text) },
		Remove: func(key string) { set(key, nil) },
	}
	b.URL = func(key string) string { return "http://" + b.Relay.addr + "/" + key + "#interval=50ms" }
	return b
}

// Etcd is a key in etcd.
func Etcd(t testing.TB) *Backend {
	p, port := servers.Etcd(t)
	base := servers.BaseURL(port)
	b := &Backend{Name: "etcd", Process: p, Switch: slashSwitch, Relay: newRelay(t, servers.Host(port)), Single: true,
		Registry: etcdRegistry(t, p, port)}
	b.URL = func(key string) string { return "etcd://" + b.Relay.addr + "/" + key }
	b.Put = func(key, text string) { EtcdPut(t, base, key, text, 0) }
	b.Remove = func(key string) {
		Post(t, base+"/v3/kv/deleterange", map[string]any{"key": []byte(key)})
	}
	return b
}

// EtcdPut writes a key, bound to a lease unless that is 0.
func EtcdPut(t testing.TB, base, key, text string, lease int64) {
	Post(t, base+"/v3/kv/put", map[string]any{"key": []byte(key), "value": []byte(text), "lease": lease})
}

// Consul is a key in Consul.
func Consul(t testing.TB) *Backend {
	p, port := servers.Consul(t)
	base := servers.BaseURL(port)
	b := &Backend{Name: "consul", Process: p, Switch: slashSwitch, Relay: newRelay(t, servers.Host(port)), Single: true,
		Registry: consulRegistry(t, p, port)}
	b.URL = func(key string) string { return "consul://" + b.Relay.addr + "/" + key }
	b.Put = func(key, text string) { Call(t, "PUT", base+"/v1/kv/"+key, "", text) }
	b.Remove = func(key string) { Call(t, "DELETE", base+"/v1/kv/"+key, "", "") }
	return b
}

// Nacos is a configuration in Nacos 2.
func Nacos(t testing.TB) *Backend {
	p, port := servers.Nacos(t)
	base := servers.BaseURL(port) + "/nacos/v1/cs/configs"
	b := &Backend{Name: "nacos", Process: p, Switch: dotSwitch, Relay: newRelay(t, servers.Host(port)), Single: true,
		Registry: nacosRegistry(t, p, port)}
	b.URL = func(key string) string { return "nacos://" + b.Relay.addr + "/" + key + "?group=gray" }
	b.Put = func(key, text string) {
		form := url.Values{"dataId": {key}, "group": {"gray"}, "content": {text}}
		require.Equal(t, "true", Call(t, "POST", base, "application/x-www-form-urlencoded", form.Encode()))
	}
	b.Remove = func(key string) {
		Call(t, "DELETE", base+"?"+url.Values{"dataId": {key}, "group": {"gray"}}.Encode(), "", "")
	}
	return b
}

// Nacos3 is a configuration in Nacos 3.
func Nacos3(t testing.TB) *Backend {
	p, port := servers.Nacos3(t)
	base := servers.BaseURL(port) + "/nacos/v3/admin/cs/config"
	b := &Backend{Name: "nacos-3", Process: p, Switch: dotSwitch, Relay: newRelay(t, servers.Host(port)), Single: true}
	b.URL = func(key string) string { return "nacos://" + b.Relay.addr + "/" + key + "?group=gray&api=v3" }
	b.Put = func(key, text string) {
		form := url.Values{"dataId": {key}, "groupName": {"gray"}, "content": {text}}
		require.Contains(t, Call(t, "POST", base, "application/x-www-form-urlencoded", form.Encode()), "true")
	}
	b.Remove = func(key string) {
		Call(t, "DELETE", base+"?"+url.Values{"dataId": {key}, "groupName": {"gray"}}.Encode(), "", "")
	}
	return b
}
