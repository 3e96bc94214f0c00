package caddygray_test

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// gateway runs Caddy with a policy that sends requests to v2 if their header X-V says so, and
// returns its URL.
func gateway(t *testing.T, policy, proxy string) string {
	t.Helper()
	address := freeAddress(t)
	startCaddyfile(t, fmt.Sprintf(`
http://%s {
	gray %s {
		stable v1
		%s
		debug_header
		rule wanted v2 {
			when header X-V = v2
		}
	}
	reverse_proxy {
		dynamic gray
		%s
	}
}
`, address, strings.ToLower(t.Name()), policy, proxy))
	return "http://" + address
}

type answer struct {
	status int
	body   string
	debug  string
	header http.Header
}

func ask(t *testing.T, method, url, version string, body io.Reader) answer {
	t.Helper()
	req, err := http.NewRequest(method, url, body)
	require.NoError(t, err)
	req.Header.Set("X-V", version)
	req.Close = true // a reload without grace cuts idle connections
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return answer{res.StatusCode, string(text), res.Header.Get("X-Gray-Decision"), res.Header}
}

func get(t *testing.T, url, version string) answer {
	t.Helper()
	return ask(t, http.MethodGet, url, version, nil)
}

func TestProxyFollowsTheDecision(t *testing.T) {
	url := gateway(t, "version v1 "+says(t, "one")+"\nversion v2 "+says(t, "two"), "")
	require.Equal(t, "one told v1", get(t, url, "").body)
	got := get(t, url, "v2")
	require.Equal(t, "two told v2", got.body)
	require.Equal(t, `"testproxyfollowsthedecision"; version=v2; rule="wanted"`, got.debug)
}

func TestFallback(t *testing.T) {
	dead := freeAddress(t)
	url := gateway(t, "version v1 "+says(t, "one")+"\nversion v2 "+dead+" "+freeAddress(t), "")
	fallbacks := growth(t, "caddy_gray_fallbacks_total", "service=testfallback", "version=v2")
	unreachable := growth(t, "caddy_gray_upstream_failures_total", "service=testfallback",
		"version=v2", "kind=unreachable")
	for range 20 {
		got := get(t, url, "v2")
		require.Equal(t, "one told v1", got.body, "stable is told that it serves as stable")
		require.Contains(t, got.debug, "version=v2")
		require.Contains(t, got.debug, "; fallback")
		got = ask(t, http.MethodPost, url, "v2", strings.NewReader("whole"))
		require.Equal(t, http.StatusOK, got.status, "nothing had been sent")
	}
	require.EqualValues(t, 40, fallbacks())
	require.EqualValues(t, 2, unreachable(), "two dead upstreams cost two attempts, not two for each of 40 requests")
}

func TestRetriesThatTheProxySets(t *testing.T) {
	for proxy, status := range map[string]int{"lb_retries 0": http.StatusOK, "lb_retries 1": http.StatusBadGateway,
		"lb_retries 2": http.StatusOK} {
		t.Run(proxy, func(t *testing.T) {
			url := gateway(t, "version v1 "+says(t, "one")+"\nversion v2 "+freeAddress(t)+" "+freeAddress(t), proxy)
			require.Equal(t, status, get(t, url, "v2").status)
			require.Equal(t, http.StatusOK, get(t, url, "v2").status, "both are left out now")
		})
	}
}

func TestFallbackLeavesTheProxysOwnHeaders(t *testing.T) {
	for proxy, want := range map[string]string{
		"":                                      `one ["v1"] []`,
		"header_up -X-Gray-Version":             `one [] []`,
		"header_up -Baggage":                    `one ["v1"] []`,
		"header_up X-Gray-Version mine":         `one ["mine"] []`,
		"header_up Baggage tenant=7":            `one ["v1"] ["tenant=7"]`,
		"header_up -X-*\nheader_up -Baggage":    `one [] []`,
		"header_up Baggage gray=[^,]+ gray=own": `one ["v1"] ["gray=own"]`,
	} {
		t.Run(proxy, func(t *testing.T) {
			url := gateway(t, "version v1 "+repeats(t, "one")+"\nversion v2 "+freeAddress(t), proxy)
			for range 2 { // after a failed attempt, and with the upstream left out from the start
				got := get(t, url, "v2")
				require.Equal(t, want, got.body)
				require.Contains(t, got.debug, "; fallback")
			}
		})
	}
}

func TestFallbackOfVersionWithoutUpstreams(t *testing.T) {
	url := gateway(t, "version v1 "+says(t, "one")+"\nversion v2", "")
	require.Equal(t, "one told v1", get(t, url, "v2").body)
}

