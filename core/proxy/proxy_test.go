package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/grayrelease/gray/core/proxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// gateway is a server that forwards everything to a pool.
type gateway struct {
	*httptest.Server
	pool      *proxy.Pool
	fallbacks atomic.Int64
}

// newGateway starts a gateway over the upstreams. Its fallback answers with 421 and the request's
// body.
func newGateway(t *testing.T, options proxy.Options, upstreams ...string) *gateway {
	t.Helper()
	return newGatewayBy(t, proxy.Handler, options, upstreams...)
}

// handlerOf makes the handler of a gateway.
type handlerOf func(*proxy.Pool, func(*http.Request) string, proxy.Fallback) http.Handler

// ways are the ways to forward.
var ways = map[string]handlerOf{
	"handler": proxy.Handler,
	"forward": func(pool *proxy.Pool, _ func(*http.Request) string, fallback proxy.Fallback) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { proxy.Forward(pool, w, r, fallback) })
	},
}

func newGatewayBy(t *testing.T, way handlerOf, options proxy.Options, upstreams ...string) *gateway {
	t.Helper()
	g := &gateway{pool: proxy.NewPool(options)}
	require.NoError(t, g.pool.Set(upstreams))
	fallback := func(w http.ResponseWriter, r *http.Request, err error) {
		g.fallbacks.Add(1)
		w.Header().Set("Reason", err.Error())
		w.WriteHeader(http.StatusMisdirectedRequest)
		_, _ = io.Copy(w, r.Body)
	}
	g.Server = httptest.NewUnstartedServer(way(g.pool, nil, fallback))
	g.Config.DisableGeneralOptionsHandler = true
	g.Config.Protocols = new(http.Protocols)
	g.Config.Protocols.SetHTTP1(true)
	g.Config.Protocols.SetUnencryptedHTTP2(true)
	g.Start()
	t.Cleanup(func() { g.Close(); g.pool.Close(); http.DefaultClient.CloseIdleConnections() })
	return g
}

func newUpstream(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.DisableGeneralOptionsHandler = true // which would answer OPTIONS *
	server.Start()
	t.Cleanup(server.Close)
	return server.URL
}

// deadAddress returns a URL that refuses connections.
func deadAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return "http://" + l.Addr().String()
}

// exchange writes a request as it is and reads the response.
func exchange(t *testing.T, address, request string) (*http.Response, string) {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	conn, err := net.Dial("tcp", u.Host)
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, request)
	require.NoError(t, err)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response, string(body)
}

