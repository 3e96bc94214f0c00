package serve

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"time"

	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/internal/daemon"
	"github.com/grayrelease/gray/rollout/loop"
)

// Config is what a controller runs. Durations are Go durations such as 30s. Files and environment
// variables are read when the controller starts.
type Config struct {
	// Listen is the address of the API, `/metrics`, `/healthz` and `/readyz`. Default:
	// 127.0.0.1:2020. Other than loopback addresses need tokens.
	Listen string `json:"listen,omitempty"`
	// TLS has the API speak HTTPS. Default: HTTP.
	TLS *TLS `json:"tls,omitempty"`
	// Tokens say who may call the API. Default: everybody who reaches it may do everything.
	Tokens []Token `json:"tokens,omitempty"`
	// People are known by a proxy before the API, besides tokens. Default: nobody is.
	People *daemon.People `json:"people,omitempty"`
	// Anonymous is what callers may do of whom nothing is known, where some are: view, or nothing.
	// Default: nothing.
	Anonymous string `json:"anonymous,omitempty"`
	// Origins are where browsers find the API behind a proxy, as in https://ops.example.com.
	// Default: where it listens.
	Origins []string `json:"origins,omitempty"`
	// State is a folder for what must survive a restart while sources are down, and what is known
	// of the canaries. Default: nothing is kept.
	State string `json:"state,omitempty"`
	// Name tells controllers of one source apart. Default: the host's name and the process's
	// number.
	Name string `json:"name,omitempty"`
	// Prometheus answers the queries of the plans. Default: they stay undecided.
	Prometheus *Prometheus `json:"prometheus,omitempty"`
	// Kubernetes is where the objects of `routes` are. Default: the cluster of the pod.
	Kubernetes *Kubernetes `json:"kubernetes,omitempty"`
	// Services whose rollouts are moved. Required.
	Services []Service `json:"services"`
	// Notices tell others what happens. Default: none.
	Notices []Notice `json:"notices,omitempty"`
}

// TLS are PEM files of a server.
type TLS = daemon.TLS

// Token says who may call the API.
type Token = daemon.Token

// Roles of tokens.
const (
	RoleView    = daemon.RoleView
	RoleAlert   = daemon.RoleAlert
	RoleOperate = daemon.RoleOperate
)

// Service is one service whose rollout is moved.
type Service struct {
	// Service is its name, as in its policy. Required.
	Service string `json:"service"`
	// Source is the URL of its policy, and Options outrank those in it. Required.
	Source  string            `json:"source"`
	Options map[string]string `json:"options,omitempty"`
	// AllowEnv, AllowFiles and AllowHosts bound what its documents may use, see live.Source.
	AllowEnv   []string `json:"allow_env,omitempty"`
	AllowFiles []string `json:"allow_files,omitempty"`
	AllowHosts []string `json:"allow_hosts,omitempty"`
	// Gateways are admin endpoints of Caddys, such as http://10.0.0.5:2019, whose evidence is taken
	// together. Default: none.
	Gateways []string `json:"gateways,omitempty"`
	// Scrape are metrics endpoints of other programs. Default: none.
	Scrape []Scrape `json:"scrape,omitempty"`
	// Routes are objects of Kubernetes whose weights follow the rollout's percentage. Default:
	// none.
	Routes []Route `json:"routes,omitempty"`
	// Hook must agree before the percentage rises. Default: nobody is asked.
	Hook *Hook `json:"hook,omitempty"`
}

// Scrape is a metrics endpoint whose counters tell the requests of both versions, and how many of
// them failed. $version and $stable in names and labels are the versions of the rollout. One of
// Traefik, Envoy, Istio, or both of Canary and Stable, is required.
type Scrape struct {
	// URL of the endpoint. Required.
	URL string `json:"url"`
	// Every is the time between two looks. Default: 1s.
	Every string `json:"every,omitempty"`
	// Traefik has the names of the versions' services, such as shop-$version@file.
	Traefik *Pair `json:"traefik,omitempty"`
	// Envoy has the names of the versions' clusters.
	Envoy *Pair `json:"envoy,omitempty"`
	// Istio is the destination_service_name, whose destination_version is the version.
	Istio string `json:"istio,omitempty"`
	// Canary and Stable are any counters.
	Canary *Counters `json:"canary,omitempty"`
	Stable *Counters `json:"stable,omitempty"`

	every          time.Duration
	canary, stable Counters
}

// Pair names the two versions in another program.
type Pair struct {
	Canary string `json:"canary"`
	Stable string `json:"stable"`
}