func TestBodyIsWholeAfterFailedAttempts(t *testing.T) {
	echo := backend(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(body)
	})
	url := gateway(t, "version v1 "+echo+"\nversion v2 "+freeAddress(t)+" "+freeAddress(t), "")
	whole := strings.Repeat("0123456789", 100_000)
	for _, body := range []io.Reader{strings.NewReader(whole),
		io.MultiReader(strings.NewReader(whole))} { // with and without length
		got := ask(t, http.MethodPost, url, "v2", body)
		require.Equal(t, http.StatusOK, got.status)
		require.Equal(t, len(whole), len(got.body))
	}
}

// secure is a TLS server on loopback whose certificate nobody trusts, and its URL.
func secure(t *testing.T, http2 bool, handle http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewUnstartedServer(handle)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.EnableHTTP2 = http2
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL
}

// hangingUp is a server that closes each connection once something comes, and its address.
func hangingUp(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 1))
			_ = conn.Close()
		}
	}()
	return listener.Addr().String()
}

func TestFailedHandshakeIsAFailedConnection(t *testing.T) {
	whole := strings.Repeat("0123456789", 100_000)
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = fmt.Fprint(w, r.Header.Get("X-Gray-Version"), " ", string(body))
	})
	stable := "http://" + backend(t, echo)
	for name, v2 := range map[string]string{
		"not trusted":           secure(t, false, echo),
		"not trusted, HTTP/2":   secure(t, true, echo),
		"no TLS":                "https://" + backend(t, echo),
		"hangs up":              "https://" + hangingUp(t),
		"scheme of the proxy's": strings.TrimPrefix(secure(t, false, echo), "https://"),
	} {
		t.Run(name, func(t *testing.T) {
			proxy := ""
			if !strings.HasPrefix(v2, "https") {
				proxy = "transport http {\ntls\n}"
			}
			url := gateway(t, "version v1 "+stable+"\nversion v2 "+v2, proxy)
			service := "service=" + strings.ToLower(t.Name())
			unreachable := growth(t, "caddy_gray_upstream_failures_total", service, "version=v2", "kind=unreachable")
			interrupted := growth(t, "caddy_gray_upstream_failures_total", service, "version=v2", "kind=interrupted")
			for range 3 {
				for _, body := range []io.Reader{strings.NewReader(whole),
					io.MultiReader(strings.NewReader(whole))} { // with and without length
					got := ask(t, http.MethodPost, url, "v2", body)
					require.Equal(t, http.StatusOK, got.status)
					require.True(t, got.body == "v1 "+whole, "the body is whole")
					require.Contains(t, got.debug, "; fallback")
				}
			}
			require.EqualValues(t, 1, unreachable(), "the upstream is left out at once")
			require.Zero(t, interrupted())
		})
	}
}

func TestPostSentOverTLSIsNeverSentAgain(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprint("HTTP/2 ", http2), func(t *testing.T) {
			var canary, stable atomic.Int64
			count := backend(t, func(http.ResponseWriter, *http.Request) { stable.Add(1) })
			v2 := secure(t, http2, func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				canary.Add(1)
				panic(http.ErrAbortHandler)
			})
			url := gateway(t, "version v1 http://"+count+"\nversion v2 "+v2,
				"transport http {\ntls\ntls_insecure_skip_verify\n}")
			for range 2 { // on a new connection, and on one that may have been kept
				require.Equal(t, http.StatusBadGateway, ask(t, http.MethodPost, url, "v2", strings.NewReader("x")).status)
			}
			require.EqualValues(t, 2, canary.Load())
			require.Zero(t, stable.Load())
		})
	}
}

// breaking is an upstream that reads a request and closes the connection without an answer.
func breaking(t *testing.T, received *atomic.Int64) string {
	return backend(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		received.Add(1)
		panic(http.ErrAbortHandler)
	})
}

func TestSentPostIsNeverSentAgain(t *testing.T) {
	var gray, stable atomic.Int64
	count := backend(t, func(http.ResponseWriter, *http.Request) { stable.Add(1) })
	url := gateway(t, "version v1 "+count+"\nversion v2 "+breaking(t, &gray), "")
	got := ask(t, http.MethodPost, url, "v2", strings.NewReader("x"))
	require.Equal(t, http.StatusBadGateway, got.status)
	require.EqualValues(t, 1, gray.Load())
	require.Zero(t, stable.Load())
}

