// Command gateway is a gateway of its own: it follows a policy, and forwards each request to the
// upstreams of the version that it gets. While no upstream of a version can be reached, the stable
// version serves.
//
//	go run ./examples/gateway -source file://$PWD/examples/guide/policy.json
package main

import (
	"flag"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/core/proxy"
)

func main() {
	source := flag.String("source", "", "URL of the policy's source")
	cache := flag.String("cache", "", "folder for the last good policy; none when empty")
	listen := flag.String("listen", "127.0.0.1:8080", "address to serve on")
	flag.Parse()
	g := newGateway()
	handle, err := live.Open(live.Options{
		Source: &live.Source{URL: *source}, Cache: *cache, Logger: slog.Default(), Apply: g.apply,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer handle.Close()
	server := &http.Server{Addr: *listen, Handler: g, ReadHeaderTimeout: 10 * time.Second}
	log.Print("listening on ", *listen)
	log.Print(server.ListenAndServe())
}

// gateway serves by what is in force.
type gateway struct {
	now   atomic.Pointer[http.Handler]
	pools map[string]*proxy.Pool // by version; they know which of their upstreams fail
}

func newGateway() *gateway { return &gateway{pools: map[string]*proxy.Pool{}} }

// ServeHTTP implements http.Handler.
func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) { (*g.now.Load()).ServeHTTP(w, r) }

// apply prepares what requests need, at first and after each change. Its error refuses a document.
func (g *gateway) apply(c *live.Current) error {
	if c.Engine == nil {
		g.serve(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "no policy yet", http.StatusServiceUnavailable)
		}))
		return nil
	}
	for version := range c.Engine.Versions() {
		if g.pools[version] == nil {
			g.pools[version] = proxy.NewPool(proxy.Options{})
		}
		if err := g.pools[version].Set(c.Addresses(version)); err != nil {
			return fmt.Errorf("versions.%s.upstreams%w", version, err)
		}
	}
	stable := proxy.Handler(g.pools[c.Engine.Stable()], nil, func(w http.ResponseWriter, _ *http.Request, err error) {
		http.Error(w, err.Error(), http.StatusBadGateway)
	})
	versions := map[string]http.Handler{}
	for version := range c.Engine.Versions() {
		if version != c.Engine.Stable() {
			versions[version] = proxy.Handler(g.pools[version], nil, func(w http.ResponseWriter, r *http.Request, _ error) {
				core.Repass(c.Engine, r, core.Told{Header: version, Baggage: version}, c.Engine.Stable())
				stable.ServeHTTP(w, r)
			})
		}
	}
	g.serve(core.Route(c.Engine, nil, versions, stable))
	return nil
}

func (g *gateway) serve(h http.Handler) { g.now.Store(&h) }
