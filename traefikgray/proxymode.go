package traefikgray

import (
	"errors"
	"log"
	"net/http"
	"sort"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/core/proxy"
)

// target is where a version's requests go.
type target struct {
	pool     *proxy.Pool
	fallback proxy.Fallback
}

// forwarding sends requests to the target of their version; next is stable's. Identify is as
// identifier returns it.
func forwarding(
	engine *core.Engine, client *core.Client, identify func(*http.Request) string,
	targets map[string]*target, next http.Handler,
) http.Handler {
	versions := map[string]http.Handler{}
	for version, t := range targets {
		versions[version] = proxy.Handler(t.pool, identify, t.fallback)
	}
	return core.Route(engine, client, versions, next)
}

var errNoUpstreams = errors.New("required: mode proxy forwards to them")

// upstreamProblems are what is wrong with a version's upstreams, as the policy has them.
func upstreamProblems(version string, err error) problem.List {
	return problem.Of(err).Under(problem.Field("versions", version) + ".upstreams")
}

func newPool(name string) *proxy.Pool {
	failed := &proxy.Seldom{}
	return proxy.NewPool(proxy.Options{
		KeepForwarded: true, // Traefik's entry point has removed what it does not trust
		Failed: func(upstream string, err error) {
			if n := proxy.Due(failed); n > 0 {
				log.Printf("gray: middleware %s: upstream %s gave no response (%d requests so far): %v", name, upstream, n, err)
			}
		},
	})
}

// canaries are the versions but for the stable one, in order.
func canaries(e *core.Engine) []string {
	var names []string
	for _, name := range versionNames(e.Versions()) {
		if name != e.Stable() {
			names = append(names, name)
		}
	}
	return names
}

func versionNames(versions map[string]core.Version) []string {
	names := make([]string, 0, len(versions))
	for name := range versions {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// toStable makes the function that serves a version's requests from stable while none of its
// upstreams can be reached.
func toStable(engine *core.Engine, name, version string, next http.Handler) proxy.Fallback {
	failed := &proxy.Seldom{}
	return func(w http.ResponseWriter, r *http.Request, err error) {
		if n := proxy.Due(failed); n > 0 {
			log.Printf("gray: middleware %s: version %s cannot be reached, "+
				"stable serves instead (%d requests so far): %v", name, version, n, err)
		}
		core.Repass(engine, r, core.Told{Header: version, Baggage: version}, engine.Stable())
		next.ServeHTTP(w, r)
	}
}
