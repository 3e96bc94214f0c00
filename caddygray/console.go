package caddygray

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/internal/daemon"
	"github.com/grayrelease/gray/rollout"
	"github.com/grayrelease/gray/rollout/api"
	"github.com/grayrelease/gray/rollout/console"
	"github.com/grayrelease/gray/rollout/loop"
)

func init() {
	caddy.RegisterModule(Console{})
	httpcaddyfile.RegisterHandlerDirective("gray_console", parseConsole)
	httpcaddyfile.RegisterDirectiveOrder("gray_console", httpcaddyfile.Before, "metrics")
}

// Console serves a web page of this gateway's policies and rollouts, and the API that the page uses
// (see the package api). It may be under a prefix of the path that is stripped before. Who reaches
// it may look; acting takes a token, or somebody whom Caddy has authenticated.
type Console struct {
	// Tokens let their bearers in, in the roles view and operate: each secret is at least 16 bytes,
	// in a file or an environment variable.
	Tokens []daemon.Token `json:"tokens,omitempty"`
	// Operator names the person who may act, where it is not empty: a placeholder such as
	// {http.auth.user.id}, which handlers before this one set. Default: nobody, but for tokens.
	Operator string `json:"operator,omitempty"`
	// Private keeps those out who have no token and are not the operator. Default: false, they may
	// look.
	Private bool `json:"private,omitempty"`
	// Origins are where browsers find the console behind another proxy, which changes the host, as
	// in https://ops.example.com. Default: at the host of the request.
	Origins []string `json:"origins,omitempty"`

	api     *api.API
	handler http.Handler
	servers *sync.Map // those that end streams when they shut down
}

// CaddyModule returns the Caddy module information.
func (Console) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.gray_console",
		New: func() caddy.Module { return new(Console) },
	}
}

// UnmarshalJSON reads the handler's JSON as strictly as a policy document.
func (c *Console) UnmarshalJSON(data []byte) error { return core.Decode(data, c) }

// Provision reads the tokens, and begins to take samples for the figures.
func (c *Console) Provision(ctx caddy.Context) error {
	callers, err := c.callers()
	if err != nil {
		return err
	}
	if strings.HasPrefix(c.Operator, "{http.request.header.") {
		ctx.Logger().Warn("clients may send the operator's header themselves: have a handler before the console set or "+
			"remove it, as forward_auth does with copy_headers", zap.String("operator", c.Operator))
	}
	feed, _, err := feeds.LoadOrNew(feedKey, newFeed)
	if err != nil {
		return err
	}
	c.api = api.New(feed.(*sharedFeed).feed, callers)
	c.handler = console.Handler(c.api)
	c.servers = new(sync.Map)
	return nil
}

func (c *Console) callers() (daemon.Callers, error) {
	check := &daemon.Checker{}
	check.Tokens(c.Tokens, daemon.RoleView, daemon.RoleOperate)
	check.Origins(c.Origins)
	if err := check.Err(); err != nil {
		return daemon.Callers{}, err
	}
	a, err := daemon.ReadCallers(c.Tokens, nil)
	if err != nil {
		return a, err
	}
	a.Local = false
	a.Anonymous = daemon.RoleView
	if c.Private {
		a.Anonymous = ""
	}
	if c.Operator == "" {
		return a, nil
	}
	if !strings.HasPrefix(c.Operator, "{") || !strings.HasSuffix(c.Operator, "}") {
		return a, fmt.Errorf("operator: %q is not a placeholder, such as {http.auth.user.id}", c.Operator)
	}
	a.Person = func(r *http.Request) (name, role string) {
		repl, _ := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
		if repl == nil {
			return "", ""
		}
		name, _ = repl.GetString(strings.Trim(c.Operator, "{}"))
		return name, daemon.RoleOperate
	}
	return a, nil
}

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	server, isServed := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if isServed {
		// A reload waits for the requests of the server before it, and a stream does not end by
		// itself.
		if _, known := c.servers.LoadOrStore(server, true); !known {
			server.RegisterOnShutdown(c.api.Close)
		}
	}
	c.handler.ServeHTTP(w, r)
	return nil
}

// Cleanup ends what Provision has begun.
func (c *Console) Cleanup() error {
	if c.api == nil {
		return nil
	}
	c.api.Close()
	_, err := feeds.Delete(feedKey)
	return err
}

// feeds holds the feed of all consoles, which outlives reloads, and so do its figures.
var feeds = caddy.NewUsagePool()

const feedKey = "gray_console"

// sharedFeed is a feed of the services of this gateway.
type sharedFeed struct {
	feed   *api.Feed
	cancel context.CancelFunc
	ended  sync.WaitGroup
}