func body(t *testing.T, response *http.Response, err error) string {
	t.Helper()
	require.NoError(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return string(text)
}

func TestRequestArrivesAsItWasSent(t *testing.T) {
	echo := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %s\n", r.Method, r.RequestURI, r.Host)
		_ = r.Header.Write(w)
		_, _ = io.Copy(w, r.Body)
	})
	const forwarded = "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Host: shop.test\r\nX-Forwarded-Proto: http\r\n"
	for name, test := range map[string]struct {
		options       proxy.Options
		request, want string
	}{
		"query with semicolon, bad escape and plus": {
			request: "GET /a%2Fb/./c?x=1;y=2&z=%zz&q=a+b HTTP/1.1\r\nHost: shop.test\r\n\r\n",
			want:    "GET /a%2Fb/./c?x=1;y=2&z=%zz&q=a+b shop.test\n" + forwarded,
		},
		"empty query": {
			request: "GET /? HTTP/1.1\r\nHost: shop.test\r\n\r\n",
			want:    "GET /? shop.test\n" + forwarded,
		},
		"unusual method and body": {
			request: "PROPFIND / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 2\r\n\r\nhi",
			want:    "PROPFIND / shop.test\nContent-Length: 2\r\n" + forwarded + "hi",
		},
		"hop-by-hop headers": {
			request: "GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\n" +
				"Proxy-Authorization: x\r\nTE: gzip\r\nX-Kept: 1\r\n\r\n",
			want: "GET / shop.test\n" + strings.Replace(forwarded, "X-Forwarded-Proto: http\r\n",
				"X-Forwarded-Proto: http\r\nX-Kept: 1\r\n", 1),
		},
		"a client's forwarding headers are replaced": {
			request: "GET / HTTP/1.1\r\nHost: shop.test\r\nX-Forwarded-For: 1.2.3.4\r\nForwarded: for=1.2.3.4\r\n" +
				"X-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.test\r\n\r\n",
			want: "GET / shop.test\n" + forwarded,
		},
		"a trusted proxy's are kept": {
			options: proxy.Options{KeepForwarded: true},
			request: "GET / HTTP/1.1\r\nHost: shop.test\r\nX-Forwarded-For: 1.2.3.4\r\nForwarded: for=1.2.3.4\r\n" +
				"X-Forwarded-Proto: https\r\nX-Forwarded-Host: www.test\r\n\r\n",
			want: "GET / shop.test\nForwarded: for=1.2.3.4\r\nX-Forwarded-For: 1.2.3.4, 127.0.0.1\r\n" +
				"X-Forwarded-Host: www.test\r\nX-Forwarded-Proto: https\r\n",
		},
		"slashes, with a trusted proxy": {
			options: proxy.Options{KeepForwarded: true},
			request: "GET //a//%2F/../b/?x=1;y=2&z=%zz HTTP/1.1\r\nHost: shop.test\r\n\r\n",
			want:    "GET //a//%2F/../b/?x=1;y=2&z=%zz shop.test\nX-Forwarded-For: 127.0.0.1\r\n",
		},
		"the whole server, with a trusted proxy": {
			options: proxy.Options{KeepForwarded: true},
			request: "OPTIONS * HTTP/1.1\r\nHost: shop.test\r\nX-Kept: 1\r\n\r\n",
			want:    "OPTIONS * shop.test\nX-Forwarded-For: 127.0.0.1\r\nX-Kept: 1\r\n",
		},
		"a whole URL without a path, with a trusted proxy": {
			options: proxy.Options{KeepForwarded: true},
			request: "GET http://shop.test?q=1 HTTP/1.1\r\nHost: shop.test\r\n\r\n",
			want:    "GET /?q=1 shop.test\nX-Forwarded-For: 127.0.0.1\r\n",
		},
	} {
		for by, way := range ways {
			t.Run(name+", "+by, func(t *testing.T) {
				g := newGatewayBy(t, way, test.options, echo)
				_, got := exchange(t, g.URL, test.request)
				assert.Equal(t, test.want, got)
			})
		}
	}
}

func TestResponsePassesAsItIs(t *testing.T) {
	g := newGateway(t, proxy.Options{}, newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/redirect":
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		case "/gzip":
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = io.WriteString(w, "as it is")
		case "/early":
			w.Header().Set("Link", "</style.css>")
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusTeapot)
		}
	}))
	response, _ := exchange(t, g.URL, "GET /redirect HTTP/1.1\r\nHost: a\r\n\r\n")
	assert.Equal(t, http.StatusFound, response.StatusCode)
	assert.Equal(t, "/elsewhere", response.Header.Get("Location"))
	_, text := exchange(t, g.URL, "GET /gzip HTTP/1.1\r\nHost: a\r\n\r\n")
	assert.Equal(t, "as it is", text)
	response, _ = exchange(t, g.URL, "GET /early HTTP/1.1\r\nHost: a\r\n\r\n")
	assert.Equal(t, http.StatusEarlyHints, response.StatusCode)
}

func TestBalancesInTurns(t *testing.T) {
	var counts [3]atomic.Int64
	var upstreams []string
	for i := range counts {
		upstreams = append(upstreams, newUpstream(t, func(http.ResponseWriter, *http.Request) { counts[i].Add(1) }))
	}
	g := newGateway(t, proxy.Options{}, upstreams...)
	for range 30 {
		response, err := http.Get(g.URL)
		body(t, response, err)
	}
	for i := range counts {
		assert.EqualValues(t, 10, counts[i].Load(), "upstream %d", i)
	}
}