// Counters are the requests of a version, and those that failed.
type Counters struct {
	Requests Selector `json:"requests"`
	Failed   Selector `json:"failed"`
}

// Selector chooses the series of a metric, which are added up. A label's value is a regular
// expression (RE2) that matches the whole value.
type Selector struct {
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels,omitempty"`
}

// Prometheus is a server that answers queries.
type Prometheus struct {
	// URL such as http://127.0.0.1:9090. Required.
	URL string `json:"url"`
	// Every is the time between two looks. Default: 15s.
	Every string `json:"every,omitempty"`
	// Window is how long a look goes back at most. Default: 2m. It never goes back to before the
	// step.
	Window string `json:"window,omitempty"`
	// Timeout of a query. Default: 10s.
	Timeout string `json:"timeout,omitempty"`

	every, window, timeout time.Duration
}

// Hook is a URL that is asked before a percentage rises, with a POST of the event that would
// follow, as JSON. It agrees by a status of 200; until then the rollout stays where it is.
type Hook struct {
	// URL that is asked. Required.
	URL string `json:"url"`
	// Timeout of an answer. Default: 10s.
	Timeout string `json:"timeout,omitempty"`

	timeout time.Duration
}

// Notice tells others about events. One of Command and Webhook is required.
type Notice struct {
	// On lists kinds of events, such as rolled_back. Default: all.
	On []string `json:"on,omitempty"`
	// Services it is about. Default: all.
	Services []string `json:"services,omitempty"`
	// Command is a program and its arguments, run without a shell. The event is in environment
	// variables, see docs/serve.md.
	Command []string `json:"command,omitempty"`
	// Webhook is a URL that gets a POST.
	Webhook string `json:"webhook,omitempty"`
	// Format of the webhook's body: cloudevents, slack, dingtalk, feishu or wecom. Default:
	// cloudevents.
	Format string `json:"format,omitempty"`
	// TokenFile holds a token that is sent as `Authorization: Bearer ...`. Default: none.
	TokenFile string `json:"token_file,omitempty"`
	// Timeout of one try. Default: 30s.
	Timeout string `json:"timeout,omitempty"`
	// Tries is how often it is tried. Default: 10.
	Tries int `json:"tries,omitempty"`

	timeout time.Duration
	token   string
}

// kinds are the events of rollouts.
var kinds = []string{loop.Started, loop.Step, loop.ApprovalNeeded, loop.Waiting, loop.Approved, loop.Paused,
	loop.Resumed, loop.RolledBack, loop.Completed, loop.Warning}

// ReadConfig reads a file of YAML or JSON. The error is a problem.List, or that of the file.
func ReadConfig(path string) (*Config, error) { return daemon.ReadConfig[Config](path) }

// ParseConfig reads YAML or JSON strictly, and checks it. The error is a problem.List.
func ParseConfig(text []byte) (*Config, error) { return daemon.ParseConfig[Config](text) }

// Check fills in defaults, and returns what is wrong: a problem.List.
func (c *Config) Check() error {
	ch := &daemon.Checker{}
	if c.Listen == "" {
		c.Listen = "127.0.0.1:2020"
	}
	isKnown := len(c.Tokens) > 0 || c.People != nil
	ch.API("listen", c.Listen, isKnown)
	ch.Tokens(c.Tokens, RoleView, RoleAlert, RoleOperate)
	ch.TLS("tls", c.TLS)
	ch.People("people", c.People)
	ch.Origins(c.Origins)
	switch {
	case c.Anonymous != "" && c.Anonymous != RoleView:
		ch.Note("anonymous", "want view, or nothing")
	case c.Anonymous != "" && !isKnown:
		ch.Note("anonymous", "without tokens everybody may do everything: give tokens, or leave it out")
	}
	if c.Name == "" {
		name, _ := os.Hostname()
		c.Name = fmt.Sprintf("%s-%d", name, os.Getpid())
	}
	if p := c.Prometheus; p != nil {
		ch.URL("prometheus.url", p.URL)
		p.every = ch.Duration("prometheus.every", p.Every, 15*time.Second)
		p.window = ch.Duration("prometheus.window", p.Window, 2*time.Minute)
		p.timeout = ch.Duration("prometheus.timeout", p.Timeout, 10*time.Second)
	}
	if len(c.Services) == 0 {
		ch.Note("services", "required: the services whose rollouts are moved")
	}
	seen := map[string]bool{}
	for i := range c.Services {
		path := problem.Index("services", i)
		c.Services[i].check(ch, path)
		if name := c.Services[i].Service; seen[name] {
			ch.Note(path+".service", "%s is given twice", problem.Quote(name))
		}
		seen[c.Services[i].Service] = true
	}
	for i := range c.Notices {
		c.Notices[i].check(ch, problem.Index("notices", i))
	}
	return ch.Err()
}

