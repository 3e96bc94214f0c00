package decider

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	base "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
)

// benched returns a server with the policy of the published figures, asked without a connection.
func benched(b *testing.B) *Server {
	path := b.TempDir() + "/policy.json"
	require.NoError(b, writeFile(path, `{"service": "shop", "stable": "v1", "versions": {"v1": {}, "v2": {}},
		"identity": ["cookie uid", "ip"], "rules": [
		{"name": "testers", "version": "v2", "when": ["header X-App-Version = beta"]},
		{"name": "tools", "version": "v2", "when": ["header User-Agent matches ^curl/[78]"]},
		{"name": "group", "version": "v2", "when": ["cookie group = beta"]},
		{"name": "office", "version": "v2", "when": ["ip in 10.0.0.0/8"]},
		{"name": "ramp", "version": "v2", "percent": 10}]}`))
	config := &Config{Listen: "127.0.0.1:0", Admin: "127.0.0.1:0",
		Services: []Service{{Service: "shop", Source: "file://" + path}}}
	require.NoError(b, config.Check())
	s, err := New(config, nil)
	require.NoError(b, err)
	b.Cleanup(s.Close)
	<-s.list[0].handle.Ready()
	return s
}

var benchedLines = [][2]string{{"user-agent", "Mozilla/5.0 (X11; Linux x86_64)"}, {"accept", "*/*"},
	{"accept-language", "en"},
	{"x-app-version", "2.1.0"}, {"cookie", "theme=dark; uid=u-1001; group=control"}, {"x-forwarded-for", "203.0.113.7"},
	{"x-forwarded-proto", "https"}, {"x-request-id", "3fe6fccb-66a4-4583-b717-cde7c4df4ef6"}}

// BenchmarkCheck is what a question by gRPC costs without the connection: reading the message,
// deciding, and writing the answer.
func BenchmarkCheck(b *testing.B) {
	a := &authorization{server: benched(b)}
	h := &base.HeaderMap{}
	for _, line := range benchedLines {
		h.Headers = append(h.Headers, &base.HeaderValue{Key: line[0], RawValue: []byte(line[1])})
	}
	message, err := proto.Marshal(&auth.CheckRequest{Attributes: &auth.AttributeContext{Source: peerAt("203.0.113.7"),
		Request: &auth.AttributeContext_Request{Http: &auth.AttributeContext_HttpRequest{
			Method: "GET", Path: "/orders/17?page=2", Host: "shop.example.com", Scheme: "https", HeaderMap: h}}}})
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		var r auth.CheckRequest
		if err := proto.Unmarshal(message, &r); err != nil {
			b.Fatal(err)
		}
		answer, err := a.Check(context.Background(), &r)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := proto.Marshal(answer); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecide is what a question by HTTP costs without the connection.
func BenchmarkDecide(b *testing.B) {
	s := benched(b)
	given := http.Header{}
	for _, line := range append(benchedLines, [2]string{forwardedMethod, "GET"}, [2]string{forwardedURI,
		"/orders/17?page=2"},
		[2]string{forwardedHost, "shop.example.com"}) {
		given.Add(line[0], line[1])
	}
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest("GET", "/decide", nil)
		r.Header = given.Clone()
		s.serveQuestion(httptest.NewRecorder(), r)
	}
}
