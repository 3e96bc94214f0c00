package remote

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core/allow"
)

func TestParse(t *testing.T) {
	t.Setenv("GRAY_TEST_HOSTS", "h1:2379,h2")
	t.Setenv("GRAY_TEST_PASSWORD", "p@ss:/?#%w")
	t.Setenv("GRAY_TEST_ENV", "prod/eu")

	a, err := Parse("etcd://ann:${GRAY_TEST_PASSWORD}@${GRAY_TEST_HOSTS}/gray/${GRAY_TEST_ENV}/user%20service?tls=true&namespace=%2Froot%2F", nil, nil)
	require.NoError(t, err)
	require.Equal(t, "etcd", a.Scheme)
	require.Equal(t, "ann", a.User)
	require.Equal(t, "p@ss:/?#%w", a.Password)
	require.Equal(t, []string{"h1:2379", "h2:2379"}, a.Hosts)
	require.Equal(t, "gray/prod/eu/user service", a.Path)
	require.Equal(t, map[string]string{"tls": "true", "namespace": "/root/"}, a.Options)
	require.Equal(t, "etcd://h1:2379,h2:2379/gray/prod/eu/user%20service?namespace=%2Froot%2F&tls=true", a.Redacted())

	a, err = Parse("https://config.example.com/a%2Fb.json?key=${GRAY_TEST_PASSWORD}#interval=2s&token=t0p", nil, nil)
	require.NoError(t, err)
	require.Equal(t, "/a%2Fb.json", a.RawPath)
	require.Equal(t, "key=p%40ss%3A%2F%3F%23%25w", a.RawQuery)
	require.Equal(t, "https://config.example.com:443/a/b.json#interval=2s&token=***", a.Redacted())
	d, err := a.Duration("interval", time.Second, time.Millisecond)
	require.NoError(t, err)
	require.Equal(t, 2*time.Second, d)

	a, err = Parse("file:///etc/gray/user.json", nil, nil)
	require.NoError(t, err)
	require.Equal(t, "/etc/gray/user.json", a.Path)

	a, err = Parse("consul://[::1]:8500//leading", nil, nil)
	require.NoError(t, err)
	require.Equal(t, []string{"[::1]:8500"}, a.Hosts)
	require.Equal(t, "/leading", a.Path)
}

func TestOptionsOutrankTheURL(t *testing.T) {
	t.Setenv("GRAY_TEST_TOKEN", "secret-token")
	a, err := Parse("consul://ann:one@h/key?token=other", map[string]string{"token": "${GRAY_TEST_TOKEN}", "user": "bob", "password": "two"}, nil)
	require.NoError(t, err)
	require.Equal(t, "secret-token", a.Options["token"])
	require.Equal(t, "bob", a.User)
	require.Equal(t, "two", a.Password)
	require.Equal(t, "consul://h:8500/key?token=***", a.Redacted())
	require.ElementsMatch(t, []string{"two", "secret-token"}, a.Secrets())
}

func TestParseErrors(t *testing.T) {
	for _, c := range []struct{ url, want string }{
		{"", "want a URL"},
		{"/etc/gray.json", "want a URL"},
		{"etcd:///key", "the host is missing"},
		{"etcd://h:0/key", `"h:0": want host:port`},
		{"etcd://h:x/key", `"h:x": want host:port`},
		{"etcd://::1/key", "IPv6 in brackets"},
		{"etcd://h h/key", `"h h" is not a valid host`},
		{"etcd://u:s3cret%zz@h/key", "password: bad percent-escape"},
		{"etcd://u:${GRAY_TEST_UNSET}@h/key", `password: environment variable "GRAY_TEST_UNSET" is not set`},
		{"etcd://u:${s3cret@h/key", "placeholder without its closing brace"},
		{"file://host/path", "a file URL has no host"},
	} {
		_, err := Parse(c.url, nil, nil)
		require.ErrorContains(t, err, c.want, c.url)
		require.NotContains(t, err.Error(), "s3cret")
	}
}

func TestIdentity(t *testing.T) {
	identity := func(url string) string {
		a, err := Parse(url, nil, nil)
		require.NoError(t, err)
		require.NotContains(t, a.Identity(), "pw")
		return a.Identity()
	}
	same := identity("etcd://u:pw1@h/key")
	require.Equal(t, same, identity("etcd://u:pw1@h:2379/key"))
	for _, other := range []string{"etcd://u:pw2@h/key", "etcd://v:pw1@h/key", "etcd://h/key", "etcd://u:pw1@h/key2", "etcd://u:pw1@h/key?token=a", "etcd://u:pw1@h/key?tls=true"} {
		require.NotEqual(t, same, identity(other), other)
	}
}

// What a followed document may use of the environment is not shown, wherever it is put.
func TestVariablesOfDocumentsAreNotShown(t *testing.T) {
	t.Setenv("GRAY_TEST_SECRET", "s3cret")
	t.Setenv("GRAY_TEST_OTHER", "0ther")
	allowed := &allow.List{Env: []string{"GRAY_TEST_SECRET", "GRAY_TEST_OTHER"}}
	names := map[string]bool{}
	for url, want := range map[string]string{
		"consul://h/a-${GRAY_TEST_SECRET}/b?tag=${GRAY_TEST_SECRET}": "consul://h:8500/a-${GRAY_TEST_SECRET}/b?tag=${GRAY_TEST_SECRET}",
		"consul://h/a-${GRAY_TEST_OTHER}/b?tag=v2":                   "consul://h:8500/a-${GRAY_TEST_OTHER}/b?tag=v2",
		"consul://${GRAY_TEST_SECRET}:80/key":                        "consul://${GRAY_TEST_SECRET}:80/key",
		"consul://${GRAY_TEST_SECRET}@h/key":                         "consul://h:8500/key",
		"http://h/${GRAY_TEST_SECRET}?q=${GRAY_TEST_SECRET}":         "http://h:80/${GRAY_TEST_SECRET}",
		"consul://h/key": "consul://h:8500/key",
	} {
		a, err := Parse(url, nil, allowed)
		require.NoError(t, err, url)
		require.Equal(t, want, a.Redacted())
		require.NotContains(t, scrub("no such key: "+a.Path+a.Hosts[0], a.Secrets()), "s3cret")
		require.False(t, names[a.Identity()], "each is another")
		names[a.Identity()] = true
	}
	t.Setenv("GRAY_TEST_SECRET", "s3cret s3cret")
	_, err := Parse("consul://${GRAY_TEST_SECRET}/key", nil, allowed)
	require.ErrorContains(t, err, "not a valid host")
	require.NotContains(t, err.Error(), "s3cret")
	t.Setenv("GRAY_TEST_SECRET", "s3cret.example")
	_, err = Parse("consul://${GRAY_TEST_SECRET}/key", nil, &allow.List{Env: allowed.Env, Hosts: []string{"h"}})
	require.ErrorContains(t, err, "may not be asked")
	require.NotContains(t, err.Error(), "s3cret")
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"etcd://u:p@h1,h2:1/k?a=b", "http://h/p?q#interval=1s", "file:///x", "nacos://h/${X}?a=%zz", "srv://_http._tcp.x", "consul://[::1]:8500/k"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		const secret = "s3cretS3CRET"
		a, err := Parse(raw, map[string]string{"password": secret, "token": secret}, nil)
		if err != nil {
			return
		}
		if strings.Contains(a.Redacted(), secret) || strings.Contains(a.Identity(), secret) {
			t.Fatal("a secret is shown")
		}
	})
}