func TestGetSurvivesBrokenUpstream(t *testing.T) {
	var received atomic.Int64
	url := gateway(t, "version v1 "+says(t, "one")+"\nversion v2 "+breaking(t, &received), "")
	for range 10 {
		require.Equal(t, "one told v1", get(t, url, "v2").body)
	}
	require.EqualValues(t, 3, received.Load(), "three failures in a row, and the upstream is left out")
}

func TestUpstreamThatBreaksPostsIsLeftOut(t *testing.T) {
	var received atomic.Int64
	url := gateway(t, "version v1 "+says(t, "one")+"\nversion v2 "+breaking(t, &received), "")
	for n := range 6 {
		got := ask(t, http.MethodPost, url, "v2", strings.NewReader("x"))
		require.Equal(t, n < 3, got.status == http.StatusBadGateway, got.status)
	}
	require.EqualValues(t, 3, received.Load())
}

func TestOneBadRequestLeavesNobodyOut(t *testing.T) {
	picky := backend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/poison" {
			panic(http.ErrAbortHandler)
		}
		_, _ = w.Write([]byte("two"))
	})
	url := gateway(t, "version v1 "+says(t, "one")+"\nversion v2 "+picky, "")
	for range 10 {
		require.Equal(t, http.StatusOK, get(t, url+"/poison", "v2").status)
		require.Equal(t, "two", get(t, url, "v2").body)
	}
}

func TestRetryStaysInTheVersion(t *testing.T) {
	url := gateway(t, "version v1 "+says(t, "one")+"\nversion v2 "+freeAddress(t)+" "+says(t, "two"), "")
	for range 20 {
		got := get(t, url, "v2")
		require.Equal(t, "two told v2", got.body)
		require.NotContains(t, got.debug, "fallback")
	}
}

func TestRetriedResponsesStayInTheVersion(t *testing.T) {
	var asked atomic.Int64
	busy := backend(t, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	url := gateway(t, "version v1 "+says(t, "one")+"\nversion v2 "+busy,
		"lb_retries 2\nlb_retry_match {\nexpression `{rp.status_code} == 503`\n}")
	require.Equal(t, http.StatusServiceUnavailable, get(t, url, "v2").status)
	require.EqualValues(t, 3, asked.Load())
}

func TestStableOutOfServiceIsTriedAllTheSame(t *testing.T) {
	address := freeAddress(t)
	url := gateway(t, "version v1 "+address+"\nversion v2", "")
	require.Equal(t, http.StatusBadGateway, get(t, url, "").status)
	listener, err := net.Listen("tcp", address)
	require.NoError(t, err)
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: http.NotFoundHandler()}}
	server.Start()
	defer server.Close()
	require.Equal(t, http.StatusNotFound, get(t, url, "").status)
	require.Equal(t, http.StatusNotFound, get(t, url, "v2").status)
}

func TestProxysOwnHealthChecksCount(t *testing.T) {
	ill := backend(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	url := gateway(t, "version v1 "+says(t, "one")+"\nversion v2 "+ill, "fail_duration 1m\nunhealthy_status 5xx")
	require.Equal(t, http.StatusInternalServerError, get(t, url, "v2").status)
	got := get(t, url, "v2")
	require.Equal(t, "one told v1", got.body)
	require.Contains(t, got.debug, "fallback")
}

func TestBalancingStaysInTheVersion(t *testing.T) {
	url := gateway(t, "version v1 "+says(t, "one")+"\nversion v2 "+says(t, "a")+" "+says(t, "b"), "lb_policy round_robin")
	seen := map[string]int{}
	for range 10 {
		seen[get(t, url, "v2").body]++
	}
	require.Equal(t, map[string]int{"a told v2": 5, "b told v2": 5}, seen)
}

func TestHostHeader(t *testing.T) {
	host := backend(t, func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(r.Host)) })
	url := gateway(t, "version v1 "+host+"\nversion v2 http://"+host+"/", "")
	require.Equal(t, strings.TrimPrefix(url, "http://"), get(t, url, "").body)
	require.Equal(t, strings.TrimPrefix(url, "http://"), get(t, url, "v2").body)
}

func TestHTTPSUpstreams(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, r.TLS != nil, " ", r.Host)
	}))
	defer server.Close()
	plain := says(t, "one")
	url := gateway(t, "version v1 "+plain+"\nversion v2 "+server.URL, "transport http {\ntls\ntls_insecure_skip_verify\n}")
	require.Equal(t, "true "+strings.TrimPrefix(server.URL, "https://"), get(t, url, "v2").body)
}

