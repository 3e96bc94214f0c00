package decider

import (
	"context"
	"net/http"
	"strings"
	"testing"

	base "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What a client says of itself counts for nothing: its address, its method, host and path, and the
// decision that it claims.
func TestClaims(t *testing.T) {
	d := run(t, one(t, shop))
	for _, c := range []struct {
		name, target string
		lines        []string
		want         string
	}{
		{"nothing", "/", nil, "v1"},
		{"tester", "/", []string{"X-App-Version: beta"}, "v2"},
		{"claimed version", "/", []string{"X-Gray-Version: v2"}, "v1"},
		{"claimed version, underscores", "/", []string{"X_Gray_Version: v2"}, "v1"},
		{"claimed member", "/", []string{"Baggage: a=1, gray=v2"}, "v1"},
		{"office's address", "/", []string{"X-Real-Ip: 198.51.100.1", "X-Forwarded-For: 203.0.113.7"}, "v1"},
		{"an office in front", "/", []string{"X-Forwarded-For: 198.51.100.1, 203.0.113.7"}, "v1"},
		{"the gateway says it is the office", "/", []string{"X-Forwarded-For: 203.0.113.7, 198.51.100.1"}, "v3"},
		{"peer that is trusted", "/", []string{"X-Forwarded-For: 10.9.9.9", "X-Gray-Version: v2"}, "v2"},
		{"an odd target", "/%zz?a=1", []string{"X-App-Version: beta"}, "v2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d.t = t
			res := d.forwarded(c.target, c.lines...)
			assert.Equal(t, http.StatusOK, res.StatusCode)
			assert.Equal(t, c.want, res.Header.Get("X-Gray-Version"))
			if c.want == "v1" { // absence says stable
				assert.NotContains(t, res.Header.Get("Baggage"), "gray=")
			} else {
				assert.Regexp(t, "(^|,)gray="+c.want+"$", res.Header.Get("Baggage"))
			}
			assert.NotContains(t, res.Header.Get("Baggage"), "gray=v2,")
			assert.Empty(t, res.Header.Get(mistake))
		})
	}
	d.t = t
	res := d.forwarded("/", "Baggage: a=1;p, gray=v2,b=2", "X_Gray_Version: v2", "X-Gray_Version: v2")
	assert.Equal(t, "a=1;p,b=2", res.Header.Get("Baggage"))

	assert.Equal(t, "x-gray_version,x_gray_version", res.Header.Get(envoyRemove))

	answer, err := d.client().Check(context.Background(), &auth.CheckRequest{Attributes: &auth.AttributeContext{
		Source: peerAt("203.0.113.7"), Request: &auth.AttributeContext_Request{Http: &auth.AttributeContext_HttpRequest{
			Method: "GET", Path: "/", Host: "shop.example.com", Headers: map[string]string{
				"x-gray-version": "v2", "x_gray_version": "v2", "baggage": "gray=v2,a=1",
				"x-forwarded-for": "198.51.100.1", ":path": "/ramp"}}}}})
	require.NoError(t, err)
	assert.Equal(t, "v1", setBy(answer, "x-gray-version"))
	assert.Equal(t, "a=1", setBy(answer, "baggage"))
	assert.Equal(t, []string{"X_gray_version"}, answer.GetOkResponse().HeadersToRemove)
	for _, h := range answer.GetOkResponse().Headers {
		assert.Equal(t, base.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD, h.AppendAction)
	}
}

// A question that is not whole is answered, by no version.
func TestMistakes(t *testing.T) {
	d := run(t, one(t, shop))
	all := []string{"X-Forwarded-Method: GET", "X-Forwarded-Proto: http", "X-Forwarded-Host: shop.example.com",
		"X-Forwarded-Uri: /", "X-Forwarded-For: 203.0.113.7"}
	claims := []string{"X-App-Version: beta", "X-Gray-Version: v2", "Baggage: gray=v2"}
	check := func(res *http.Response, says string) {
		t.Helper()
		assert.Equal(t, http.StatusOK, res.StatusCode)
		assert.Contains(t, res.Header.Get(mistake), says)
		assert.Empty(t, res.Header["X-Gray-Version"])
		assert.Empty(t, res.Header["Baggage"])
		assert.Equal(t, "x-gray-version,baggage", res.Header.Get(envoyRemove))
	}
	for i, line := range all {
		name, _, _ := strings.Cut(line, ":")
		check(d.ask("/decide", append(append(append([]string{}, all[:i]...), all[i+1:]...), claims...)...), name)
		if i < 4 {
			check(d.ask("/decide", append(append(append([]string{}, all...), line), claims...)...), name+" is there 2 times")
		}
	}
	assert.Equal(t, http.StatusNotFound, d.ask("/").StatusCode)
	_, metrics := d.get("/metrics")
	assert.Contains(t, metrics, `gray_decider_questions_total{protocol="http",result="mistake"} 9`)
}

