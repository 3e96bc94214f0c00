package graygrpc

import (
	"encoding/json"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/grayrelease/gray/core/allow"
	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/service"
)

// Options of clients. The zero value carries nothing to anybody.
type Options struct {
	// Services are those that are called as gray:///user-service: a call goes to an instance of the
	// version that its context carries, or else of the stable one, and carries the version on. The
	// name "*" stands for every other service. Default: none.
	Services map[string]service.Target
	// Domains lists further hosts that versions are carried to: names, *.example.com for all names
	// below, addresses, and prefixes. Calls to other hosts go without what their metadata say of
	// versions. Default: none.
	Domains []string
	// Carrier says how versions are written. Default: in x-gray-version and the baggage.
	Carrier service.Carrier
	// Patience is how long calls wait at the start, until it is known where a service runs, before
	// they fail as unavailable; those that wait for ready wait on. Default: 5s.
	Patience time.Duration
	// MethodConfig is the part of gRPC's service config that is about methods, such as retries and
	// timeouts, a JSON array. Service config from dial options does not count for gray:/// targets.
	// Default: none.
	MethodConfig string
}

// DialOptions returns what grpc.NewClient needs to call services as gray:///user-service, and to
// carry versions on. One call serves for any number of clients. They give up on a connection after
// 3s, and try one that failed again after 10s at most; later dial options outrank that. The error
// is about the options: a problem.List with their names as paths.
func DialOptions(o Options) ([]grpc.DialOption, error) {
	b, err := NewBuilder(o)
	if err != nil {
		return nil, err
	}
	c, err := newCarrier(o)
	if err != nil {
		return nil, err
	}
	return []grpc.DialOption{
		grpc.WithResolvers(b), grpc.WithChainUnaryInterceptor(c.unary), grpc.WithChainStreamInterceptor(c.stream),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: retries, MinConnectTimeout: 3 * time.Second}),
	}, nil
}

// retries are how often an instance that cannot be reached is tried again.
var retries = backoff.Config{BaseDelay: time.Second, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 10 * time.Second}

// ServerOptions returns what grpc.NewServer needs to put the version of each call into its context,
// for service.Version.
func ServerOptions() []grpc.ServerOption { return ServerOptionsOf(service.Carrier{}) }

// ServerOptionsOf is ServerOptions for versions that are written in another way.
func ServerOptionsOf(c service.Carrier) []grpc.ServerOption {
	r := receiver{header: headerOf(c)}
	return []grpc.ServerOption{grpc.ChainUnaryInterceptor(r.unary), grpc.ChainStreamInterceptor(r.stream)}
}

// UnaryClientInterceptor carries versions on to services and Domains. Services of o are not
// followed.
func UnaryClientInterceptor(o Options) (grpc.UnaryClientInterceptor, error) {
	c, err := newCarrier(o)
	if err != nil {
		return nil, err
	}
	return c.unary, nil
}

// StreamClientInterceptor is UnaryClientInterceptor for streams.
func StreamClientInterceptor(o Options) (grpc.StreamClientInterceptor, error) {
	c, err := newCarrier(o)
	if err != nil {
		return nil, err
	}
	return c.stream, nil
}

func newCarrier(o Options) (*carrier, error) {
	domains := &allow.List{Hosts: o.Domains}
	if _, err := domains.Check(); err != nil {
		return nil, problem.New("Domains", "%s", err)
	}
	return &carrier{header: headerOf(o.Carrier), domains: domains}, nil
}

func headerOf(c service.Carrier) string {
	if c.Header == "" {
		return defaultHeader
	}
	return strings.ToLower(c.Header)
}

// serviceConfig chooses the balancer.
func serviceConfig(methods string) (string, error) {
	if methods == "" {
		return `{"loadBalancingConfig": [{"` + balancerName + `": {}}]}`, nil
	}
	var array []any
	if err := json.Unmarshal([]byte(methods), &array); err != nil {
		return "", problem.New("MethodConfig", "want a JSON array: %s", err)
	}
	return `{"loadBalancingConfig": [{"` + balancerName + `": {}}], "methodConfig": ` + methods + `}`, nil
}
