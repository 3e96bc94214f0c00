package traefik_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	"github.com/grayrelease/gray/e2e/traefik"
)

const big = 100 << 20

// canary is an upstream whose exchanges take time.
type canary struct {
	*httptest.Server
	cancelled chan string // paths of requests that were cancelled
	release   chan struct{}
}

func newCanary(t *testing.T) *canary {
	c := &canary{cancelled: make(chan string, 10), release: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, "data: %s\n\n", r.Header.Get("X-Gray-Version"))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		c.cancelled <- r.URL.Path
	})
	mux.HandleFunc("/wait", func(_ http.ResponseWriter, r *http.Request) {
		c.release <- struct{}{}
		<-r.Context().Done()
		c.cancelled <- r.URL.Path
	})
	mux.HandleFunc("/socket", func(w http.ResponseWriter, r *http.Request) {
		socket, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		socket.SetReadLimit(1 << 20)
		for {
			kind, message, err := socket.Read(r.Context())
			if err != nil {
				return
			}
			if socket.Write(r.Context(), kind, message) != nil {
				return
			}
		}
	})
	mux.HandleFunc("/upload", func(w http.ResponseWriter, r *http.Request) {
		digest := sha256.New()
		n, _ := io.Copy(digest, r.Body)
		fmt.Fprintf(w, "%d %x", n, digest.Sum(nil))
	})
	mux.HandleFunc("/download", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(big))
		_, _ = io.Copy(w, bytesOf(big))
	})
	mux.HandleFunc("/trailers", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "Got")
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(body)
		_ = http.NewResponseController(w).Flush()
		w.Header().Set("Got", "after the body")
		w.Header().Set("Sent-Trailer", r.Trailer.Get("Sent"))
	})
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %s\n", r.Method, r.RequestURI, r.Host)
		_ = r.Header.Write(w)
	})
	mux.HandleFunc("/redirect", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/elsewhere", http.StatusFound)
	})
	c.Server = httptest.NewServer(mux)
	t.Cleanup(c.Close)
	return c
}

// bytesOf reads n bytes that are always the same and do not repeat.
func bytesOf(n int64) io.Reader { return io.LimitReader(rand.NewChaCha8([32]byte{}), n) }

func digestOf(r io.Reader) (string, error) {
	var digest hash.Hash = sha256.New()
	n, err := io.Copy(digest, r)
	return fmt.Sprintf("%d %x", n, digest.Sum(nil)), err
}

// bothModes starts Traefik with the hosts header.test and proxy.test, where testers get the canary.
func bothModes(t *testing.T, stable, canary string) *traefik.Gateway {
	return traefik.Start(t, traefik.Options{
		Plugins: map[string]string{"gray": root},
		Static:  object{"log": object{"level": "ERROR"}},
		Dynamic: dynamic(
			object{
				"parent": object{"rule": "Host(`header.test`)", "middlewares": []any{"header"}},
				"stable": object{"rule": "Header(`X-Gray-Version`, `v1`)", "parentRefs": []any{"parent"}, "service": "v1"},
				"canary": object{"rule": "Header(`X-Gray-Version`, `v2`)", "parentRefs": []any{"parent"}, "service": "v2"},
				"proxy":  object{"rule": "Host(`proxy.test`)", "middlewares": []any{"proxy"}, "service": "v1"},
			},
			object{"header": gray(testers("header", canary)), "proxy": gray(testers("proxy", canary))},
			object{"v1": server(stable), "v2": server(canary)},
		),
	})
}

func newRequest(t *testing.T, ctx context.Context, g *traefik.Gateway, host, method, path string,
	body io.Reader) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, method, g.URL+path, body)
	require.NoError(t, err)
	r.Host = host
	r.Header.Set("X-App-Version", "beta")
	return r
}

func TestStreaming(t *testing.T) {
	c := newCanary(t)
	g := bothModes(t, upstream(t, "v1"), c.URL)
	for _, host := range []string{"header.test", "proxy.test"} {
		t.Run(host+"/events", func(t *testing.T) { events(t, g, c, host) })
		t.Run(host+"/disconnect before the response", func(t *testing.T) { disconnect(t, g, c, host) })
		t.Run(host+"/websocket", func(t *testing.T) { socket(t, g, host) })
		t.Run(host+"/upload", func(t *testing.T) { upload(t, g, host) })
		t.Run(host+"/download", func(t *testing.T) { download(t, g, host) })
		t.Run(host+"/trailers", func(t *testing.T) { trailers(t, g, host) })
	}
	assert.True(t, g.Alive())
}

// events also is the client who leaves amid a response.
func events(t *testing.T, g *traefik.Gateway, c *canary, host string) {
	start := time.Now()
	response, err := http.DefaultClient.Do(newRequest(t, t.Context(), g, host, "GET", "/events", nil))
	require.NoError(t, err)
	line, err := bufio.NewReader(response.Body).ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, "data: v2\n", line)
	t.Logf("first event after %v, the response still open", time.Since(start).Round(time.Microsecond*100))
	response.Body.Close()
	assert.Equal(t, "/events", <-c.cancelled)
}

func disconnect(t *testing.T, g *traefik.Gateway, c *canary, host string) {
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-c.release; cancel() }()
	_, err := http.DefaultClient.Do(newRequest(t, ctx, g, host, "GET", "/wait", nil))
	require.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, "/wait", <-c.cancelled)
}

