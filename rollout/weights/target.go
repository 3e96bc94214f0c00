package weights

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/grayrelease/gray/decider/manifest"
)

// FieldManager owns the lists of routes that were applied.
const FieldManager = "gray-serve"

// Kinds of objects.
const (
	VirtualService = "VirtualService"
	HTTPRoute      = "HTTPRoute"
)

// form is how a kind of objects says weights.
type form struct {
	resource schema.GroupVersionResource
	list     string // of routes, in the spec
	backends string // of a route
	// version returns the name that a destination has, and the default of its weight.
	version func(destination map[string]any) string
	weight  int64
}

var forms = map[string]form{
	VirtualService: {
		resource: schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "virtualservices"},
		list:     "http", backends: "route", version: subsetOf, weight: 0,
	},
	HTTPRoute: {
		resource: schema.GroupVersionResource{Group: "gateway.networking.k8s.io", Version: "v1", Resource: "httproutes"},
		list:     "rules", backends: "backendRefs", version: serviceOf, weight: 1,
	},
}

// Target is an object, and the route in it whose weights are moved.
type Target struct {
	// Kind is VirtualService or HTTPRoute.
	Kind string
	// Namespace and Name are the object's.
	Namespace, Name string
	// Route is the name of the route, which leads to both versions and to nothing else. Default:
	// that of the rollout's rule.
	Route string
	// Destinations are the names that versions have there: of the subset, or of the service.
	// Default: the version, or a name that ends with a dash and the version.
	Destinations map[string]string
}

// String names the object.
func (t *Target) String() string { return t.Kind + "/" + t.Namespace + "/" + t.Name }

// Cluster is where a Kubernetes API is.
type Cluster struct {
	// Kubeconfig is a file. Default: the service account of the pod, or the files in KUBECONFIG.
	Kubeconfig string
	// Context of that file. Default: its current one.
	Context string
}

// Connect makes a client. It asks nothing.
func Connect(c Cluster) (dynamic.Interface, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = c.Kubeconfig
	overrides := &clientcmd.ConfigOverrides{CurrentContext: c.Context}
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("kubernetes: %w", err)
	}
	config.Timeout = 10 * time.Second
	config.QPS = -1 // who calls asks seldom, and must not wait behind others then
	return dynamic.NewForConfig(config)
}

// Wanted are the weights that a target is to have.
type Wanted struct {
	Rule           string // of the rollout
	Canary, Stable string // versions
	Percent        float64
}

// Setter writes the weights of a target.
type Setter struct {
	target Target
	form   form
	client dynamic.ResourceInterface
}

// NewSetter makes one. The target's kind is one of those that there are.
func NewSetter(client dynamic.Interface, t Target) *Setter {
	f := forms[t.Kind]
	return &Setter{target: t, form: f, client: client.Resource(f.resource).Namespace(t.Namespace)}
}

// tries is how often an object is read again that somebody else changes meanwhile.
const tries = 5

// Set gives the target the weights, unless it has them, and reports whether it wrote.
func (s *Setter) Set(ctx context.Context, w Wanted) (bool, error) {
	for n := 1; ; n++ {
		wrote, err := s.set(ctx, w)
		if !apierrors.IsConflict(err) || n == tries {
			return wrote, err
		}
	}
}

func (s *Setter) set(ctx context.Context, w Wanted) (bool, error) {
	have, err := s.client.Get(ctx, s.target.Name, metav1.GetOptions{})
	if err != nil {
		return false, err
	}
	list, found, err := unstructured.NestedSlice(have.Object, "spec", s.form.list)
	if err != nil || !found {
		return false, fmt.Errorf("%s has no spec.%s", &s.target, s.form.list)
	}
	rules := map[string]string{}
	_ = json.Unmarshal([]byte(have.GetAnnotations()[manifest.AnnotationRules]), &rules)
	changed, err := s.form.move(list, rules, &s.target, w)
	if err != nil || !changed {
		return false, err
	}
	apply := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{s.form.list: list}}}
	apply.SetAPIVersion(have.GetAPIVersion())
	apply.SetKind(have.GetKind())
	apply.SetName(have.GetName())
	apply.SetNamespace(have.GetNamespace())
	apply.SetResourceVersion(have.GetResourceVersion())
	_, err = s.client.Apply(ctx, s.target.Name, apply, metav1.ApplyOptions{FieldManager: FieldManager, Force: true})
	return err == nil, err
}