// The gateway's service, and else the host, says which policy decides. What no policy is for gets
// no version.
func TestServices(t *testing.T) {
	always := func(service, version string) string {
		return `{"service": "` + service + `", "stable": "` + version + `", "versions": {"` + version + `": {}}}`
	}
	d := run(t, &Config{Services: []Service{
		{Service: "shop", Source: policyFile(t, always("shop", "shop-1")), Hosts: []string{"Shop.example.com",
			"*.shop.example.com"}},
		{Service: "cart", Source: policyFile(t, strings.Replace(always("cart", "cart-1"), "{", `{"header": "X-Ver", `, 1)),
			Hosts: []string{"cart.example.com"}},
		{Service: "rest", Source: policyFile(t, always("rest", "rest-1"))},
	}})
	for host, want := range map[string]string{
		"shop.example.com": "shop-1", "SHOP.example.com.:8080": "shop-1", "a.b.shop.example.com": "shop-1",
		"cart.example.com": "cart-1", "a.cart.example.com": "rest-1", "example.com": "rest-1", "": "rest-1",
		"xshop.example.com": "rest-1", "[::1]:80": "rest-1",
	} {
		res := d.ask("/decide", "X-Forwarded-Method: GET", "X-Forwarded-Proto: http", "X-Forwarded-Host: "+host,
			"X-Forwarded-Uri: /", "X-Forwarded-For: 203.0.113.7")
		if want == "cart-1" {
			assert.Equal(t, want, res.Header.Get("X-Ver"), host)
			continue
		}
		assert.Equal(t, want, res.Header.Get("X-Gray-Version"), host)
	}
	res := d.ask("/decide/cart", "X-Forwarded-Method: GET", "X-Forwarded-Proto: http",
		"X-Forwarded-Host: shop.example.com",
		"X-Forwarded-Uri: /", "X-Forwarded-For: 203.0.113.7")
	assert.Equal(t, "cart-1", res.Header.Get("X-Ver"))
	res = d.ask("/decide/nobody", "X-Forwarded-Method: GET", "X-Forwarded-Proto: http", "X-Forwarded-Host: a",
		"X-Forwarded-Uri: /", "X-Forwarded-For: 203.0.113.7", "X-Gray-Version: v2")
	assert.Empty(t, res.Header["X-Gray-Version"])
	assert.Equal(t, "x-gray-version", res.Header.Get(envoyRemove))
	res = d.ask("/decide", "X-Ver: cart-1", "X-Gray-Version: v2")
	assert.Equal(t, "x-gray-version,x-ver", res.Header.Get(envoyRemove), "the header of any policy")
	answer, err := d.client().Check(context.Background(), &auth.CheckRequest{})
	require.NoError(t, err)
	assert.Equal(t, "rest-1", setBy(answer, "x-gray-version"))
}

// What a client sends need not be UTF-8, and what gRPC carries must be.
func TestTextual(t *testing.T) {
	d := run(t, one(t, shop))
	raw := func(name, value string) *base.HeaderValue {
		return &base.HeaderValue{Key: name, RawValue: []byte(value)}
	}
	answer, err := d.client().Check(context.Background(), &auth.CheckRequest{Attributes: &auth.AttributeContext{
		Request: &auth.AttributeContext_Request{Http: &auth.AttributeContext_HttpRequest{
			Method: "GET", Path: "/ramp", Host: "shop.example.com", HeaderMap: &base.HeaderMap{
				Headers: []*base.HeaderValue{raw("baggage", "a=\xff\xc3(é"), raw("cookie", "a=\xff")}}}}}})
	require.NoError(t, err)
	assert.Equal(t, "a=%FF%C3(é,gray=v2", setBy(answer, "baggage"))
	assert.Equal(t, "v2", setBy(answer, "x-gray-version"))
	assert.Empty(t, setBy(answer, "cookie"))
	assert.NotEmpty(t, answer.GetOkResponse().ResponseHeadersToAdd)
}

// A new identity goes to the service and to the client, and no shared cache keeps it.
func TestCookies(t *testing.T) {
	d := run(t, one(t, shop))
	res := d.forwarded("/ramp", "Cookie: a=1")
	require.Len(t, res.Header["Set-Cookie"], 1)
	assert.Regexp(t, `^gray_id=[0-9a-f]{32}; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax$`,
		res.Header.Get("Set-Cookie"))
	assert.Regexp(t, `^a=1; gray_id=[0-9a-f]{32}$`, res.Header.Get("Cookie"))
	assert.Equal(t, "private", res.Header.Get("Cache-Control"))

	// Over TLS, as the gateway says.
	https := []string{"X-Forwarded-Method: GET", "X-Forwarded-Proto: https", "X-Forwarded-Host: shop.example.com",
		"X-Forwarded-Uri: /ramp", "X-Forwarded-For: 203.0.113.7"}
	assert.Contains(t, d.ask("/decide", https...).Header.Get("Set-Cookie"), "; Secure")

	answer, err := d.client().Check(context.Background(), &auth.CheckRequest{Attributes: &auth.AttributeContext{
		Request: &auth.AttributeContext_Request{Http: &auth.AttributeContext_HttpRequest{
			Method: "GET", Path: "/ramp", Host: "shop.example.com", Scheme: "https"}}}})
	require.NoError(t, err)
	added := map[string]string{}
	for _, h := range answer.GetOkResponse().ResponseHeadersToAdd {
		added[h.Header.Key] = h.Header.Value
		assert.Equal(t, base.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD, h.AppendAction)
	}
	assert.Contains(t, added["set-cookie"], "; Secure")
	assert.Equal(t, "private", added["cache-control"])
	assert.Regexp(t, `^gray_id=[0-9a-f]{32}$`, setBy(answer, "cookie"))
}
