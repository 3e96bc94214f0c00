package allow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
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

// Resolvers, proxies and libraries take more for an address than its usual spelling.
func TestSpellingsOfAddresses(t *testing.T) {
	refused := []string{
		"2852039166", "0xA9FEA9FE", "0xa9.254.0xa9fe", "0251.0376.0251.0376", "0251.254.43518",
		"169.16689662", "169.254.43518",
		"169.254.169.254.", "169.254.169.254..", "169.254.169.254.:80", "0xa9fea9fe.", "0", "0x", "00.0.0.0", "[::]",
		"::ffff:169.254.169.254", "[::ffff:a9fe:a9fe]:80", "::169.254.169.254", "[::ffff:0:a9fe:a9fe]",
		"64:ff9b::a9fe:a9fe", "64:ff9b:1::a9fe:a9fe", "[2002:a9fe:a9fe::1]:80", "[2002:a83f:8110::]",
		"fe80::1", "FE80::1%eth0", "[fe80::a9fe:a9fe%25eth0]:80", "febf::1", "ff02::1", "224.0.0.1",
		"fd20:ce::254", "FD00:EC2:0::254",
		"１６９.２５４.１６９.２５４", "169。254。169。254", "①⑥⑨.254.169.254", "bücher.example",
		"metadata", "METADATA.google.internal:80", "metadata.goog.", "instance-data",
		"1.2.3.4.5", "256.1.1.1", "169.254.169.65536", "4294967296", "0xa9fea9fe0", "08.1.1.1", "example.1",
	}
	for _, host := range refused {
		assert.Error(t, (&List{}).Host(host), host)
		assert.Error(t, (&List{}).Upstream(host), host)
		assert.Error(t, (&List{Hosts: []string{"*.example.com", "10.0.0.0/8"}}).Host(host), host)
		assert.Error(t, (&List{Hosts: []string{"*.example.com", "10.0.0.0/8"}}).Upstream(host), host)
	}
	for _, host := range []string{
		"example.com", "consul-1", "10-0-0-1.default.pod", "a.0x7g", "xn--bcher-kva.example",
		"2001:db8::1", "[::1]:80", "::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "0x7f.1", "127.1", "10.1", "2130706433",
		"012.0.0.1", "metadata.example.com",
	} {
		assert.NoError(t, (&List{}).Host(host), host)
		assert.NoError(t, (&List{}).Upstream(host), host)
	}
	listed := &List{Hosts: []string{"169.254.169.254", "10.0.0.0/8", "metadata"}}
	for _, host := range []string{
		"2852039166", "0xa9.0376.43518", "[::ffff:a9fe:a9fe]:80", "10.1", "012.0.0.1", "metadata",
	} {
		assert.NoError(t, listed.Host(host), host)
		assert.NoError(t, listed.Upstream(host), host)
	}
	for _, host := range []string{"169.254.169.253", "0xa9fea9fd", "127.1", "2130706433"} {
		assert.Error(t, listed.Host(host), host)
	}
}

// Requests go anywhere but to what only the machine has business with: who may be asked by the
// gateway itself does not bound them.
func TestUpstreams(t *testing.T) {
	listed := &List{Hosts: []string{"keys.example.com"}}
	assert.Error(t, listed.Host("10.0.0.1:80"))
	assert.NoError(t, listed.Upstream("10.0.0.1:80"))
	assert.NoError(t, listed.Upstream("shop"))
	assert.Error(t, listed.Upstream("169.254.169.254:80"))
	assert.NoError(t, (*List)(nil).Upstream("169.254.169.254:80"))
}

func FuzzAddressOf(f *testing.F) {
	for _, host := range []string{"2852039166", "0xa9.254.1", "fe80::1%eth0", "[::1]:80", "example.com", "..", "0x"} {
		f.Add(host)
	}
	f.Fuzz(func(t *testing.T, host string) {
		if addr, isAddr, err := addressOf(host); isAddr && (err != nil || !addr.IsValid()) {
			t.Errorf("%q is the address %v, and %v", host, addr, err)
		}
		if a, err := netip.ParseAddr(host); err == nil && isMetadata(a) {
			assert.Error(t, (&List{}).Host(host))
		}
	})
}

// Behind a proxy, names are checked before it is asked; it is asked whatever its own address.
func TestGuardBehindAProxy(t *testing.T) {
	var asked []string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.String())
		if r.URL.Path == "/redirect" {
			http.Redirect(w, r, "http://0xa9fea9fe/latest", http.StatusFound)
		}
	}))
	defer proxy.Close()
	there, err := url.Parse(proxy.URL)
	require.NoError(t, err)
	proxyOf = func(*http.Request) (*url.URL, error) { return there, nil }
	defer func() { proxyOf = http.ProxyFromEnvironment }()
	transport := &http.Transport{DisableKeepAlives: true}
	(&List{Hosts: []string{"*.example.com"}}).Guard(transport, &net.Dialer{Timeout: 5 * time.Second})
	client := &http.Client{Transport: transport}
	response, err := client.Get("http://keys.example.com/a")
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	_, err = client.Get("http://keys.example.com/redirect")
	require.ErrorContains(t, err, "0xa9fea9fe may not be asked")
	_, err = client.Get("http://2852039166/latest")
	require.ErrorContains(t, err, "2852039166 may not be asked")
	_, err = client.Get(proxy.URL)
	require.ErrorContains(t, err, "127.0.0.1 may not be asked")
	(&List{Hosts: []string{"10.0.0.0/8"}}).Guard(transport, &net.Dialer{Timeout: 5 * time.Second})
	_, err = client.Get("http://keys.example.com/b")
	require.ErrorContains(t, err, "keys.example.com may not be asked", "its address is not seen")
	response, err = client.Get("http://10.1/b")
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, []string{"http://keys.example.com/a", "http://keys.example.com/redirect", "http://10.1/b"}, asked)
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
	_, err := (&List{Hosts: []string{"*.bücher.example"}}).Check()
	assert.ErrorContains(t, err, "write it in its ASCII form")
}

// Errors quote what inner servers answer; documents' servers do so in none that is shown.
func TestHide(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	const notValid = "its certificate is not valid for this name, or not now"
	const unknown = "its certificate is signed by an unknown authority"
	for text, want := range map[string]string{
		`malformed HTTP response "SSH-2.0-OpenSSH_9"`:        "no answer that can be used",
		`x509: certificate is valid for vault.inner, not a`:  notValid,
		`tls: x509: certificate signed by unknown authority`: unknown,
		`10.0.0.1 may not be asked: why`:                     "10.0.0.1 may not be asked: why",
	} {
		assert.EqualError(t, (&List{}).Hide(errors.New(text)), want)
		assert.EqualError(t, (*List)(nil).Hide(errors.New(text)), text)
	}
	assert.Equal(t, error(refused), (&List{}).Hide(refused))
	assert.Equal(t, io.EOF, (&List{}).Hide(fmt.Errorf("after %q: %w", "SSH-2.0", io.EOF)))
	assert.NoError(t, (&List{}).Hide(nil))
}
