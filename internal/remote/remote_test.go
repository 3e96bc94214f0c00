package remote

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func client(t *testing.T, handler http.HandlerFunc, path string, options map[string]string) (*Client, *Address) {
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	a, err := Parse("http://"+strings.TrimPrefix(s.URL, "http://")+path, options, nil)
	require.NoError(t, err)
	c, err := NewClient(a)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c, a
}

func TestAnswersAreBounded(t *testing.T) {
	c, _ := client(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1001)) }, "/", nil)
	_, err := c.Do(context.Background(), Request{Path: "/", Limit: 1000})
	require.ErrorContains(t, err, "larger than 1000 bytes")
	resp, err := c.Do(context.Background(), Request{Path: "/", Limit: 1001})
	require.NoError(t, err)
	require.Len(t, resp.Body, 1001)
}

func TestErrorsShowNoSecrets(t *testing.T) {
	c, _ := client(t, func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "bad token hunter2 at "+r.URL.RawQuery+"\x1b[31m", http.StatusTeapot)
	}, "/x?key=hunter3", map[string]string{"token": "hunter2"})
	resp, err := c.Do(context.Background(), Request{Path: "/x?key=hunter3"})
	require.NoError(t, err)
	text := c.Unexpected(resp.Status, resp.Body).Error()
	require.NotContains(t, text, "hunter")
	require.NotContains(t, text, "\x1b")
	require.Contains(t, text, "answered 418")

	c.hosts = []string{"127.0.0.1:1"}
	_, err = c.Do(context.Background(), Request{Path: "/x?key=hunter3"})
	require.ErrorContains(t, err, "refused")
	require.NotContains(t, err.Error(), "hunter")
}

func TestServersThatDoNotAnswer(t *testing.T) {
	release := make(chan struct{})
	c, _ := client(t, func(http.ResponseWriter, *http.Request) { <-release }, "/", map[string]string{"timeout": "150ms"})
	defer close(release)
	_, err := c.Do(context.Background(), Request{Path: "/"})
	require.ErrorContains(t, err, "no answer in time")
}

func TestRedirects(t *testing.T) {
	c, a := client(t, func(w http.ResponseWriter, r *http.Request) {
		switch left := len(r.URL.Path) - len("/from"); {
		case left > 0:
			http.Redirect(w, r, r.URL.Path[:len(r.URL.Path)-1], http.StatusFound)
		case left == 0:
			http.Redirect(w, r, "/to", http.StatusFound)
		}
	}, "/", nil)
	resp, err := c.Do(context.Background(), Request{Path: "/from.."})
	require.NoError(t, err)
	require.Equal(t, 200, resp.Status, "after three redirects")
	_, err = c.Do(context.Background(), Request{Path: "/from..."})
	require.ErrorContains(t, err, "more than 3 redirects")

	a.Scheme = "consul"
	strict, err := NewConsul(a)
	require.NoError(t, err)
	resp, err = strict.Do(context.Background(), Request{Path: "/from"})
	require.NoError(t, err)
	require.Equal(t, 302, resp.Status, "a registry's redirect could carry a token elsewhere")
}

// Consul's rules for the index of a blocking query.
func TestNextIndex(t *testing.T) {
	for _, c := range []struct {
		old    int64
		header string
		want   int64
	}{
		{0, "7", 7}, {7, "7", 7}, {7, "9", 9},
		{7, "6", 0},               // went back: start again
		{0, "0", 1}, {7, "-3", 1}, // would make blocking queries return at once
		{7, "", 1}, {7, "x", 1},
	} {
		require.Equal(t, c.want, nextIndex(c.old, c.header), "%d then %q", c.old, c.header)
	}
}

func TestEtcdPrefix(t *testing.T) {
	require.Equal(t, EtcdRange{Key: "a/", End: "a0"}, EtcdPrefix("a/"))
	require.Equal(t, EtcdRange{Key: "a\xff", End: "b"}, EtcdPrefix("a\xff"))
	require.Equal(t, EtcdRange{Key: "\xff", End: "\x00"}, EtcdPrefix("\xff"))
}

func TestLoopOutlivesErrorsAndPanics(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	runs := 0
	var failures []string
	Loop(ctx, func(context.Context) error {
		runs++
		switch runs {
		case 1:
			return errors.New("first")
		case 2:
			panic("second")
		}
		cancel()
		return nil
	}, func(err error) { failures = append(failures, err.Error()) })
	require.Equal(t, []string{"first", "internal error: second"}, failures)
}

func TestPause(t *testing.T) {
	for n := range 100 {
		d := Pause(n)
		require.GreaterOrEqual(t, d, time.Duration(0))
		require.LessOrEqual(t, d, lastPause*3/2)
	}
	require.Less(t, Pause(0), 51*time.Millisecond)
}

func TestTLSOptions(t *testing.T) {
	for options, want := range map[string]string{
		"ca_file=/none":                     "TLS files are given but TLS is off",
		"tls=true&ca_file=client.go":        "no PEM certificate",
		"tls=true&ca_file=/none":            "ca_file",
		"tls=true&cert_file=/none":          "go together",
		"tls=yes":                           "option tls: want true or false",
		"tls=true&insecure_skip_verify=nay": "insecure_skip_verify",
		"timeout=0s":                        "timeout",
	} {
		a, err := Parse("etcd://h/k?"+options, nil, nil)
		require.NoError(t, err)
		_, err = NewClient(a)
		require.ErrorContains(t, err, want, options)
	}
}