// runningFeed is the feed in use, nil if there is none.
var runningFeed struct {
	sync.Mutex
	feed *api.Feed
}

func newFeed() (caddy.Destructor, error) {
	ctx, cancel := context.WithCancel(context.Background())
	f := &sharedFeed{feed: api.NewFeed(consoleServices), cancel: cancel}
	f.ended.Go(func() { f.feed.Run(ctx) })
	setFeed(f.feed)
	return f, nil
}

// Destruct implements caddy.Destructor.
func (f *sharedFeed) Destruct() error {
	setFeed(nil)
	f.cancel()
	f.ended.Wait()
	return nil
}

func setFeed(f *api.Feed) {
	runningFeed.Lock()
	runningFeed.feed = f
	runningFeed.Unlock()
}

// tellConsoles has consoles look again, or passes an event on to them.
func tellConsoles(service string, e *loop.Event) {
	runningFeed.Lock()
	feed := runningFeed.feed
	runningFeed.Unlock()
	switch {
	case feed == nil:
	case e != nil:
		feed.Happened(e)
	default:
		feed.Changed(service)
	}
}

// consoleService is a service of this gateway.
type consoleService struct {
	name string
	*followed
}

// consoleServices returns the services of the running configuration, by their names.
func consoleServices() []api.Service {
	newest := states.services()
	var all []api.Service
	for name, f := range newest {
		all = append(all, consoleService{name, f})
	}
	slices.SortFunc(all, func(a, b api.Service) int { return strings.Compare(a.Name(), b.Name()) })
	return all
}

// Name implements api.Service.
func (s consoleService) Name() string { return s.name }

// State implements api.Service.
func (s consoleService) State() api.State { return s.describe(s.state()).State }

// Engine implements api.Service.
func (s consoleService) Engine() *core.Engine {
	if active := s.handler.current.Load(); active != nil {
		return active.engine
	}
	return nil
}

// Do implements api.Service.
func (s consoleService) Do(ctx context.Context, c rollout.Command) (core.RolloutState, error) {
	if s.handler.use == nil {
		return core.RolloutState{}, loop.ErrNoRollout
	}
	return s.handler.use.Do(ctx, c)
}

// Throw implements api.Service.
func (s consoleService) Throw(ctx context.Context, next live.Switch) (live.Switch, error) {
	err := s.throw(ctx, &next)
	return next, err
}

// parseConsole sets up the handler from Caddyfile tokens. Syntax:
//
//	gray_console [<matcher>] {
//		token    <role> <file> [<name>]
//		operator <placeholder>
//		private
//		origins  <origin...>
//	}
func parseConsole(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	c := new(Console)
	err := c.UnmarshalCaddyfile(h.Dispenser)
	return c, err
}

// UnmarshalCaddyfile sets up the handler from Caddyfile tokens, see parseConsole.
func (c *Console) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if d.NextArg() {
		return d.ArgErr()
	}
	seen := map[string]bool{}
	for d.NextBlock(0) {
		word := d.Val()
		if seen[word] && word != "token" {
			return d.Errf("%s is given twice", word)
		}
		seen[word] = true
		args := d.RemainingArgs()
		switch word {
		case "token":
			if len(args) < 2 || len(args) > 3 {
				return d.ArgErr()
			}
			t := daemon.Token{Role: args[0], File: args[1]}
			if len(args) == 3 {
				t.Name = args[2]
			}
			c.Tokens = append(c.Tokens, t)
		case "operator":
			if len(args) != 1 {
				return d.ArgErr()
			}
			c.Operator = args[0]
		case "private":
			if len(args) != 0 {
				return d.ArgErr()
			}
			c.Private = true
		case "origins":
			if len(args) == 0 {
				return d.ArgErr()
			}
			c.Origins = args
		default:
			return d.Errf("unknown subdirective %q%s", word,
				problem.OneOf(word, []string{"token", "operator", "private", "origins"}))
		}
	}
	return nil
}

// Validate refuses a console that nobody may see.
func (c *Console) Validate() error {
	if c.Private && len(c.Tokens) == 0 && c.Operator == "" {
		return errors.New("private: nobody may see the console: give a token or an operator")
	}
	return nil
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Console)(nil)
	_ caddy.Validator             = (*Console)(nil)
	_ caddy.CleanerUpper          = (*Console)(nil)
	_ caddyhttp.MiddlewareHandler = (*Console)(nil)
	_ caddyfile.Unmarshaler       = (*Console)(nil)
	_ api.Service                 = consoleService{}
)
