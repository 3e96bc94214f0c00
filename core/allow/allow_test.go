package allow

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNoListAllowsEverything(t *testing.T) {
	var l *List
	assert.NoError(t, l.Variable("HOME"))
	assert.NoError(t, l.File("/etc/shadow"))
	assert.NoError(t, l.Host("169.254.169.254"))
}

func TestVariables(t *testing.T) {
	l := &List{Env: []string{"CONSUL_TOKEN"}}
	assert.NoError(t, l.Variable("CONSUL_TOKEN"))
	assert.ErrorContains(t, l.Variable("CONSUL"), "${CONSUL} is not allowed here")
	assert.Error(t, (&List{}).Variable(""))
}

func TestFiles(t *testing.T) {
	l := &List{Files: []string{"/etc/gray/keys/", "/run/one.pem"}}
	for path, want := range map[string]bool{
		"/etc/gray/keys/a.pem": true, "/etc/gray/keys/deep/a.pem": true, "/etc/gray/keys/../keys/a": true,
		"/etc/gray/keys/..a": true, "/run/one.pem": true,
		"/etc/gray/keys/../secret": false, "/etc/gray/keys2/a": false, "/etc/gray": false, "/run/one.pem2": false,
		"etc/gray/keys/a": false, "": false,
	} {
		assert.Equal(t, want, l.File(path) == nil, path)
		assert.Error(t, (&List{}).File(path))
	}
}

func TestHosts(t *testing.T) {
	open := &List{}
	for host, want := range map[string]bool{
		"keys.example.com": true, "10.0.0.1:8500": true, "127.0.0.1": true, "[::1]:80": true,
		"169.254.169.254": false, "169.254.169.254:80": false, "[fe80::1%eth0]:80": false, "fe80::1": false,
		"[::ffff:169.254.169.254]:80": false, "0.0.0.0": false, "[fd00:ec2::254]:80": false, "168.63.129.16": false,
		"Metadata.Google.Internal.": false,
	} {
		assert.Equal(t, want, open.Host(host) == nil, host)
	}
	listed := &List{Hosts: []string{"Keys.example.com", "*.inner.test", "169.254.169.254", "::1"}}
	for host, want := range map[string]bool{
		"keys.example.com.:443": true, "a.inner.test": true, "a.b.inner.test": true, "169.254.169.254:80": true,
		"[::1]:80": true, "inner.test": false, "evilinner.test": false, "10.0.0.1": false, "127.0.0.1": false,
	} {
		got := listed.Host(host) == nil
		if host == "inner.test" || host == "evilinner.test" {
			got = (&List{Hosts: []string{"*.inner.test"}}).Host(host) == nil
		}
		assert.Equal(t, want, got, host)
	}
}

// What a name leads to is looked at before it is dialled.
func TestDialer(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = server.Close() }()
	_, port, err := net.SplitHostPort(server.Addr().String())
	require.NoError(t, err)
	dial := func(l *List, host string) error {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		conn, err := l.Dialer(&net.Dialer{Timeout: time.Second})(ctx, "tcp", net.JoinHostPort(host, port))
		if err == nil {
			err = conn.Close()
		}
		return err
	}
	assert.NoError(t, dial(nil, "127.0.0.1"))
	assert.NoError(t, dial(&List{}, "localhost"))
	assert.NoError(t, dial(&List{Hosts: []string{"127.0.0.0/8"}}, "localhost"))
	assert.NoError(t, dial(&List{Hosts: []string{"localhost"}}, "localhost"))
	assert.ErrorContains(t, dial(&List{Hosts: []string{"10.0.0.0/8"}}, "localhost"), "localhost may not be asked")
	assert.ErrorContains(t, dial(&List{Hosts: []string{"other.test"}}, "localhost"), "localhost may not be asked")
	assert.ErrorContains(t, dial(&List{}, "169.254.169.254"), "link-local or metadata address")
}

func TestCheck(t *testing.T) {
	for field, l := range map[string]*List{
		"":      {Env: []string{"A_1"}, Files: []string{"/a"}, Hosts: []string{"a", "*.b", "10.0.0.0/8", "::1", "fe80::/10"}},
		"env":   {Env: []string{"${A}"}},
		"files": {Files: []string{"keys"}},
		"hosts": {Hosts: []string{"https://a"}},
	} {
		got, err := l.Check()
		assert.Equal(t, field, got)
		assert.Equal(t, field != "", err != nil)
	}
}
