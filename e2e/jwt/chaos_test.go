package jwt

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	gray "github.com/grayrelease/gray/core/jwt"
)

// issuer is a key server that can be made to fail in every way, and that signs.
type issuer struct {
	address string
	fetches atomic.Int64

	mu     sync.Mutex
	key    *ecdsa.PrivateKey
	kid    string
	answer http.HandlerFunc // nil: the keys
	server *httptest.Server
}

func newIssuer(t testing.TB) *issuer {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	i := &issuer{address: listener.Addr().String()}
	require.NoError(t, listener.Close())
	i.rotate(t)
	t.Cleanup(i.kill)
	return i
}

func (i *issuer) start(t testing.TB) {
	t.Helper()
	var listener net.Listener
	awaitTrue(t, "the address is free", func() (ok bool) {
		var err error
		listener, err = net.Listen("tcp", i.address)
		return err == nil
	})
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: http.HandlerFunc(i.serve)}}
	server.Start()
	i.mu.Lock()
	i.server = server
	i.mu.Unlock()
}

func (i *issuer) kill() {
	i.mu.Lock()
	server := i.server
	i.server = nil
	i.mu.Unlock()
	if server != nil {
		server.CloseClientConnections()
		server.Close()
	}
}

func (i *issuer) serve(w http.ResponseWriter, r *http.Request) {
	i.fetches.Add(1)
	i.mu.Lock()
	answer := i.answer
	i.mu.Unlock()
	if answer != nil {
		answer(w, r)
		return
	}
	if strings.HasSuffix(r.URL.Path, "/openid-configuration") {
		fmt.Fprintf(w, `{"issuer":"http://%s","jwks_uri":"http://%s/keys"}`, i.address, i.address)
		return
	}
	_, _ = io.WriteString(w, i.keys())
}

func (i *issuer) keys() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	text, _ := json.Marshal(map[string]any{"keys": []any{map[string]any{"kty": "EC", "crv": "P-256", "kid": i.kid,
		"x": encode(i.key.X.FillBytes(make([]byte, 32))), "y": encode(i.key.Y.FillBytes(make([]byte, 32)))}}})
	return string(text)
}

func (i *issuer) behave(answer http.HandlerFunc) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.answer = answer
}

// rotate replaces the key; the old one is gone.
func (i *issuer) rotate(t testing.TB) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.key, i.kid = key, fmt.Sprint(time.Now().UnixNano())
}

func (i *issuer) token(t testing.TB) string {
	i.mu.Lock()
	key, kid := i.key, i.kid
	i.mu.Unlock()
	return sign(t, "ES256", crypto.Signer(key), fmt.Sprintf(`{"alg":"ES256","kid":%q}`, kid),
		fmt.Sprintf(`{"sub":"u-1","iss":"http://%s","jti":"%d"}`, i.address, time.Now().UnixNano()))
}

// host is one of the ways in which the package runs.
type host struct {
	name  string
	start func(t testing.TB, ctx context.Context, config string) (judge func(token string) string, stop func())
}

func hosts(t testing.TB) []host {
	i := interpreter(t)
	fetching := function[func(context.Context, string) (func(string) string, func(), error)](t, i, "Fetching")
	return []host{
		{"compiled", func(t testing.TB, ctx context.Context, config string) (func(string) string, func()) {
			var cfg gray.Config
			require.NoError(t, json.Unmarshal([]byte(config), &cfg))
			v, err := gray.New(&cfg)
			require.NoError(t, err)
			v.Start(ctx)
			return func(token string) string { return string(gray.ClaimsOf(v, token).Reason) }, v.Close
		}},
		{"interpreted", func(t testing.TB, ctx context.Context, config string) (func(string) string, func()) {
			judge, stop, err := fetching(ctx, config)
			require.NoError(t, err)
			return judge, stop
		}},
	}
}

// load asks all the time and keeps the longest wait.
type load struct {
	judge   func(string) string
	token   atomic.Value
	longest atomic.Int64
	asked   atomic.Int64
	stop    chan struct{}
	done    sync.WaitGroup
}

func startLoad(judge func(string) string, token string) *load {
	l := &load{judge: judge, stop: make(chan struct{})}
	l.token.Store(token)
	for range 4 {
		l.done.Add(1)
		go l.run()
	}
	return l
}

func (l *load) run() {
	defer l.done.Done()
	for {
		select {
		case <-l.stop:
			return
		case <-time.After(500 * time.Microsecond):
		}
		start := time.Now()
		l.judge(l.token.Load().(string))
		l.asked.Add(1)
		if took := int64(time.Since(start)); took > l.longest.Load() {
			l.longest.Store(took)
		}
	}
}

func (l *load) end() time.Duration {
	close(l.stop)
	l.done.Wait()
	return time.Duration(l.longest.Load())
}