func (s *Service) check(c *daemon.Checker, path string) {
	if s.Service == "" {
		c.Note(path+".service", "required: the service's name, as in its policy")
	}
	if s.Source == "" {
		c.Note(path+".source", "required: the URL of its policy, such as etcd://127.0.0.1:2379/gray/shop")
	}
	for i, gateway := range s.Gateways {
		c.URL(problem.Index(path+".gateways", i), gateway)
	}
	for i := range s.Scrape {
		s.Scrape[i].check(c, problem.Index(path+".scrape", i))
	}
	for i := range s.Routes {
		s.Routes[i].check(c, problem.Index(path+".routes", i))
	}
	if s.Hook != nil {
		c.URL(path+".hook.url", s.Hook.URL)
		s.Hook.timeout = c.Duration(path+".hook.timeout", s.Hook.Timeout, 10*time.Second)
	}
}

// source is where the policy is followed.
func (s *Service) source() *live.Source {
	return &live.Source{URL: s.Source, Options: s.Options, AllowEnv: s.AllowEnv, AllowFiles: s.AllowFiles,
		AllowHosts: s.AllowHosts}
}

func (s *Scrape) check(c *daemon.Checker, path string) {
	c.URL(path+".url", s.URL)
	s.every = c.Duration(path+".every", s.Every, time.Second)
	ways := 0
	for _, w := range []struct {
		name string
		pair *Pair
		of   func(string) Counters
	}{{"traefik", s.Traefik, traefikCounters}, {"envoy", s.Envoy, envoyCounters}} {
		if w.pair == nil {
			continue
		}
		ways++
		if w.pair.Canary == "" || w.pair.Stable == "" {
			c.Note(path+"."+w.name, "canary and stable are required")
		}
		s.canary = w.of(w.pair.Canary)
		s.stable = w.of(w.pair.Stable)
	}
	if s.Istio != "" {
		ways++
		s.canary = istioCounters(s.Istio, "$version")
		s.stable = istioCounters(s.Istio, "$stable")
	}
	if s.Canary != nil || s.Stable != nil {
		ways++
		if s.Canary == nil || s.Stable == nil {
			c.Note(path, "canary and stable are required, both")
			return
		}
		s.canary = *s.Canary
		s.stable = *s.Stable
	}
	if ways != 1 {
		c.Note(path, "one of traefik, envoy, istio, or canary and stable, is required")
		return
	}
	s.canary.check(c, path+".canary")
	s.stable.check(c, path+".stable")
}

func (o *Counters) check(c *daemon.Checker, path string) {
	o.Requests.check(c, path+".requests")
	o.Failed.check(c, path+".failed")
}

func (s *Selector) check(c *daemon.Checker, path string) {
	if s.Name == "" {
		c.Note(path+".name", "required: the name of a metric")
	}
	for label, value := range s.Labels {
		if _, err := regexp.Compile(value); err != nil {
			c.Note(problem.Field(path+".labels", label), "%s is not a valid regular expression", problem.Quote(value))
		}
	}
}

func (n *Notice) check(c *daemon.Checker, path string) {
	if (len(n.Command) == 0) == (n.Webhook == "") {
		c.Note(path, "one of command and webhook is required")
		return
	}
	if n.Webhook != "" {
		c.URL(path+".webhook", n.Webhook)
	}
	for i, kind := range n.On {
		if !slices.Contains(kinds, kind) {
			c.Note(problem.Index(path+".on", i), "unknown event %s%s", problem.Quote(kind), problem.OneOf(kind,
				kinds))
		}
	}
	if n.Format == "" {
		n.Format = formatCloudEvents
	}
	if formats[n.Format] == nil {
		c.Note(path+".format", "unknown format %s%s", problem.Quote(n.Format), problem.OneOf(n.Format, formatNames()))
	}
	n.timeout = c.Duration(path+".timeout", n.Timeout, 30*time.Second)
	if n.Tries < 0 {
		c.Note(path+".tries", "must be 1 or more, is %d", n.Tries)
	}
	if n.Tries == 0 {
		n.Tries = 10
	}
}
