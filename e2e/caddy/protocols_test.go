package caddy

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	"github.com/grayrelease/gray/e2e/servers"
)

// everyVersion runs Caddy with and without TLS in front of two versions, and runs the test for each
// of them. The upstreams speak h2c to gRPC clients and HTTP/1.1 to others.
func everyVersion(t *testing.T, test func(t *testing.T, plain, secure, user, version string)) {
	v1 := []*instance{startUpstream(t, "v1")}
	v2 := []*instance{startUpstream(t, "v2")}
	plain, secure := servers.FreeAddress(t), servers.FreeAddress(t)
	policy := release(plain, v1, v2)
	body := policy[strings.Index(policy, "{"):]
	body = strings.Replace(body, "reverse_proxy {", `@grpc header Content-Type application/grpc*
	reverse_proxy @grpc {
		dynamic gray
		transport http {
			versions h2c 2
		}
	}
	reverse_proxy {`, 1)
	g := startGateway(t, plain,
		fmt.Sprintf("http://%s %s\nhttps://%s %s", plain, body, strings.Replace(secure, "127.0.0.1", "localhost", 1),
			strings.Replace(body, "{", "{\n\ttls internal\n", 1)))
	g.await(t, secure)
	require.Eventually(t, func() bool { // until the certificate is there
		conn, err := tls.Dial("tcp", secure, trusting)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}, 30*time.Second, 50*time.Millisecond)
	for user, version := range map[string]string{"u-1": "v1", "u-10": "v2"} {
		t.Run(version, func(t *testing.T) { test(t, plain, secure, user, version) })
	}
}

// trusting accepts Caddy's own certificates, which come from an authority made for the test.
var trusting = &tls.Config{InsecureSkipVerify: true, ServerName: "localhost"}

func TestHTTP(t *testing.T) {
	protocol := func(set func(*http.Protocols)) *http.Protocols {
		p := new(http.Protocols)
		set(p)
		return p
	}
	everyVersion(t, func(t *testing.T, plain, secure, user, version string) {
		for want, c := range map[string]struct {
			url      string
			protocol *http.Protocols
		}{
			"HTTP/1.1": {"http://" + plain, protocol(func(p *http.Protocols) { p.SetHTTP1(true) })},
			"HTTP/2.0": {"https://" + strings.Replace(secure, "127.0.0.1", "localhost", 1),
				protocol(func(p *http.Protocols) { p.SetHTTP2(true) })},
			"HTTP/2.0 plaintext": {"http://" + plain, protocol(func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) })},
		} {
			transport := &http.Transport{TLSClientConfig: trusting, Protocols: c.protocol}
			defer transport.CloseIdleConnections()
			req, err := http.NewRequest(http.MethodGet, c.url, nil)
			require.NoError(t, err)
			req.Header.Set("X-User", user)
			res, err := transport.RoundTrip(req)
			require.NoError(t, err, want)
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			require.Equal(t, version+" "+version, string(body))
			require.Contains(t, want, res.Proto)
		}
	})
}

func TestGRPC(t *testing.T) {
	everyVersion(t, func(t *testing.T, plain, _, user, version string) {
		conn, err := grpc.NewClient(plain, grpc.WithTransportCredentials(insecure.NewCredentials()))
		require.NoError(t, err)
		defer conn.Close()
		ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(context.Background(), "x-user", user),
			20*time.Second)
		defer cancel()
		service := healthpb.NewHealthClient(conn)

		var header metadata.MD
		got, err := service.Check(ctx, &healthpb.HealthCheckRequest{}, grpc.Header(&header))
		require.NoError(t, err)
		require.Equal(t, healthpb.HealthCheckResponse_SERVING, got.Status)
		require.Equal(t, []string{version}, header["upstream"])

		stream, err := service.Watch(ctx, &healthpb.HealthCheckRequest{})
		require.NoError(t, err)
		for range 4 {
			got, err := stream.Recv()
			require.NoError(t, err)
			require.Equal(t, healthpb.HealthCheckResponse_SERVING, got.Status)
		}
		header, err = stream.Header()
		require.NoError(t, err)
		require.Equal(t, []string{version}, header["upstream"])
	})
}

func TestWebsocket(t *testing.T) {
	everyVersion(t, func(t *testing.T, plain, _, user, version string) {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		socket, _, err := websocket.Dial(ctx, "ws://"+plain+"/socket",
			&websocket.DialOptions{HTTPHeader: http.Header{"X-User": {user}}})
		require.NoError(t, err)
		defer socket.CloseNow()
		for _, message := range []string{"one", "two", strings.Repeat("x", 10_000)} {
			require.NoError(t, socket.Write(ctx, websocket.MessageText, []byte(message)))
			_, got, err := socket.Read(ctx)
			require.NoError(t, err)
			require.Equal(t, version+": "+message, string(got))
		}
	})
}

func TestEvents(t *testing.T) {
	everyVersion(t, func(t *testing.T, plain, _, user, version string) {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+plain+"/events", nil)
		require.NoError(t, err)
		req.Header.Set("X-User", user)
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer res.Body.Close()
		line, err := bufio.NewReader(res.Body).ReadString('\n')
		require.NoError(t, err, "while the response stays open")
		require.Equal(t, "data: "+version+"\n", line)
	})
}
