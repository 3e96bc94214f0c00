// Package kong is a plugin for Kong, in Kong's own kit for Go: it decides in the phase "access",
// passes the decision on in the request, and has Kong balance over the Upstream entity of the
// version. Cmd/gray-kong serves it to Kong.
package kong

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"strings"

	"github.com/Kong/go-pdk"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/decider/exchange"
)

// Version of the plugin. Priority has it run after Kong's plugins for authentication and after
// request-transformer, so that a policy may say `vouch gateway`.
const (
	Version  = "0.1.0"
	Priority = 750
)

// maxHeaders is how many header lines Kong tells at most.
const maxHeaders = 1000

// Config is the plugin's configuration in Kong.
type Config struct {
	// Service is the service's name, as in its policy. Required.
	Service string `json:"service"`
	// Source is the URL of its policy, and Options outrank those in it. Required.
	Source  string            `json:"source"`
	Options map[string]string `json:"options"`
	// AllowEnv, AllowFiles and AllowHosts bound what its documents may use, see live.Source.
	AllowEnv   []string `json:"allow_env"`
	AllowFiles []string `json:"allow_files"`
	AllowHosts []string `json:"allow_hosts"`
	// Cache is a folder for what must survive a restart while the source is down. Default: nothing is
	// kept.
	Cache string `json:"cache"`
	// Upstreams are names of Kong's Upstream entities, by version. Default: requests of a version that
	// is not in it go to the service of the route, which is to be the stable version.
	Upstreams map[string]string `json:"upstreams"`

	handle *live.Handle
}

// New returns a configuration for Kong to fill in.
func New() any { return &Config{} }

// UnmarshalJSON reads the configuration, and begins to follow the policy. Kong's kit tells nobody
// when an instance ends, so that following ends when the configuration is collected.
func (c *Config) UnmarshalJSON(data []byte) error {
	type plain Config
	if err := json.Unmarshal(data, (*plain)(c)); err != nil {
		return err
	}
	handle, err := live.Open(live.Options{
		Source: &live.Source{URL: c.Source, Options: c.Options, AllowEnv: c.AllowEnv, AllowFiles: c.AllowFiles,
			AllowHosts: c.AllowHosts},
		Service: c.Service, Cache: c.Cache, Logger: slog.Default(),
	})
	if err != nil {
		return fmt.Errorf("gray: %w", err)
	}
	c.handle = handle
	runtime.AddCleanup(c, func(h *live.Handle) { h.Close() }, handle)
	return nil
}

// Access decides. What Kong cannot tell, as bytes of headers that are not UTF-8, has stable serve.
func (c *Config) Access(kong *pdk.PDK) {
	caller, err := read(kong)
	if err != nil {
		_ = kong.Log.Warn("gray: the request cannot be read, stable is to serve: ", err.Error())
		c.clear(kong)
		return
	}
	now := c.handle.Current()
	if now.Engine == nil {
		c.report(kong, apply(kong, exchange.OfNone(caller.Request)))
		return
	}
	d := core.Decide(now.Engine, caller)
	err = apply(kong, exchange.Of(core.EffectsOf(now.Engine, caller, d), caller.Request))
	if name := c.Upstreams[d.Version]; name != "" && err == nil {
		err = kong.Service.SetUpstream(name)
	}
	c.report(kong, err)
}

// clear removes what a client may claim in a request that cannot be read.
func (c *Config) clear(kong *pdk.PDK) {
	x := core.EffectsOfNone(&http.Request{})
	names := append([]string{x.Header, "Baggage"}, x.Remove...)
	if now := c.handle.Current(); now.Engine != nil {
		names = append(names, now.Engine.Header())
	}
	for _, name := range names {
		_ = kong.ServiceRequest.ClearHeader(name)
	}
}

func (c *Config) report(kong *pdk.PDK, err error) {
	if err != nil {
		_ = kong.Log.Err("gray: ", err.Error())
	}
}

// read asks Kong for what decisions go by.
func read(kong *pdk.PDK) (*core.Caller, error) {
	lines, err := kong.Request.GetHeaders(maxHeaders)
	if err != nil {
		return nil, err
	}
	h := make(http.Header, len(lines))
	host := ""
	for name, values := range lines {
		if strings.EqualFold(name, "Host") && len(values) > 0 { // Kong's own is without the port
			host = values[0]
			continue
		}
		h[http.CanonicalHeaderKey(name)] = values
	}
	var told [5]string
	for i, ask := range [...]func() (string, error){
		kong.Request.GetMethod, kong.Request.GetPathWithQuery, kong.Client.GetIp, kong.Client.GetForwardedIp,
		kong.Request.GetForwardedScheme,
	} {
		if told[i], err = ask(); err != nil {
			return nil, err
		}
	}
	c := &core.Caller{Request: exchange.NewRequest(told[0], told[1], host, told[2], h), Client: told[3]}
	if told[4] == "https" {
		c.Secure = exchange.CameByTLS
	}
	return c, nil
}

// apply has Kong change what the decision changes.
func apply(kong *pdk.PDK, c exchange.Changes) error {
	for _, header := range c.Set {
		if err := kong.ServiceRequest.SetHeader(header[0], header[1]); err != nil {
			return err
		}
	}
	for _, name := range c.Remove {
		if err := kong.ServiceRequest.ClearHeader(name); err != nil {
			return err
		}
	}
	for name, values := range c.Client {
		for _, value := range values {
			if err := kong.Response.AddHeader(name, value); err != nil {
				return err
			}
		}
	}
	return nil
}
