package serve

import (
	"context"
	"slices"
	"time"

	"k8s.io/client-go/dynamic"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/internal/daemon"
	"github.com/grayrelease/gray/rollout/weights"
)

// Kubernetes is where the objects are whose weights follow rollouts.
type Kubernetes struct {
	// Kubeconfig is a file. Default: the service account of the pod, or the files in KUBECONFIG.
	Kubeconfig string `json:"kubeconfig,omitempty"`
	// Context of that file. Default: its current one.
	Context string `json:"context,omitempty"`
}

// Route is a route in Kubernetes whose weights follow the rollout.
type Route struct {
	// Kind of the object: VirtualService or HTTPRoute. Required.
	Kind string `json:"kind"`
	// Namespace and Name of the object. Required.
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Route is the name of the route in it, which leads to both versions and to nothing else.
	// Default: that of the rollout's rule.
	Route string `json:"route,omitempty"`
	// Destinations are the subsets, or services, of versions. Default: the version, or a name that
	// ends with a dash and the version.
	Destinations map[string]string `json:"destinations,omitempty"`
}

func (r *Route) check(c *daemon.Checker, path string) {
	if r.Kind != weights.VirtualService && r.Kind != weights.HTTPRoute {
		c.Note(path+".kind", "want VirtualService or HTTPRoute")
	}
	if r.Namespace == "" {
		c.Note(path+".namespace", "required: the namespace of the object")
	}
	if r.Name == "" {
		c.Note(path+".name", "required: the name of the object")
	}
}

// How often a route is looked at, which somebody else may have changed, and how soon again after an
// error.
const (
	routeEvery = 5 * time.Second
	routeAgain = time.Second
)

// routed is a route of a service.
type routed struct {
	config  *Route
	setter  *weights.Setter
	changed chan struct{} // what is in force has
}

func newRouted(client dynamic.Interface, config *Route) *routed {
	return &routed{config: config, changed: make(chan struct{}, 1), setter: weights.NewSetter(client, weights.Target{
		Kind: config.Kind, Namespace: config.Namespace, Name: config.Name, Route: config.Route,
		Destinations: config.Destinations})}
}

// wake has the route looked at now.
func (r *routed) wake() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// follow keeps the route's weights as the rollout wants them until the context ends.
func (r *routed) follow(ctx context.Context, v *service) {
	what := signal{v.config.Service, "route", r.config.Kind + "/" + r.config.Namespace + "/" + r.config.Name}
	for {
		wait := routeEvery
		if f := v.followed(); f != nil && f.wanted != nil {
			wrote, err := r.setter.Set(ctx, *f.wanted)
			v.heard(what, err)
			if err != nil {
				wait = routeAgain
			}
			if wrote {
				v.log.Info("weights were set", "route", what.url, "version", f.wanted.Canary, "percent", f.wanted.Percent)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-r.changed:
		case <-time.After(wait):
		}
	}
}

// wantedOf is what routes are to give the canary, nil as long as that is not known.
func wantedOf(e *core.Engine, state *core.RolloutState) *weights.Wanted {
	if e == nil || e.Rollout() == nil {
		return nil
	}
	plan, o := e.Rollout(), e.Overlay()
	w := &weights.Wanted{Rule: plan.Rule, Canary: plan.Version, Stable: e.Stable()}
	switch {
	case o.Force != "":
		if o.Force == plan.Version {
			w.Percent = 100
		}
	case state == nil:
		return nil
	case !slices.Contains(o.Withdrawn, plan.Version):
		w.Percent = o.Percent[plan.Rule]
	}
	return w
}
