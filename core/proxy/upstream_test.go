package proxy_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/grayrelease/gray/core/proxy"
)

func TestParseUpstream(t *testing.T) {
	for text, want := range map[string][2]string{
		"10.0.0.1:8080":        {"", "10.0.0.1:8080"},
		"shop-v2:8080":         {"", "shop-v2:8080"},
		"shop-v2":              {"", "shop-v2:80"},
		"http://shop-v2":       {"http", "shop-v2:80"},
		"http://shop-v2:8080/": {"http", "shop-v2:8080"},
		"https://shop-v2":      {"https", "shop-v2:443"},
		"h2c://[2001:db8::1]":  {"h2c", "[2001:db8::1]:80"},
		"[2001:db8::1]:50051":  {"", "[2001:db8::1]:50051"},
	} {
		scheme, address, err := proxy.ParseUpstream(text)
		assert.NoError(t, err, text)
		assert.Equal(t, want, [2]string{scheme, address}, text)
	}
	for text, want := range map[string]string{
		"":                     `"" is neither a URL nor host:port`,
		":80":                  `":80" has no host: write localhost:80`,
		"http://:80":           `"http://:80" has no host: write localhost:80`,
		"8080":                 `"8080" has no host: write localhost:8080`,
		"a:80,b:80":            `"a:80,b:80" has a comma: write each upstream by itself`,
		"a:8401-8403":          `"a:8401-8403" has a range of ports: write each upstream by itself`,
		"http://a:8401-8403":   `"http://a:8401-8403" has a range of ports: write each upstream by itself`,
		":8401-8403":           `":8401-8403" has a range of ports: write each upstream by itself`,
		"a b:80":               `"a b:80" is neither a URL nor host:port`,
		"2001:db8::1":          `"2001:db8::1" is an IPv6 address: write [2001:db8::1]:80, with its port`,
		"http://u:a,b@a b":     `"a b" is neither a URL nor host:port`,
		"http://[::1":          `"http://[::1" is neither a URL nor host:port`,
		"://a":                 `"://a": the scheme is missing before "://"`,
		"ftp://a":              `"ftp://a": the scheme "ftp" is not one of http, https, h2c`,
		"http://a/api":         `"http://a/api": an upstream is a scheme, a host and a port, without a path`,
		"http://a?q":           `"http://a?q": an upstream is a scheme, a host and a port, without a path`,
		"http://user:word@a":   `"a": an upstream has no user or password`,
		"http://u:pass word@a": `"a" is neither a URL nor host:port`,
		"a:0":                  `"a:0": 0 is not a valid port (1 to 65535)`,
		"http://a:65536":       `"http://a:65536": 65536 is not a valid port (1 to 65535)`,
		"http://{env.HOST}:1":  `"http://{env.HOST}:1" is neither a URL nor host:port`,
	} {
		_, _, err := proxy.ParseUpstream(text)
		assert.EqualError(t, err, want)
	}
}

func TestHealth(t *testing.T) {
	h := new(proxy.Health)
	assert.True(t, proxy.IsUp(h))
	assert.False(t, proxy.Succeeded(h), "it was up")

	assert.True(t, proxy.Unreachable(h, time.Hour))
	assert.False(t, proxy.Unreachable(h, time.Hour), "it was left out already")
	assert.False(t, proxy.IsUp(h))
	assert.False(t, proxy.TryAgain(h, time.Hour), "an hour has not passed")
	assert.True(t, proxy.Succeeded(h), "a request that was under way")
	assert.True(t, proxy.IsUp(h))

	proxy.Unreachable(h, 0)
	assert.True(t, proxy.TryAgain(h, time.Hour))
	assert.False(t, proxy.TryAgain(h, time.Hour), "one request tries, no other")
	assert.False(t, proxy.IsUp(h))
	assert.True(t, proxy.Succeeded(h))

	assert.False(t, proxy.Interrupted(h, time.Hour))
	assert.False(t, proxy.Interrupted(h, time.Hour))
	proxy.Succeeded(h)
	assert.False(t, proxy.Interrupted(h, time.Hour), "not in a row")
	assert.False(t, proxy.Interrupted(h, time.Hour))
	assert.True(t, proxy.Interrupted(h, time.Hour))
	assert.False(t, proxy.IsUp(h))
}
