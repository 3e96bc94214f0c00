package decider

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// decider is a running server.
type decider struct {
	t *testing.T
	*Server
	end func() // as SIGTERM does, and waits
}

// run starts a server of these services, on free ports.
func run(t *testing.T, config *Config) *decider {
	t.Helper()
	config.Listen, config.GRPC, config.Admin = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	if config.Drain == "" {
		config.Drain = "1ms"
	}
	require.NoError(t, config.Check())
	s, err := New(config, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	d := &decider{t: t, Server: s}
	isEnded := false
	d.end = func() {
		if !isEnded {
			isEnded = true
			cancel()
			require.NoError(t, <-ended)
		}
	}
	t.Cleanup(d.end)
	for _, v := range s.list {
		select {
		case <-v.handle.Ready():
		case <-time.After(10 * time.Second):
			require.FailNow(t, "the policy does not come into force", "%+v", v.state())
		}
	}
	return d
}

// policyFile writes a policy, and returns the URL of its source.
func policyFile(t *testing.T, policy string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "policy.json")
	require.NoError(t, os.WriteFile(path, []byte(policy), 0o600))
	return "file://" + path + "?interval=10ms"
}

// shop is a policy with testers by header, a percentage and a cookie.
const shop = `{"service": "shop", "stable": "v1", "versions": {"v1": {}, "v2": {}, "v3": {}}, "anonymous": "cookie",
	"identity": ["cookie uid", "cookie gray_id"], "trust": ["10.9.9.9"], "rules": [
	{"name": "told", "version": "v2", "when": ["header X-Gray-Version = v2"]},
	{"name": "member", "version": "v2", "when": ["baggage gray = v2"]},
	{"name": "testers", "version": "v2", "when": ["header X-App-Version = beta"]},
	{"name": "office", "version": "v3", "when": ["ip in 198.51.100.0/24"]},
	{"name": "ramp", "version": "v2", "percent": 99.999, "when": ["path = /ramp"]}]}`

func one(t *testing.T, policy string) *Config {
	return &Config{Services: []Service{{Service: "shop", Source: policyFile(t, policy)}}}
}

// send sends bytes over a connection of its own.
func (d *decider) send(raw []byte) *http.Response {
	d.t.Helper()
	conn, err := net.Dial("tcp", d.Address())
	require.NoError(d.t, err)
	defer conn.Close()
	require.NoError(d.t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	_, err = conn.Write(raw)
	require.NoError(d.t, err)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(d.t, err, "%.200q", raw)
	res.Body.Close()
	return res
}

// ask asks with header lines by HTTP.
func (d *decider) ask(target string, lines ...string) *http.Response {
	d.t.Helper()
	raw := "GET " + target + " HTTP/1.1\r\nHost: decider\r\n"
	for _, line := range lines {
		raw += line + "\r\n"
	}
	return d.send([]byte(raw + "\r\n"))
}

// forwarded asks about a request of a client.
func (d *decider) forwarded(target string, lines ...string) *http.Response {
	d.t.Helper()
	return d.ask("/decide", append([]string{"X-Forwarded-Method: GET", "X-Forwarded-Proto: http",
		"X-Forwarded-Host: shop.example.com", "X-Forwarded-Uri: " + target, "X-Forwarded-For: 203.0.113.7"}, lines...)...)
}

// client returns a client of the gRPC server.
func (d *decider) client() auth.AuthorizationClient {
	d.t.Helper()
	conn, err := grpc.NewClient(d.GRPCAddress(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(d.t, err)
	d.t.Cleanup(func() { _ = conn.Close() })
	return auth.NewAuthorizationClient(conn)
}

// get reads from the admin address.
func (d *decider) get(path string) (int, string) {
	d.t.Helper()
	res, err := http.Get(fmt.Sprintf("http://%s%s", d.AdminAddress(), path))
	require.NoError(d.t, err)
	defer res.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	text, err := io.ReadAll(res.Body)
	require.NoError(d.t, err)
	return res.StatusCode, string(text)
}

func writeFile(path, text string) error { return os.WriteFile(path, []byte(text), 0o600) }
