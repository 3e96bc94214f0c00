package decider

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
	"time"
	"unicode/utf8"

	base "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/decider/exchange"
)

// serviceExtension is the key of the context extension by which Envoy names a service.
const serviceExtension = "service"

// leastPing is how often a client may ping a connection that it keeps alive.
const leastPing = time.Second

// healthEvery is the time between two looks at whether the server is ready.
const healthEvery = time.Second

// authorization answers Envoy's questions by gRPC.
type authorization struct {
	auth.UnimplementedAuthorizationServer
	server *Server
}

// runGRPC returns the server of questions by gRPC.
func (s *Server) runGRPC() running {
	g := grpc.NewServer(grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: leastPing,
		PermitWithoutStream: true}))
	auth.RegisterAuthorizationServer(g, &authorization{server: s})
	s.health = health.NewServer()
	healthpb.RegisterHealthServer(g, s.health)
	return running{
		serve: func() error { return g.Serve(s.grpc) },
		end: func(ctx context.Context) {
			stop := context.AfterFunc(ctx, g.Stop)
			defer stop()
			g.GracefulStop()
		},
	}
}

// tellHealth keeps up what gRPC's health service says, until the context ends.
func (s *Server) tellHealth(ctx context.Context) {
	if s.health == nil {
		return
	}
	ticker := time.NewTicker(healthEvery)
	defer ticker.Stop()
	for {
		serving := healthpb.HealthCheckResponse_SERVING
		if s.ready() != nil {
			serving = healthpb.HealthCheckResponse_NOT_SERVING
		}
		s.health.SetServingStatus("", serving)
		select {
		case <-ctx.Done():
			s.health.Shutdown()
			return
		case <-ticker.C:
		}
	}
}

// Check implements envoy.service.auth.v3.Authorization.
func (a *authorization) Check(_ context.Context, r *auth.CheckRequest) (response *auth.CheckResponse, err error) {
	began := time.Now()
	defer func() {
		if p := recover(); p != nil { // Envoy goes on without an answer
			a.server.log.Error("internal error", "error", fmt.Sprint(p), "stack", string(debug.Stack()))
			response, err = nil, grpcstatus.Error(codes.Internal, "internal error")
		}
	}()
	q := questionOfEnvoy(r.GetAttributes())
	answer, result := a.server.decide(q)
	response = allowed(&answer)
	a.server.metrics.answered(protocolGRPC, result, time.Since(began))
	return response, nil
}

// questionOfEnvoy reads what Envoy tells of a request. The connection's other end is the peer:
// nobody but Envoy has written that.
func questionOfEnvoy(a *auth.AttributeContext) *question {
	r := a.GetRequest().GetHttp()
	peer := a.GetSource().GetAddress().GetSocketAddress().GetAddress()
	request := exchange.NewRequest(r.GetMethod(), r.GetPath(), r.GetHost(), peer, headerOfEnvoy(r))
	return &question{request, a.GetContextExtensions()[serviceExtension], isTLS(r.GetScheme())}
}

// headerOfEnvoy returns the header of a request, line by line where Envoy tells them apart
// (encode_raw_headers).
func headerOfEnvoy(r *auth.AttributeContext_HttpRequest) http.Header {
	lines := r.GetHeaderMap().GetHeaders()
	if len(lines) == 0 {
		h := make(http.Header, len(r.GetHeaders()))
		for name, value := range r.GetHeaders() {
			addLine(h, name, value)
		}
		return h
	}
	h := make(http.Header, len(lines))
	for _, line := range lines {
		value := line.GetValue()
		if raw := line.GetRawValue(); len(raw) > 0 {
			value = string(raw)
		}
		addLine(h, line.GetKey(), value)
	}
	return h
}

// addLine adds a line of a header, unless it is one of HTTP/2's pseudo-headers or the host.
func addLine(h http.Header, name, value string) {
	if name == "" || name[0] == ':' || strings.EqualFold(name, "Host") {
		return
	}
	name = http.CanonicalHeaderKey(name)
	h[name] = append(h[name], value)
}

var statusOK = &status.Status{Code: int32(codes.OK)}

// allowed lets a request pass with what is to be changed.
func allowed(a *answer) *auth.CheckResponse {
	ok := &auth.OkHttpResponse{HeadersToRemove: a.Remove}
	for _, header := range textual(a.Set) {
		ok.Headers = append(ok.Headers, option(header[0], header[1], base.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD))
	}
	for name, values := range a.Client {
		for _, value := range values {
			ok.ResponseHeadersToAdd = append(ok.ResponseHeadersToAdd,
				option(name, value, base.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD))
		}
	}
	return &auth.CheckResponse{Status: statusOK, HttpResponse: &auth.CheckResponse_OkResponse{OkResponse: ok},
		DynamicMetadata: a.metadata}
}

// metadata tells of a decision, for Envoy's access log.
func metadata(service string, d *core.Decision) *structpb.Struct {
	return &structpb.Struct{Fields: map[string]*structpb.Value{
		"service": structpb.NewStringValue(service),
		"version": structpb.NewStringValue(d.Version),
		"rule":    structpb.NewStringValue(strings.ToValidUTF8(d.Rule, "?")),
	}}
}

// option is a header that Envoy sets or adds. Envoy reads no raw_value in answers.
func option(name, value string, action base.HeaderValueOption_HeaderAppendAction) *base.HeaderValueOption {
	return &base.HeaderValueOption{AppendAction: action, Header: &base.HeaderValue{Key: strings.ToLower(name),
		Value: value}}
}

// textual returns headers as gRPC can carry them, which is UTF-8. Other bytes of baggage are
// percent-encoded, which is what they mean there. Other headers with such bytes stay as the client
// has sent them: a new identity is then missing in the Cookie of one request.
func textual(headers [][2]string) [][2]string {
	for i, header := range headers {
		if utf8.ValidString(header[1]) {
			continue
		}
		var kept [][2]string
		for _, header := range headers[i:] {
			switch {
			case utf8.ValidString(header[1]):
				kept = append(kept, header)
			case header[0] == "Baggage":
				kept = append(kept, [2]string{header[0], percentEncoded(header[1])})
			}
		}
		return append(headers[:i:i], kept...)
	}
	return headers
}

// percentEncoded encodes the bytes that are not UTF-8.
func percentEncoded(text string) string {
	var b strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		if r == utf8.RuneError && size == 1 {
			fmt.Fprintf(&b, "%%%02X", text[0])
		} else {
			b.WriteString(text[:size])
		}
		text = text[size:]
	}
	return b.String()
}
