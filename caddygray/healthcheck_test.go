package caddygray_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/stretchr/testify/require"
)

func TestHealthChecks(t *testing.T) {
	var status atomic.Int64
	status.Store(http.StatusNoContent)
	v2 := backend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RequestURI() == "/healthz?deep=1" {
			w.WriteHeader(int(status.Load()))
			return
		}
		_, _ = w.Write([]byte("two"))
	})
	url := gateway(t, "version v1 "+says(t, "one")+"\nversion v2 "+v2+" {\nhealth_uri /healthz?deep=1\n"+
		"health_interval 10ms\nhealth_timeout 5s\nhealth_status 204\n}", "")
	becomes := func(body string) {
		t.Helper()
		require.Eventually(t, func() bool { return get(t, url, "v2").body == body }, 10*time.Second, 5*time.Millisecond)
	}
	becomes("two")
	status.Store(http.StatusOK) // well, but not what is expected
	becomes("one told v1")
	status.Store(http.StatusNoContent)
	becomes("two")
}

func TestHealthChecksOfAllSchemes(t *testing.T) {
	for name, c := range map[string]struct {
		protocol string // of checks
		start    func(*testing.T, *httptest.Server) (upstream string)
	}{
		"http": {"HTTP/1.1", func(_ *testing.T, s *httptest.Server) string {
			s.Start()
			return s.URL
		}},
		"h2c": {"HTTP/2.0", func(_ *testing.T, s *httptest.Server) string {
			s.Config.Protocols = new(http.Protocols)
			s.Config.Protocols.SetUnencryptedHTTP2(true)
			s.Start()
			return "h2c://" + s.Listener.Addr().String()
		}},
		"https, which nobody trusts": {"HTTP/1.1", func(_ *testing.T, s *httptest.Server) string {
			s.StartTLS()
			return s.URL
		}},
		"https, HTTP/2 only": {"HTTP/2.0", func(_ *testing.T, s *httptest.Server) string {
			s.EnableHTTP2 = true
			s.StartTLS()
			return s.URL
		}},
		"socket": {"HTTP/1.1", func(t *testing.T, s *httptest.Server) string {
			return "unix/" + onSocket(t, s)
		}},
		"socket, h2c": {"HTTP/2.0", func(t *testing.T, s *httptest.Server) string {
			s.Config.Protocols = new(http.Protocols)
			s.Config.Protocols.SetUnencryptedHTTP2(true)
			return "unix+h2c/" + onSocket(t, s)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var protocol, host atomic.Value
			var status, checks atomic.Int64
			status.Store(http.StatusOK)
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/healthz" {
					protocol.Store(r.Proto)
					host.Store(r.Host)
					w.WriteHeader(int(status.Load()))
					checks.Add(1)
					return
				}
				_, _ = w.Write([]byte("two"))
			}))
			t.Cleanup(server.Close)
			v2 := c.start(t, server)
			transport := ""
			if strings.HasPrefix(v2, "https") {
				transport = "transport http {\ntls\ntls_insecure_skip_verify\n}"
			}
			url := gateway(t, "version v1 http://"+says(t, "one")+"\nversion v2 "+v2+" {\nhealth_uri /healthz\n"+
				"health_interval 10ms\n}", transport)
			require.Eventually(t, func() bool { return checks.Load() > 1 }, 10*time.Second, 5*time.Millisecond)
			require.Equal(t, c.protocol, protocol.Load())
			if strings.HasPrefix(v2, "unix") {
				require.Equal(t, "localhost", host.Load())
			} else {
				require.Equal(t, server.Listener.Addr().String(), host.Load())
			}
			require.Equal(t, "two", get(t, url, "v2").body, "it is well")
			status.Store(http.StatusServiceUnavailable)
			require.Eventually(t, func() bool {
				return get(t, url, "v2").body == "one told v1"
			}, 10*time.Second, 5*time.Millisecond)
		})
	}
}

// onSocket starts a server on a unix socket, and returns its path.
func onSocket(t *testing.T, s *httptest.Server) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", path)
	require.NoError(t, err)
	require.NoError(t, s.Listener.Close())
	s.Listener = listener
	s.Start()
	return path
}