func socket(t *testing.T, g *traefik.Gateway, host string) {
	connection, response, err := websocket.Dial(t.Context(), strings.Replace(g.URL, "http:", "ws:", 1)+"/socket",
		&websocket.DialOptions{
			Host: host, HTTPHeader: http.Header{"X-App-Version": {"beta"}},
		})
	require.NoError(t, err)
	if response.Body != nil {
		defer response.Body.Close()
	}
	defer connection.CloseNow()
	connection.SetReadLimit(1 << 20)
	for _, size := range []int{0, 5, 100_000} {
		sent := strings.Repeat("x", size)
		require.NoError(t, connection.Write(t.Context(), websocket.MessageText, []byte(sent)))
		_, got, err := connection.Read(t.Context())
		require.NoError(t, err)
		assert.Equal(t, sent, string(got))
	}
	assert.NoError(t, connection.Close(websocket.StatusNormalClosure, ""))
}

func upload(t *testing.T, g *traefik.Gateway, host string) {
	response, err := http.DefaultClient.Do(newRequest(t, t.Context(), g, host, "POST", "/upload", bytesOf(big)))
	require.NoError(t, err)
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	want, _ := digestOf(bytesOf(big))
	assert.Equal(t, want, string(got))
}

func download(t *testing.T, g *traefik.Gateway, host string) {
	response, err := http.DefaultClient.Do(newRequest(t, t.Context(), g, host, "GET", "/download", nil))
	require.NoError(t, err)
	defer response.Body.Close()
	got, err := digestOf(response.Body)
	require.NoError(t, err)
	want, _ := digestOf(bytesOf(big))
	assert.Equal(t, want, got)
}

func trailers(t *testing.T, g *traefik.Gateway, host string) {
	response, err := http.DefaultClient.Do(newRequest(t, t.Context(), g, host, "POST", "/trailers",
		strings.NewReader("text")))
	require.NoError(t, err)
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	assert.Equal(t, "text", string(got))
	assert.Equal(t, "after the body", response.Trailer.Get("Got"))
}

// Both modes send on the same request, but for what the modes differ in.
func TestForwardedRequest(t *testing.T) {
	c := newCanary(t)
	g := bothModes(t, upstream(t, "v1"), c.URL)
	arrived := map[string]string{}
	for _, host := range []string{"header.test", "proxy.test"} {
		raw := "GET /echo?a=b+c&d=%2F&bad=%zz HTTP/1.1\r\nHost: " + host + "\r\nX-App-Version: beta\r\n" +
			"Connection: close, X-Hop, X-Gray-Version\r\nX-Hop: 1\r\n" +
			"Keep-Alive: 5\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 5.6.7.8\r\nX-Forwarded-Proto: https\r\n" +
			"X-Forwarded-Host: www.test\r\nForwarded: for=1.2.3.4\r\nAccept-Encoding: br\r\n\r\n"
		_, body := exchange(t, g.URL, []byte(raw))
		arrived[host] = strings.ReplaceAll(string(body), host, "HOST")
		_, body = exchange(t, g.URL,
			[]byte("GET /redirect HTTP/1.1\r\nHost: "+host+"\r\nX-App-Version: beta\r\nConnection: close\r\n\r\n"))
		assert.Contains(t, string(body), "/elsewhere")
	}
	assert.Equal(t, arrived["header.test"], arrived["proxy.test"])
	assert.Contains(t, arrived["proxy.test"], "GET /echo?a=b+c&d=%2F&bad=%zz HOST\n")
	assert.Contains(t, arrived["proxy.test"], "X-Forwarded-For: 1.2.3.4, 5.6.7.8, 127.0.0.1\r\n")
	assert.Contains(t, arrived["proxy.test"], "X-Gray-Version: v2\r\n")
	assert.NotContains(t, arrived["proxy.test"], "X-Hop")
}

func TestGRPC(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	service := grpc.NewServer()
	status := health.NewServer()
	healthpb.RegisterHealthServer(service, status)
	go func() { _ = service.Serve(listener) }()
	t.Cleanup(service.Stop)
	g := bothModes(t, upstream(t, "v1"), "h2c://"+listener.Addr().String())
	for _, host := range []string{"header.test", "proxy.test"} {
		t.Run(host, func(t *testing.T) {
			connection, err := grpc.NewClient(strings.TrimPrefix(g.URL, "http://"),
				grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority(host))
			require.NoError(t, err)
			defer connection.Close()
			ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(t.Context(),
				"x-app-version", "beta"), time.Minute)
			defer cancel()
			client := healthpb.NewHealthClient(connection)
			answer, err := client.Check(ctx, &healthpb.HealthCheckRequest{})
			require.NoError(t, err)
			assert.Equal(t, healthpb.HealthCheckResponse_SERVING, answer.GetStatus())

			watch, err := client.Watch(ctx, &healthpb.HealthCheckRequest{})
			require.NoError(t, err)
			for _, next := range []healthpb.HealthCheckResponse_ServingStatus{healthpb.HealthCheckResponse_NOT_SERVING,
				healthpb.HealthCheckResponse_SERVING} {
				before, err := watch.Recv()
				require.NoError(t, err)
				assert.NotEqual(t, next, before.GetStatus())
				status.SetServingStatus("", next)
			}
			last, err := watch.Recv()
			require.NoError(t, err)
			assert.Equal(t, healthpb.HealthCheckResponse_SERVING, last.GetStatus())
		})
	}
}
