package decider

import (
	"slices"
	"strings"
	"time"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/internal/daemon"
)

// Config is what a decision server runs. Durations are Go durations such as 30s. Files and
// environment variables are read when the server starts.
type Config struct {
	// Listen is the address of decisions by HTTP/1.1 and HTTP/2, and of /healthz and /readyz. Only
	// gateways should reach it. Default: 127.0.0.1:2022.
	Listen string `json:"listen,omitempty"`
	// GRPC is the address of decisions by gRPC, for Envoy. Only gateways should reach it. Default:
	// none; there is no such server.
	GRPC string `json:"grpc,omitempty"`
	// TLS has both speak TLS. Default: they do not.
	TLS *TLS `json:"tls,omitempty"`
	// Admin is the address of the state (/gray/v1/), /metrics, /healthz and /readyz. Other than
	// loopback addresses need tokens. Default: 127.0.0.1:2021.
	Admin string `json:"admin,omitempty"`
	// Tokens say who may read the state and the metrics; their role is view. Default: everybody who
	// reaches Admin.
	Tokens []Token `json:"tokens,omitempty"`
	// State is a folder for what must survive a restart while sources are down. Default: nothing is
	// kept.
	State string `json:"state,omitempty"`
	// TrustedProxies are addresses and prefixes of the proxies in front of the gateways. Behind them,
	// the client is the rightmost address in X-Forwarded-For that is none of theirs. Default: none;
	// the client is who connects to the gateway.
	TrustedProxies []string `json:"trusted_proxies,omitempty"`
	// IPv6Subnet makes one address of all IPv6 addresses that share so many leading bits, 1 to 128.
	// Default: absent, addresses stay whole.
	IPv6Subnet *int `json:"ipv6_subnet,omitempty"`
	// Drain is how long the server still answers after it was told to end, when /readyz says so
	// already. Default: 1s.
	Drain string `json:"drain,omitempty"`
	// Services that are decided for. Required.
	Services []Service `json:"services"`

	drain time.Duration
}

// TLS are PEM files of a server.
type TLS = daemon.TLS

// Token says who may read the state and the metrics.
type Token = daemon.Token

// Service is one service that is decided for.
type Service struct {
	// Service is its name, as in its policy. Required.
	Service string `json:"service"`
	// Name is what gateways, metrics and the state call it. It tells two policies of one service
	// apart. Default: Service.
	Name string `json:"name,omitempty"`
	// Source is the URL of its policy, and Options outrank those in it. Required.
	Source  string            `json:"source"`
	Options map[string]string `json:"options,omitempty"`
	// AllowEnv, AllowFiles and AllowHosts bound what its documents may use, see live.Source.
	AllowEnv   []string `json:"allow_env,omitempty"`
	AllowFiles []string `json:"allow_files,omitempty"`
	AllowHosts []string `json:"allow_hosts,omitempty"`
	// Hosts whose requests are the service's, where the gateway names no service: names, and
	// *.example.com for all names below. Default: those that no other service has.
	Hosts []string `json:"hosts,omitempty"`
}

// Defaults of a configuration.
const (
	defaultListen = "127.0.0.1:2022"
	defaultAdmin  = "127.0.0.1:2021"
	defaultDrain  = time.Second
)

// ReadConfig reads a file of YAML or JSON. The error is a problem.List, or that of the file.
func ReadConfig(path string) (*Config, error) { return daemon.ReadConfig[Config](path) }

// ParseConfig reads YAML or JSON strictly, and checks it. The error is a problem.List.
func ParseConfig(text []byte) (*Config, error) { return daemon.ParseConfig[Config](text) }

// Check fills in defaults, and returns what is wrong: a problem.List.
func (c *Config) Check() error {
	ch := &daemon.Checker{}
	if c.Listen == "" {
		c.Listen = defaultListen
	}
	if c.Admin == "" {
		c.Admin = defaultAdmin
	}
	ch.Address("listen", c.Listen)
	if c.GRPC != "" {
		ch.Address("grpc", c.GRPC)
	}
	ch.API("admin", c.Admin, len(c.Tokens) > 0)
	ch.Tokens(c.Tokens, daemon.RoleView)
	ch.TLS("tls", c.TLS)
	c.drain = ch.Duration("drain", c.Drain, defaultDrain)
	if _, err := c.address(); err != nil {
		c.noteAddress(ch, err)
	}
	if len(c.Services) == 0 {
		ch.Note("services", "required: the services that are decided for")
	}
	names, hosts := map[string]bool{}, map[string]bool{}
	rest := ""
	for i := range c.Services {
		path, s := problem.Index("services", i), &c.Services[i]
		s.check(ch, path, hosts)
		if names[s.Name] {
			ch.Note(path+".name", "%s is given twice", problem.Quote(s.Name))
		}
		names[s.Name] = true
		if len(s.Hosts) > 0 {
			continue
		}
		if rest != "" {
			ch.Note(path+".hosts", "required: %s is for all hosts that no other service has", problem.Quote(rest))
		}
		rest = s.Name
	}
	return ch.Err()
}

// address finds a client's address; nil is the peer's.
func (c *Config) address() (clientAddress, error) {
	if len(c.TrustedProxies) == 0 && c.IPv6Subnet == nil {
		return nil, nil
	}
	return core.NewClientIP(&core.IPStrategy{ExcludedIPs: c.TrustedProxies, IPv6Subnet: c.IPv6Subnet})
}

// noteAddress notes what is wrong with the fields that address reads, by their names here.
func (c *Config) noteAddress(ch *daemon.Checker, err error) {
	fields := strings.NewReplacer("excludedIPs", "trusted_proxies", "ipv6Subnet", "ipv6_subnet")
	for _, p := range problem.Of(err) {
		ch.Note(fields.Replace(p.Path), "%s", p.Message)
	}
}

func (s *Service) check(c *daemon.Checker, path string, hosts map[string]bool) {
	if s.Service == "" {
		c.Note(path+".service", "required: the service's name, as in its policy")
	}
	if s.Name == "" {
		s.Name = s.Service
	}
	if strings.Contains(s.Name, "/") {
		c.Note(path+".name", "must have no slash: gateways name services in paths")
	}
	if s.Source == "" {
		c.Note(path+".source", "required: the URL of its policy, such as etcd://127.0.0.1:2379/gray/shop")
	}
	for i, host := range s.Hosts {
		at := problem.Index(path+".hosts", i)
		name := normalHost(host)
		if !isHostPattern(name) {
			c.Note(at, "%s is not a valid host: want shop.example.com or *.example.com", problem.Quote(host))
		}
		if hosts[name] {
			c.Note(at, "%s is given twice", problem.Quote(host))
		}
		hosts[name] = true
	}
}

// isHostPattern reports whether a host in normal form is a name or *.name.
func isHostPattern(host string) bool {
	host = strings.TrimPrefix(host, "*.")
	return host != "" && !strings.ContainsAny(host, "*/ ") && !slices.Contains(strings.Split(host, "."), "")
}

// source is where the policy is followed.
func (s *Service) source() *live.Source {
	return &live.Source{URL: s.Source, Options: s.Options, AllowEnv: s.AllowEnv, AllowFiles: s.AllowFiles,
		AllowHosts: s.AllowHosts}
}