func TestUnreachableUpstreamIsLeftOut(t *testing.T) {
	live := newUpstream(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	g := newGateway(t, proxy.Options{Cooldown: time.Hour}, deadAddress(t), live)
	for range 10 {
		response, err := http.Post(g.URL, "", strings.NewReader("once"))
		assert.Equal(t, "once", body(t, response, err))
	}
	assert.Zero(t, g.fallbacks.Load())
}

func TestFallbackGetsTheWholeRequest(t *testing.T) {
	untrusted := httptest.NewUnstartedServer(http.NotFoundHandler())
	untrusted.Config.ErrorLog = log.New(io.Discard, "", 0)
	untrusted.StartTLS()
	t.Cleanup(untrusted.Close)
	for name, upstreams := range map[string][]string{
		"no upstream":              nil,
		"connection refused":       {deadAddress(t), deadAddress(t)},
		"unknown certificate":      {untrusted.URL},
		"http spoken over tls":     {strings.Replace(newUpstream(t, nil), "http:", "https:", 1)},
		"name that does not exist": {"http://nowhere.invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t, proxy.Options{}, upstreams...)
			for range 2 {
				response, err := http.Post(g.URL, "", io.MultiReader(strings.NewReader("payload"))) // chunked
				text := body(t, response, err)
				assert.Equal(t, "payload", text)
				assert.Equal(t, http.StatusMisdirectedRequest, response.StatusCode)
				assert.NotEmpty(t, response.Header.Get("Reason"))
			}
		})
	}
}

func TestUpstreamComesBack(t *testing.T) {
	address := deadAddress(t)
	g := newGateway(t, proxy.Options{Cooldown: time.Nanosecond}, address)
	response, err := http.Get(g.URL)
	body(t, response, err)
	require.Equal(t, http.StatusMisdirectedRequest, response.StatusCode)

	l, err := net.Listen("tcp", strings.TrimPrefix(address, "http://"))
	require.NoError(t, err)
	server := &http.Server{Handler: http.NotFoundHandler()}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	response, err = http.Get(g.URL)
	body(t, response, err)
	assert.Equal(t, http.StatusNotFound, response.StatusCode)
}

func TestOneRequestAtATimeTriesAgain(t *testing.T) {
	var connections atomic.Int64
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close() })
	g := newGateway(t, proxy.Options{Cooldown: time.Hour}, "https://"+l.Addr().String())
	for range 10 {
		response, err := http.Get(g.URL)
		body(t, response, err)
	}
	assert.EqualValues(t, 1, connections.Load())
	assert.EqualValues(t, 10, g.fallbacks.Load())
}

// hangUp is an upstream that reads a request and closes the connection.
func hangUp(t *testing.T, count *atomic.Int64) string {
	t.Helper()
	return newUpstream(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		count.Add(1)
		panic(http.ErrAbortHandler)
	})
}

func TestSentRequestIsNeverRepeated(t *testing.T) {
	for _, method := range []string{"POST", "PUT", "GET"} {
		t.Run(method, func(t *testing.T) {
			var count atomic.Int64
			g := newGateway(t, proxy.Options{}, hangUp(t, &count), hangUp(t, &count))
			request, err := http.NewRequest(method, g.URL, strings.NewReader("order"))
			require.NoError(t, err)
			response, err := http.DefaultClient.Do(request)
			body(t, response, err)
			assert.Equal(t, http.StatusBadGateway, response.StatusCode)
			assert.EqualValues(t, 1, count.Load())
			assert.Zero(t, g.fallbacks.Load())
		})
	}
}

func TestUpstreamThatHangsUpIsLeftOut(t *testing.T) {
	var count atomic.Int64
	live := newUpstream(t, func(http.ResponseWriter, *http.Request) {})
	g := newGateway(t, proxy.Options{Cooldown: time.Hour}, hangUp(t, &count), live)
	for range 20 {
		response, err := http.Get(g.URL)
		body(t, response, err)
	}
	assert.EqualValues(t, 3, count.Load())
}

// An upstream that does anything but answer is left out after three failures, and each is reported.
func TestUpstreamThatBreaksOffIsLeftOut(t *testing.T) {
	talksNonsense := func(t *testing.T) string {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		t.Cleanup(func() { _ = listener.Close() })
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				_, _ = io.WriteString(conn, "SSH-2.0-OpenSSH_9.2\r\n")
				_ = conn.Close()
			}
		}()
		return listener.Addr().String()
	}
	resets := func(t *testing.T) string {
		protocols := new(http.Protocols)
		protocols.SetUnencryptedHTTP2(true)
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			panic(http.ErrAbortHandler)
		}))
		server.Config.Protocols = protocols
		server.Start()
		t.Cleanup(server.Close)
		return "h2c://" + server.Listener.Addr().String()
	}
	for name, start := range map[string]func(t *testing.T) string{
		"hangs up":       func(t *testing.T) string { return hangUp(t, new(atomic.Int64)) },
		"talks nonsense": talksNonsense,
		"resets streams": resets,
		"does not speak h2c": func(t *testing.T) string {
			return strings.Replace(newUpstream(t, func(http.ResponseWriter, *http.Request) {}), "http", "h2c", 1)
		},
	} {
		for _, method := range []string{"GET", "POST"} {
			t.Run(name+" "+method, func(t *testing.T) {
				var told atomic.Int64
				options := proxy.Options{Cooldown: time.Hour, Failed: func(_ string, err error) {
					told.Add(1)
					t.Log(err)
				}}
				g := newGateway(t, options, start(t))
				for n := range 5 {
					content := map[string]io.Reader{"GET": nil, "POST": strings.NewReader("order")}[method]
					request, err := http.NewRequest(method, g.URL, content)
					require.NoError(t, err)
					response, err := http.DefaultClient.Do(request)
					body(t, response, err)
					assert.Equal(t, n < 3, response.StatusCode == http.StatusBadGateway, response.StatusCode)
				}
				assert.EqualValues(t, 2, g.fallbacks.Load())
				assert.EqualValues(t, 3, told.Load())
			})
		}
	}
}