func TestHealthChecksTellSocketsApart(t *testing.T) {
	var paths []string
	for _, status := range []int{http.StatusOK, http.StatusServiceUnavailable} {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(status)
		}))
		t.Cleanup(s.Close)
		paths = append(paths, "unix/"+onSocket(t, s))
	}
	url := gateway(t, "version v1 "+says(t, "one")+"\nversion v2 "+strings.Join(paths,
		" ")+" {\nhealth_uri /\nhealth_interval 5ms\n}", "lb_policy round_robin")
	well := 0
	require.Eventually(t, func() bool {
		well++
		if get(t, url, "v2").status != http.StatusOK {
			well = 0
		}
		return well > 20
	}, 10*time.Second, 5*time.Millisecond, "the one that is not well is left out for good, the other never")
	require.NotContains(t, get(t, url, "v2").debug, "fallback")
}

func TestHealthCheckTimeout(t *testing.T) {
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	v2 := backend(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	})
	url := gateway(t, "version v1 "+says(t, "one")+"\nversion v2 "+v2+" {\nhealth_uri /\nhealth_timeout 20ms\n}", "")
	require.Eventually(t, func() bool {
		client := http.Client{Timeout: 100 * time.Millisecond}
		req, _ := http.NewRequest(http.MethodGet, url, nil)
		req.Header.Set("X-V", "v2")
		res, err := client.Do(req)
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusOK
	}, 10*time.Second, 10*time.Millisecond)
}

// What is asked, and how many checks in a row count.
func TestHealthCheckRequest(t *testing.T) {
	began, bodies, end := make(chan *http.Request), make(chan string), make(chan struct{})
	checked := backend(t, func(w http.ResponseWriter, r *http.Request) {
		select {
		case began <- r:
		case <-end:
			return
		}
		select {
		case body := <-bodies:
			_, _ = w.Write([]byte(body))
		case <-end:
		}
	})
	t.Cleanup(func() { close(end) })
	_, port, err := net.SplitHostPort(checked)
	require.NoError(t, err)
	url := gateway(t, "version v1 "+says(t, "one")+"\nversion v2 "+says(t, "two")+" {\nhealth_uri /healthz\n"+
		"health_interval 1ms\nhealth_method POST\nhealth_port "+port+"\nhealth_body `state: (well|busy)`\n"+
		"health_headers {\nX-Check a b\nHost check.example\n}\nhealth_fails 3\nhealth_passes 2\n}", "")
	r := <-began
	require.Equal(t, "POST /healthz check.example [a b]",
		fmt.Sprint(r.Method, " ", r.URL, " ", r.Host, " ", r.Header["X-Check"]))
	for i, step := range []struct{ body, serves string }{
		{"state: well", "two told v2"},
		{"state: ill", "two told v2"}, {"", "two told v2"}, {"state: busy", "two told v2"}, // two in a row are not three
		{"state: ill", "two told v2"}, {"state: ill", "two told v2"}, {"state: ill", "one told v1"},
		{"state: well", "one told v1"}, {"state: ill", "one told v1"}, // one in a row is not two
		{"state: well", "one told v1"}, {"state: well", "two told v2"},
	} {
		bodies <- step.body
		<-began // the check before has its effect
		require.Equal(t, step.serves, get(t, url, "v2").body, "step %d", i)
	}
}

// Health checks of the proxy would check nothing.
func TestHealthChecksOfTheProxy(t *testing.T) {
	for check, want := range map[string]string{
		"health_uri /healthz": "put the health checks into the versions of `gray`", "": "",
	} {
		for own, want := range map[string]string{"": want, "127.0.0.1:1": ""} {
			config := adapt(t, quiet+"http://"+freeAddress(t)+" {\ngray checked {\nstable v1\nversion v1 127.0.0.1:1\n}\n"+
				"reverse_proxy "+own+" {\ndynamic gray\n"+check+"\n}\n}\n")
			err := caddy.Load(config, true)
			if want == "" {
				require.NoError(t, err)
				require.NoError(t, caddy.Stop())
			} else {
				require.ErrorContains(t, err, want)
			}
		}
	}
}
