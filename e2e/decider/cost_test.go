package decider

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	base "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"gopkg.in/yaml.v3"

	"github.com/grayrelease/gray/e2e/bench"
	"github.com/grayrelease/gray/e2e/servers"
)

var (
	compare = flag.Bool("compare", false, "print the figures of comparisons")
	rounds  = flag.Int("rounds", 25, "turns of each variant in a comparison")
)

// A turn is short, so that whatever else the machine does falls on all variants alike.
const (
	turn        = 200 * time.Millisecond
	connections = 16
)

// alwaysVariable turns the test binary into a server that always says OK. It holds its addresses
// for HTTP and gRPC.
const alwaysVariable = "GRAY_TEST_ALWAYS"

// always says OK to every question, with nothing to change.
type always struct {
	auth.UnimplementedAuthorizationServer
}

func (always) Check(context.Context, *auth.CheckRequest) (*auth.CheckResponse, error) {
	return &auth.CheckResponse{Status: &status.Status{}}, nil
}

// answerAlways serves until the process is killed, if it was started for that.
func answerAlways() {
	addresses := os.Getenv(alwaysVariable)
	if addresses == "" {
		return
	}
	byHTTP, byGRPC, _ := strings.Cut(addresses, ",")
	l, err := net.Listen("tcp", byGRPC)
	if err == nil {
		g := grpc.NewServer()
		auth.RegisterAuthorizationServer(g, always{})
		go func() { _ = g.Serve(l) }()
		err = http.ListenAndServe(byHTTP, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func startAlways(t *testing.T) *server {
	t.Helper()
	ports := servers.FreePorts(t, 2)
	s := &server{http: servers.Host(ports[0]), grpc: servers.Host(ports[1])}
	self, err := os.Executable()
	require.NoError(t, err)
	s.Process = servers.Run(t, servers.Program{Name: "always", Path: self, Env: []string{alwaysVariable + "=" + s.http +
		"," + s.grpc},
		Ready: "http://" + s.http + "/"})
	return s
}

// fiveRules is the policy of the other figures. No rule matches the requests of the comparison, so
// all are checked.
const fiveRules = `{"service": "shop", "stable": "v1", "versions": {"v1": {}, "v2": {}},
	"identity": ["cookie uid", "ip"], "rules": [
	{"name": "testers", "version": "v2", "when": ["header X-App-Version = beta"]},
	{"name": "tools", "version": "v2", "when": ["header User-Agent matches ^curl/[78]"]},
	{"name": "group", "version": "v2", "when": ["cookie group = beta"]},
	{"name": "office", "version": "v2", "when": ["ip in 10.0.0.0/8"]},
	{"name": "ramp", "version": "v2", "percent": 10}]}`

// asked are the header lines of the requests that are decided on.
var asked = [][2]string{{"user-agent", "Mozilla/5.0 (X11; Linux x86_64)"}, {"accept", "*/*"}, {"accept-language", "en"},
	{"x-app-version", "2.1.0"}, {"cookie", "theme=dark; uid=u-1001; group=control"}, {"x-forwarded-for", "203.0.113.7"},
	{"x-forwarded-proto", "https"}, {"x-request-id", "3fe6fccb-66a4-4583-b717-cde7c4df4ef6"}}

// variant is one way to ask, and whose processor time counts.
type variant struct {
	name  string
	of    *servers.Process
	calls func(ctx context.Context) int64

	perSecond []float64
	time      time.Duration
	total     int64
}

// measure runs the variants in turn.
func measure(t *testing.T, variants []*variant) {
	for round := range *rounds + 1 {
		for i := range variants {
			v := variants[(i+round)%len(variants)]
			before := bench.ProcessorTime(t, v.of.PID())
			ctx, cancel := context.WithTimeout(context.Background(), turn)
			began := time.Now()
			n := v.calls(ctx)
			took := time.Since(began)
			cancel()
			if round == 0 {
				continue // connections, caches
			}
			v.perSecond = append(v.perSecond, float64(n)/took.Seconds())
			v.time += bench.ProcessorTime(t, v.of.PID()) - before
			v.total += n
		}
	}
	for _, v := range variants {
		slices.Sort(v.perSecond)
		t.Logf("%-14s %7.0f a second (median of %d turns), %6.2f us of processor time each", v.name,
			v.perSecond[len(v.perSecond)/2], *rounds, float64(v.time.Microseconds())/float64(v.total))
	}
}

// callsGRPC asks over one connection, as a worker of Envoy does.
func callsGRPC(t *testing.T, address string) func(context.Context) int64 {
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	client := auth.NewAuthorizationClient(conn)
	h := &base.HeaderMap{}
	for _, line := range asked {
		h.Headers = append(h.Headers, &base.HeaderValue{Key: line[0], RawValue: []byte(line[1])})
	}
	question := &auth.CheckRequest{Attributes: &auth.AttributeContext{
		Source: &auth.AttributeContext_Peer{Address: &base.Address{Address: &base.Address_SocketAddress{
			SocketAddress: &base.SocketAddress{Address: "203.0.113.7"}}}},
		Request: &auth.AttributeContext_Request{Http: &auth.AttributeContext_HttpRequest{
			Method: "GET", Path: "/orders/17?page=2", Host: "shop.example.com", Scheme: "https", HeaderMap: h}}}}
	return func(ctx context.Context) int64 {
		return bench.Closed(ctx, connections, func(int) {
			if _, err := client.Check(context.Background(), question); err != nil {
				t.Error(err)
			}
		})
	}
}

// callsHTTP asks over connections that stay open.
func callsHTTP(t *testing.T, address string, request string) func(context.Context) int64 {
	conns := make([]*bench.Connection, connections)
	for i := range conns {
		var err error
		conns[i], err = bench.Dial(address, []byte(request))
		require.NoError(t, err)
		t.Cleanup(conns[i].Close)
	}
	return func(ctx context.Context) int64 {
		return bench.Closed(ctx, connections, func(worker int) {
			if _, err := conns[worker].Exchange(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestCompareCost measures what a decision costs, beside a server that always says OK.
func TestCompareCost(t *testing.T) {
	if !*compare {
		t.Skip("-compare")
	}
	gray, ok := decide(t, "services:\n  - {service: shop, source: '"+policyFile(t, fiveRules)+"'}\n"), startAlways(t)
	request := "GET /decide HTTP/1.1\r\nHost: gray\r\nX-Forwarded-Method: GET\r\nX-Forwarded-Host: shop.example.com\r\n" +
		"X-Forwarded-Uri: /orders/17?page=2\r\n"
	for _, line := range asked {
		request += line[0] + ": " + line[1] + "\r\n"
	}
	request += "\r\n"
	measure(t, []*variant{
		{name: "gRPC", of: gray.Process, calls: callsGRPC(t, gray.grpc)},
		{name: "gRPC always OK", of: ok.Process, calls: callsGRPC(t, ok.grpc)},
		{name: "HTTP", of: gray.Process, calls: callsHTTP(t, gray.http, request)},
		{name: "HTTP always OK", of: ok.Process, calls: callsHTTP(t, ok.http, request)},
	})
}

// TestCompareEnvoy measures Envoy in front of nginx: as documented, without its Lua, with a server
// that always says OK, and without asking. They are listeners of one Envoy.
func TestCompareEnvoy(t *testing.T) {
	if !*compare {
		t.Skip("-compare")
	}
	gray, ok := decide(t, "services:\n  - {service: shop, source: '"+policyFile(t, fiveRules)+"'}\n"), startAlways(t)
	ports := servers.FreePorts(t, 5)
	upstream := servers.Host(ports[4])
	startNginx(t, "events {}\nhttp {\n\tkeepalive_requests 1000000;\n\tserver { listen "+upstream+
		"; return 200 ok; }\n}\n", upstream)
	request := "GET /orders/17?page=2 HTTP/1.1\r\nHost: shop.example.com\r\n"
	for _, line := range asked {
		request += line[0] + ": " + line[1] + "\r\n"
	}
	request += "\r\n"

	ways := []struct {
		name, decisions string
		filters         []int // of the documented ones: ext_authz, Lua, the router
	}{
		{"gray", gray.grpc, []int{0, 1, 2}},
		{"gray, no Lua", gray.grpc, []int{0, 2}},
		{"always OK", ok.grpc, []int{0, 1, 2}},
		{"without", gray.grpc, []int{2}},
	}
	var listeners, clusters []any
	for i, way := range ways {
		var config object
		require.NoError(t, yaml.Unmarshal([]byte(replaced(t, section(t, "Envoy by gRPC", "yaml")[0],
			"{address: 0.0.0.0, port_value: 8080}", socket(servers.Host(ports[i])),
			"{address: 127.0.0.1, port_value: 2023}", socket(way.decisions), "timeout: 0.5s", "timeout: 5s",
			"{address: 10.0.0.1, port_value: 8080}", socket(upstream))), &config))
		all := at(t, config, "static_resources", "clusters").([]any)
		if i == 0 {
			clusters = append(clusters, all[1:]...)
		}
		name := fmt.Sprint("gray-", i)
		at(t, all, 0).(object)["name"] = name
		clusters = append(clusters, all[0])
		listener := at(t, config, "static_resources", "listeners", 0).(object)
		manager := at(t, listener, "filter_chains", 0, "filters", 0, "typed_config").(object)
		documented := manager["http_filters"].([]any)
		at(t, documented, 0, "typed_config", "grpc_service", "envoy_grpc").(object)["cluster_name"] = name
		var filters []any
		for _, n := range way.filters {
			filters = append(filters, documented[n])
		}
		manager["http_filters"] = filters
		listeners = append(listeners, listener)
	}
	envoy, _ := servers.Envoy(t, func(admin int) string {
		made, err := yaml.Marshal(object{
			"admin":            object{"address": object{"socket_address": object{"address": "127.0.0.1", "port_value": admin}}},
			"static_resources": object{"listeners": listeners, "clusters": clusters},
		})
		require.NoError(t, err)
		return string(made)
	})
	var variants []*variant
	for i, way := range ways {
		variants = append(variants, &variant{name: way.name, of: envoy, calls: callsHTTP(t, servers.Host(ports[i]), request)})
	}
	measure(t, variants)
}