func TestRequestCannotPutAnUpstreamOut(t *testing.T) {
	for name, request := range map[string]string{
		"trailer that cannot be sent": "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: a b\r\n\r\n" +
			"0\r\n\r\n",
		"protocol that is no token": "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: \xff\r\n\r\n",
		"chunk that does not end": "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabXX\r\n0\r\n" +
			"\r\n",
		"trailer that is none": "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: A\r\n\r\n2\r\n" +
			"ab\r\n0\r\nno colon\r\n\r\n",
		"body that breaks off": "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nno number\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t, proxy.Options{Cooldown: time.Hour}, newUpstream(t, func(http.ResponseWriter, *http.Request) {}))
			for range 5 {
				response, _ := exchange(t, g.URL, request)
				assert.GreaterOrEqual(t, response.StatusCode, 400)
			}
			response, err := http.Get(g.URL)
			body(t, response, err)
			assert.Equal(t, http.StatusOK, response.StatusCode)
			assert.Zero(t, g.fallbacks.Load())
		})
	}
}

func TestEventsArriveAtOnce(t *testing.T) {
	done := make(chan struct{})
	g := newGateway(t, proxy.Options{}, newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		defer close(done)
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: 1\n\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	response, err := http.Get(g.URL)
	require.NoError(t, err)
	line, err := bufio.NewReader(response.Body).ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, "data: 1\n", line)
	response.Body.Close() // the client goes; so must the upstream's request
	<-done
}

func TestClientThatLeavesCancelsTheUpstream(t *testing.T) {
	arrived, cancelled := make(chan struct{}), make(chan struct{})
	g := newGateway(t, proxy.Options{}, newUpstream(t, func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
		close(cancelled)
	}))
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	request, err := http.NewRequestWithContext(ctx, "GET", g.URL, nil)
	require.NoError(t, err)
	_, err = http.DefaultClient.Do(request)
	require.ErrorIs(t, err, context.Canceled)
	<-cancelled
}

func TestTrailersPass(t *testing.T) {
	g := newGateway(t, proxy.Options{}, newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
		_ = http.NewResponseController(w).Flush() // no Content-Length, so that HTTP/1 has room for trailers
		w.Header().Set(http.TrailerPrefix+"Got", r.Trailer.Get("Sent"))
	}))
	request, err := http.NewRequest("POST", g.URL, io.MultiReader(strings.NewReader("x")))
	require.NoError(t, err)
	request.Trailer = http.Header{"Sent": {"after"}}
	response, err := http.DefaultClient.Do(request)
	assert.Equal(t, "x", body(t, response, err))
	assert.Equal(t, "after", response.Trailer.Get("Got"))
}

func TestUpgrade(t *testing.T) {
	g := newGateway(t, proxy.Options{}, newUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, stream, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = stream.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		_ = stream.Flush()
		line, _ := stream.ReadString('\n')
		_, _ = stream.WriteString(line)
		_ = stream.Flush()
	}))
	conn, err := net.Dial("tcp", strings.TrimPrefix(g.URL, "http://"))
	require.NoError(t, err)
	defer conn.Close()
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(reader, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, response.StatusCode)
	_, _ = io.WriteString(conn, "hello\n")
	line, err := reader.ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, "hello\n", line)
}

