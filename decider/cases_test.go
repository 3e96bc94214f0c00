package decider

import (
	"context"
	"fmt"
	"strings"
	"testing"

	base "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/internal/casetest"
)

// Every shared case, in each way to ask. The gateway's peer is 127.0.0.1, a trusted proxy that says
// who the client is.
func TestCases(t *testing.T) {
	files, err := casetest.Load("../testdata/cases")
	require.NoError(t, err)
	config := &Config{TrustedProxies: []string{"127.0.0.1"}}
	headers := map[string]string{}
	each := func(do func(name string, f casetest.File, g casetest.Group, c casetest.Case)) {
		n := 0
		for _, f := range files {
			for _, g := range f.Groups {
				name := fmt.Sprintf("case-%d", n)
				if n++; len(config.Services) < n {
					e, err := core.Load(g.Policy)
					require.NoError(t, err)
					headers[name] = e.Header()
					config.Services = append(config.Services, Service{Service: e.Service(), Name: name,
						Source: policyFile(t, string(g.Policy)), Hosts: []string{name + ".test"}})
					e.Close()
				}
				for _, c := range g.Cases {
					do(name, f, g, c)
				}
			}
		}
	}
	each(func(string, casetest.File, casetest.Group, casetest.Case) {})
	d := run(t, config)
	client := d.client()
	each(func(name string, f casetest.File, g casetest.Group, c casetest.Case) {
		t.Run(f.Name+"/"+c.Name, func(t *testing.T) {
			d.t = t
			asked := c.Request
			asked.Method, asked.Target, asked.Host = "GET", "/decide/"+name, "decider"
			res := d.send(asked.Raw([2]string{"X-Forwarded-Method", c.Request.Method},
				[2]string{"X-Forwarded-Uri", c.Request.Target}, [2]string{"X-Forwarded-Host", c.Request.Host},
				[2]string{"X-Forwarded-Proto", "http"}, [2]string{"X-Forwarded-For", c.Request.IP + ", 127.0.0.1"}))
			assert.Equal(t, c.Version, res.Header.Get(headers[name]), "HTTP")
			assert.Equal(t, g.Carried(c.Version), core.CarriedVersion(res.Header["Baggage"]))
			assert.Equal(t, c.Rule, res.Header.Get(ruleName))

			answer, err := client.Check(context.Background(), checkOf(c.Request, name))
			require.NoError(t, err)
			assert.Equal(t, c.Version, setBy(answer, headers[name]), "gRPC")
			assert.Equal(t, c.Rule, answer.DynamicMetadata.Fields["rule"].GetStringValue())
		})
	})
	d.t = t
	t.Log(casetest.Count(files), "cases in", len(config.Services), "policies")
}

// checkOf asks about a case's request as Envoy does.
func checkOf(r casetest.Request, service string) *auth.CheckRequest {
	h := &base.HeaderMap{}
	for _, line := range append(r.Headers[:len(r.Headers):len(r.Headers)], [2]string{forwardedFor, r.IP}) {
		h.Headers = append(h.Headers, &base.HeaderValue{Key: line[0], RawValue: []byte(line[1])})
	}
	return &auth.CheckRequest{Attributes: &auth.AttributeContext{
		Source: peerAt("127.0.0.1"), ContextExtensions: map[string]string{"service": service},
		Request: &auth.AttributeContext_Request{Http: &auth.AttributeContext_HttpRequest{
			Method: r.Method, Path: r.Target, Host: r.Host, HeaderMap: h}},
	}}
}

func peerAt(address string) *auth.AttributeContext_Peer {
	return &auth.AttributeContext_Peer{Address: &base.Address{Address: &base.Address_SocketAddress{
		SocketAddress: &base.SocketAddress{Address: address}}}}
}

// setBy returns the value that an answer sets a request header to.
func setBy(r *auth.CheckResponse, name string) string {
	for _, h := range r.GetOkResponse().Headers {
		if strings.EqualFold(h.Header.Key, name) {
			return h.Header.Value
		}
	}
	return ""
}
