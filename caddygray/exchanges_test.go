package caddygray_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// echoing returns the address of an upstream that sends back lines: on a connection that it
// upgrades, or else as a stream of its own, a line at once and one at the end.
func echoing(t *testing.T) string {
	t.Helper()
	stop := make(chan struct{})
	address := backend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			_, _ = io.WriteString(w, "hello\n")
			_ = http.NewResponseController(w).Flush()
			select {
			case <-r.Context().Done():
			case <-stop:
			}
			return
		}
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		_, _ = io.Copy(conn, buffered)
	})
	t.Cleanup(func() { close(stop) })
	return address
}

// open is a connection through the gateway to an upstream that echoes.
type open struct {
	net.Conn
	lines *bufio.Reader
}

func upgrade(t *testing.T, url, app string) *open {
	t.Helper()
	host := strings.TrimPrefix(url, "http://")
	conn, err := net.Dial("tcp", host)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	_, err = fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: echo\r\nX-App: %s\r\n\r\n",
		host, app)
	require.NoError(t, err)
	o := &open{conn, bufio.NewReader(conn)}
	res, err := http.ReadResponse(o.lines, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, res.StatusCode)
	return o
}

// works reports whether the connection still echoes.
func (o *open) works() bool {
	if _, err := io.WriteString(o, "a line\n"); err != nil {
		return false
	}
	_ = o.SetReadDeadline(time.Now().Add(5 * time.Second))
	line, err := o.lines.ReadString('\n')
	return err == nil && line == "a line\n"
}

// ends waits until the connection is closed from the other end.
func (o *open) ends(t *testing.T) {
	t.Helper()
	_ = o.SetReadDeadline(time.Now().Add(10 * time.Second))
	_, err := o.lines.ReadByte()
	require.ErrorIs(t, err, io.EOF)
}

// switched is a gateway whose policy is a file, and how to throw the switch beside it.
type switched struct {
	url, service string
	write        func(name, text string)
}

func switchable(t *testing.T, service, options string, v2 ...string) switched {
	t.Helper()
	folder := t.TempDir()
	s := switched{service: service}
	s.write = func(name, text string) {
		replaceFile(t, filepath.Join(folder, name), text)
	}
	s.write("policy", fmt.Sprintf(`{"service": %q, "stable": "v1",
		"versions": {"v1": {"upstreams": [%q]}, "v2": {"upstreams": ["%s"]}},
		"rules": [{"version": "v2", "when": ["header X-App = beta"]}]}`, service, echoing(t), strings.Join(v2, `","`)))
	s.url = site(t, fmt.Sprintf("gray %s {\nsource file://%s/policy?interval=10ms\ncache %s\n%s\n}\n"+
		"reverse_proxy {\ndynamic gray\n}", service, folder, t.TempDir(), options))
	s.awaitEnabled(t, true)
	return s
}

// awaitEnabled waits until the document, or the switch, is in force.
func (s switched) awaitEnabled(t *testing.T, enabled bool) {
	t.Helper()
	require.Eventually(t, func() bool {
		return metric(t, "caddy_gray_policy_info", "service="+s.service, fmt.Sprintf("enabled=%t", enabled)) == 1
	}, 10*time.Second, time.Millisecond)
}

// open returns the gauge of exchanges of a version.
func (s switched) open(t *testing.T, version string) int {
	t.Helper()
	return int(metric(t, "caddy_gray_open_exchanges", "service="+s.service, "version="+version))
}

// throw throws the switch, and waits until it is in force.
func (s switched) throw(t *testing.T, epoch int, to string) {
	t.Helper()
	s.write("policy.switch", fmt.Sprintf(`{"epoch": %d, "to": %q}`, epoch, to))
	s.awaitEnabled(t, to == "")
}

func TestExchangesEndAfterTheSwitch(t *testing.T) {
	s := switchable(t, "drained", "drain_timeout 1500ms", echoing(t))
	stable, beta := upgrade(t, s.url, ""), upgrade(t, s.url, "beta")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url, nil)
	require.NoError(t, err)
	req.Header.Set("X-App", "beta")
	stream, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer stream.Body.Close()
	require.Equal(t, 1, s.open(t, "v1"))
	require.Equal(t, 2, s.open(t, "v2"))

	began := time.Now()
	s.throw(t, 1, "v1")
	require.True(t, beta.works(), "the grace period")
	beta.ends(t)
	require.GreaterOrEqual(t, time.Since(began), 1500*time.Millisecond)
	_, err = io.ReadAll(stream.Body)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.True(t, stable.works())
	require.Eventually(t, func() bool { return s.open(t, "v2") == 0 }, 10*time.Second, time.Millisecond)
	require.Equal(t, 1, s.open(t, "v1"))
	require.Zero(t, metric(t, "caddy_gray_upstream_failures_total", "service=drained", "version=v2", "kind=interrupted"))

	s.throw(t, 2, "")
	s.throw(t, 3, "v2")
	require.True(t, stable.works())
	time.Sleep(1600 * time.Millisecond)
	require.True(t, stable.works(), "stable serves as the fallback, so its exchanges stay")
}

// A version that is back before the grace period is over keeps its exchanges, and so does an
// exchange that stable serves in place of the version.
func TestExchangesThatStay(t *testing.T) {
	s := switchable(t, "kept", "drain_timeout 1500ms", echoing(t))
	beta := upgrade(t, s.url, "beta")
	s.throw(t, 1, "v1")
	s.throw(t, 2, "")
	time.Sleep(1600 * time.Millisecond)
	require.True(t, beta.works())

	fallback := switchable(t, "fallback", "drain_timeout 50ms", freeAddress(t))
	served := upgrade(t, fallback.url, "beta")
	assert.Equal(t, 1, fallback.open(t, "v1"))
	assert.Equal(t, 0, fallback.open(t, "v2"))
	fallback.throw(t, 1, "v1")
	time.Sleep(150 * time.Millisecond)
	require.True(t, served.works())
}

// Without the option, a switch ends nothing.
func TestExchangesOutliveTheSwitch(t *testing.T) {
	s := switchable(t, "outlived", "", echoing(t))
	beta := upgrade(t, s.url, "beta")
	s.throw(t, 1, "v1")
	time.Sleep(100 * time.Millisecond)
	require.True(t, beta.works())
	require.Equal(t, 1, s.open(t, "v2"))
	require.NoError(t, beta.Close())
	require.Eventually(t, func() bool { return s.open(t, "v2") == 0 }, 10*time.Second, time.Millisecond)
}

// The policy may also be turned off by a reload, which Caddy's proxy lets exchanges outlive.
func TestExchangesEndAfterAReload(t *testing.T) {
	address, v1, v2 := freeAddress(t), echoing(t), echoing(t)
	config := func(options string) string {
		return fmt.Sprintf("http://%s {\ngray reloaded {\nstable v1\nversion v1 %s\nversion v2 %s\ndrain_timeout 100ms\n%s\n"+
			"rule v2 {\nwhen header X-App = beta\n}\n}\nreverse_proxy {\ndynamic gray\nstream_close_delay 1m\n}\n}\n",
			address, v1, v2, options)
	}
	startCaddyfile(t, config(""))
	stable, beta := upgrade(t, "http://"+address, ""), upgrade(t, "http://"+address, "beta")
	startCaddyfile(t, config("header X-Version"))
	time.Sleep(150 * time.Millisecond)
	require.True(t, beta.works(), "another policy gives the version too")
	startCaddyfile(t, config("off"))
	beta.ends(t)
	require.True(t, stable.works())
}