func TestKeyServerFails(t *testing.T) {
	for _, h := range hosts(t) {
		for _, field := range []string{"jwks", "oidc"} {
			t.Run(h.name+"/"+field, func(t *testing.T) {
				before := goleak.IgnoreCurrent()
				i := newIssuer(t)
				address := "http://" + i.address
				if field == "jwks" {
					address += "/keys"
				}
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				judge, stop := h.start(t, ctx, fmt.Sprintf(`{%q:%q,"plaintext":true}`, field, address))
				token := i.token(t)
				require.Equal(t, "keyless", judge(token), "down at start")
				requests := startLoad(judge, token)

				i.start(t)
				awaitTrue(t, "keys arrive", func() bool { return judge(token) == "" })

				hang := make(chan struct{})
				for _, failure := range []struct {
					name   string
					answer http.HandlerFunc
				}{
					{"garbage", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }},
					{"hanging", func(w http.ResponseWriter, r *http.Request) {
						select {
						case <-hang:
						case <-r.Context().Done():
						}
					}},
				} {
					at := i.fetches.Load()
					i.behave(failure.answer)
					awaitTrue(t, "the server is asked while "+failure.name, func() bool {
						return judge(strangers(t)) == "key" && i.fetches.Load() > at
					})
					require.Equal(t, "", judge(token), failure.name)
					require.Equal(t, "", judge(i.token(t)), "a new token while "+failure.name)
				}
				i.kill()
				require.Equal(t, "", judge(i.token(t)), "the server is gone")
				close(hang)

				longest := requests.end()
				t.Logf("%d requests, the longest took %v", requests.asked.Load(), longest)
				require.Less(t, longest, time.Second, "a request waited for keys")
				stop()
				require.Equal(t, "", judge(token), "handlers of an old configuration go on")
				goleak.VerifyNone(t, before)
			})
		}
	}
}

// strangers is a token of a key that nobody has.
func strangers(t testing.TB) string {
	return sign(t, "ES256", privateKey(t, "p256"),
		fmt.Sprintf(`{"alg":"ES256","kid":"stranger-%d"}`, time.Now().UnixNano()), ok)
}

func TestKeysRotate(t *testing.T) {
	for _, h := range hosts(t) {
		t.Run(h.name, func(t *testing.T) {
			before := goleak.IgnoreCurrent()
			i := newIssuer(t)
			i.start(t)
			judge, stop := h.start(t, t.Context(), fmt.Sprintf(`{"jwks":"http://%s/keys","plaintext":true}`, i.address))
			requests := startLoad(judge, i.token(t))
			awaitTrue(t, "keys arrive", func() bool { return judge(i.token(t)) == "" })
			for range 5 {
				old := i.token(t)
				require.Equal(t, "", judge(old))
				i.rotate(t)
				requests.token.Store(i.token(t))
				awaitTrue(t, "the new key is known", func() bool { return judge(i.token(t)) == "" })
				require.Equal(t, "key", judge(old), "remembered tokens of a key that is gone are forgotten")
			}
			longest := requests.end()
			t.Logf("%d requests, the longest took %v; %d fetches", requests.asked.Load(), longest, i.fetches.Load())
			require.Less(t, longest, time.Second, "a request waited for keys")
			require.LessOrEqual(t, i.fetches.Load(), int64(12), "one flight at a time, a second apart")
			stop()
			i.kill()
			goleak.VerifyNone(t, before)
		})
	}
}

// TestInventedKids makes sure that invented kids are no load on the issuer.
func TestInventedKids(t *testing.T) {
	i := newIssuer(t)
	i.start(t)
	var cfg gray.Config
	cfg.JWKS, cfg.Plaintext = "http://"+i.address+"/flood", true
	v, err := gray.New(&cfg)
	require.NoError(t, err)
	v.Start(t.Context())
	defer v.Close()
	<-v.Ready()
	for start := time.Now(); time.Since(start) < 3*time.Second; {
		require.Equal(t, gray.Key, gray.ClaimsOf(v, strangers(t)).Reason)
	}
	require.LessOrEqual(t, i.fetches.Load(), int64(4))
}

func TestNothingNamedByATokenIsFetched(t *testing.T) {
	var hits atomic.Int64
	trap := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	defer trap.Close()
	v, err := gray.New(&gray.Config{Key: publicPEM(t, "rsa")})
	require.NoError(t, err)
	v.Start(t.Context())
	defer v.Close()
	for _, name := range []string{"jku", "x5u", "iss", "kid"} {
		token := sign(t, "RS256", privateKey(t, "rsa-other"), fmt.Sprintf(`{"alg":"RS256",%q:%q}`, name, trap.URL),
			fmt.Sprintf(`{"iss":%q}`, trap.URL))
		require.Equal(t, gray.Signature, gray.ClaimsOf(v, token).Reason)
	}
	require.Zero(t, hits.Load())
}