func TestH2C(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Proto)
		_ = http.NewResponseController(w).Flush()
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
	}))
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	g := newGateway(t, proxy.Options{}, strings.Replace(server.URL, "http:", "h2c:", 1))
	response, err := http.Get(g.URL)
	assert.Equal(t, "HTTP/2.0", body(t, response, err))
	assert.Equal(t, "0", response.Trailer.Get("Grpc-Status"))
}

func TestBigBodiesPass(t *testing.T) {
	g := newGateway(t, proxy.Options{}, newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	}))
	sent := make([]byte, 8<<20)
	_, _ = rand.Read(sent)
	response, err := http.Post(g.URL, "", bytes.NewReader(sent))
	got := body(t, response, err)
	assert.Equal(t, sha256.Sum256(sent), sha256.Sum256([]byte(got)))
}

func TestSetWhileRunning(t *testing.T) {
	one := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "one") })
	two := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "two") })
	g := newGateway(t, proxy.Options{}, one)
	stop := make(chan struct{})
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				response, err := http.Get(g.URL)
				assert.Contains(t, []string{"one", "two"}, body(t, response, err))
			}
		})
	}
	for i := range 200 {
		require.NoError(t, g.pool.Set([][]string{{one}, {two}, {one, two}}[i%3]))
	}
	close(stop)
	group.Wait()
	assert.Zero(t, g.fallbacks.Load())
}

func TestSetRefusesWhatIsNoUpstream(t *testing.T) {
	pool := proxy.NewPool(proxy.Options{})
	t.Cleanup(pool.Close)
	for _, upstream := range []string{"", "ftp://a", "http://", "http://:80", "http://a/path", "http://a?q",
		"http://u:p@a", "http://a\n", "http://a#f"} {
		err := pool.Set([]string{"http://127.0.0.1:1", upstream})
		assert.ErrorContains(t, err, "[1]: ", "%q", upstream)
	}
}

func TestManyPoolsLeaveNothing(t *testing.T) {
	upstream := newUpstream(t, func(http.ResponseWriter, *http.Request) {})
	for range 500 {
		pool := proxy.NewPool(proxy.Options{})
		require.NoError(t, pool.Set([]string{upstream}))
		recorder := httptest.NewRecorder()
		proxy.Forward(pool, recorder, httptest.NewRequest("GET", "/", nil), func(http.ResponseWriter, *http.Request, error) {
			assert.Fail(t, "fallback")
		})
		assert.Equal(t, http.StatusOK, recorder.Code)
		pool.Close()
		pool.Close() // once is enough, twice does no harm
	}
}

func TestFallbackIsToldWhy(t *testing.T) {
	pool := proxy.NewPool(proxy.Options{})
	defer pool.Close()
	var told error
	proxy.Forward(pool, httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil),
		func(_ http.ResponseWriter, _ *http.Request, err error) { told = err })
	assert.ErrorIs(t, told, proxy.ErrNoUpstream)
}

// What a direct attempt could not send is the gateway's own request still, and the way back to
// direct attempts leads over a success.
func TestDirectAttemptLeavesTheRequestAsItWas(t *testing.T) {
	backend := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Header.Get("X-Forwarded-For"))
	})
	dead := deadAddress(t)
	pool := proxy.NewPool(proxy.Options{KeepForwarded: true, Cooldown: time.Nanosecond})
	defer pool.Close()
	var fallen *http.Request
	handler := proxy.Handler(pool, nil, func(_ http.ResponseWriter, r *http.Request, err error) {
		fallen = r
		assert.ErrorContains(t, err, "refused")
	})
	for _, upstreams := range [][]string{{dead}, {backend}, {dead, deadAddress(t)}, {backend, backend}} {
		require.NoError(t, pool.Set(upstreams))
		for range 3 {
			r := httptest.NewRequest("GET", "/cart?a=1", nil)
			r.Header.Set("Connection", "X-Hop")
			r.Header.Set("X-Hop", "1")
			whole := r.Clone(r.Context())
			w := httptest.NewRecorder()
			fallen = nil
			handler.ServeHTTP(w, r)
			assert.Equal(t, whole.Header, r.Header)
			assert.Equal(t, whole.URL, r.URL)
			assert.Nil(t, r.Response)
			if upstreams[0] == backend {
				assert.Equal(t, "192.0.2.1", w.Body.String())
				assert.Nil(t, fallen)
			} else {
				assert.Same(t, r, fallen)
			}
		}
	}
}