func TestSchemesOfUpstreams(t *testing.T) {
	protocol := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(r.Proto)) })
	h2c := httptest.NewUnstartedServer(protocol)
	h2c.Config.Protocols = new(http.Protocols)
	h2c.Config.Protocols.SetUnencryptedHTTP2(true)
	h2c.Start()
	defer h2c.Close()
	http1 := httptest.NewServer(protocol)
	defer http1.Close()
	url := gateway(t, "version v1 "+http1.URL+"\nversion v2 h2c://"+h2c.Listener.Addr().String(), "")
	require.Equal(t, "HTTP/1.1", get(t, url, "").body)
	require.Equal(t, "HTTP/2.0", get(t, url, "v2").body)
}

func TestUnixSocketUpstream(t *testing.T) {
	protocol := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte("socket " + r.Proto))
	}))
	defer protocol.Close()
	protocol.Config.Protocols = new(http.Protocols)
	protocol.Config.Protocols.SetHTTP1(true)
	protocol.Config.Protocols.SetUnencryptedHTTP2(true)
	path := onSocket(t, protocol)
	url := gateway(t, "version v1 unix/"+path+"\nversion v2 unix+h2c/"+path, "")
	require.Equal(t, "socket HTTP/1.1", get(t, url, "").body)
	require.Equal(t, "socket HTTP/2.0", get(t, url, "v2").body)
}

func TestProxyWithoutDecision(t *testing.T) {
	const before, noPolicy = "must come before the proxy", "`gray` has no policy yet"
	waiting := "gray {\nsource file://" + t.TempDir() + "/none.json\ncache " + t.TempDir() + "\n}\n"
	static := says(t, "static")
	for name, c := range map[string]struct {
		handler, upstreams string
		status             int
		want, unwanted     string
	}{
		"no handler":           {"", "", http.StatusServiceUnavailable, before, noPolicy},
		"no policy":            {waiting, "", http.StatusServiceUnavailable, noPolicy, before},
		"no handler, upstream": {"", static, http.StatusOK, before, noPolicy},
		"no policy, upstream":  {waiting, static, http.StatusOK, noPolicy, before},
	} {
		t.Run(name, func(t *testing.T) {
			address := freeAddress(t)
			logged := startLogging(t, fmt.Sprintf("http://%s {\n%s\treverse_proxy %s {\n\t\tdynamic gray\n\t}\n}\n", address,
				c.handler, c.upstreams))
			for requests := 1; requests < 3; requests++ {
				require.Equal(t, c.status, get(t, "http://"+address, "").status)
				require.Len(t, logged(c.want), requests, "one line for each request, not for each try")
			}
			require.Empty(t, logged(c.unwanted))
		})
	}
}

func TestStaticUpstreamsServeWhereNothingIsDecided(t *testing.T) {
	address := freeAddress(t)
	startCaddyfile(t, fmt.Sprintf("http://%s {\n\treverse_proxy %s {\n\t\tdynamic gray\n\t}\n}\n",
		address, says(t, "static")))
	require.Equal(t, "static told ", get(t, "http://"+address, "").body)
}

// Two services can name their versions in different headers. They share the baggage member, which
// is the last one's.
func TestFallbackBesideAnotherServicesHeader(t *testing.T) {
	tells := backend(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "shop=%q orders=%q baggage=%q", r.Header["X-Shop"], r.Header["X-Orders"], r.Header["Baggage"])
	})
	url := site(t, `
		gray shop {
			stable v1
			header X-Shop
			version v1 `+tells+`
			version v3 `+freeAddress(t)+`
			rule dead v3 {
				when header X-V = v3
			}
		}
		gray orders {
			stable blue
			header X-Orders
			version blue
		}
		reverse_proxy {
			dynamic gray shop
		}
	`)
	for range 2 { // while it is tried, and while it is left out
		require.Equal(t, `shop=["v1"] orders=["blue"] baggage=[]`, get(t, url, "v3").body)
	}
}

// A handler without a policy leaves alone what another one has decided.
func TestHandlerWithoutPolicyAfterAnother(t *testing.T) {
	url := site(t, `
		gray shop {
			stable v1
			version v1 `+repeats(t, "one")+`
		}
		gray orders {
			source file://`+t.TempDir()+`/none.json
			cache `+t.TempDir()+`
		}
		reverse_proxy {
			dynamic gray shop
		}
	`)
	require.Equal(t, `one ["v1"] []`, get(t, url, "").body)
}
