// Package gatewayapi says a policy as an HTTPRoute of the Kubernetes Gateway API, and reads one.
//
// An HTTPRoute says less than Istio's VirtualService: it knows no negations and no expressions for
// paths, and chooses by how narrow a match is, where a policy goes by the order of its rules. What
// it cannot say needs the decision server.
package gatewayapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	v1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/decider/istio"
	"github.com/grayrelease/gray/decider/manifest"
	"github.com/grayrelease/gray/decider/routes"
)

// apiVersion of HTTPRoutes that are written. Older ones are read too.
const apiVersion = "gateway.networking.k8s.io/v1"

// Annotations by which Import finds what an HTTPRoute has no field for.
const (
	annotationService  = manifest.AnnotationService
	annotationStable   = manifest.AnnotationStable
	annotationVersions = "gray/versions" // a JSON object of their services, by version
	annotationRules    = manifest.AnnotationRules
)

// Options say where in a cluster a policy holds.
type Options struct {
	// Name of the HTTPRoute, and the beginning of the names of the versions' services. Default: the
	// policy's service, as a DNS label.
	Name string
	// Namespace of the HTTPRoute. Default: none is written.
	Namespace string
	// Hosts that the route is for. Default: all of the gateway's.
	Hosts []string
	// Gateways that the route belongs to, as name or namespace/name. Default: the service of that
	// name, for calls in a mesh.
	Gateways []string
	// Port of the services. Default: 80.
	Port int32
	// Services are the Kubernetes services by version. Default: Name, a dash and the version.
	Services map[string]string
	// Weights has percentages become weights. A weight is drawn for each request. Otherwise they
	// are the decision server's.
	Weights bool
	// Server says how Istio, as the gateway, asks the decision server.
	Server istio.Server
}

// Export is a policy as an HTTPRoute.
type Export struct {
	*routes.Plan
	// Objects are for kubectl apply.
	Objects []*manifest.Object
	// Mesh is the part of Istio's configuration that the objects need, as YAML; "" if they need
	// none.
	Mesh string
}

// NewExport writes a policy as an HTTPRoute.
func NewExport(e *core.Engine, o Options) (*Export, error) {
	if err := o.complete(e); err != nil {
		return nil, err
	}
	versions := make([]string, 0, len(e.Versions()))
	for version := range e.Versions() {
		versions = append(versions, version)
	}
	slices.Sort(versions)
	header := strings.ToLower(e.Header())
	plan, err := routes.Compile(e, routes.Options{Weights: o.Weights, Refuse: refuse,
		Fits: func(all []routes.Route, asksServer bool) string {
			_, reason := inOrder(matchesOf(all, decided(versions, header, asksServer)))
			return reason
		}})
	if err != nil {
		return nil, err
	}
	x := &exporting{Options: o, plan: plan, names: map[string]string{}}
	spec, err := json.Marshal(x.route(header))
	if err != nil {
		return nil, err
	}
	route := &manifest.Object{APIVersion: apiVersion, Kind: "HTTPRoute", Spec: spec,
		Metadata: manifest.Metadata{Name: o.Name, Namespace: o.Namespace, Annotations: x.annotations()}}
	out := &Export{Plan: plan, Objects: []*manifest.Object{route}}
	if slices.ContainsFunc(plan.Routes, func(r routes.Route) bool { return hasExpression(r.Match) }) {
		plan.Notes = append(plan.Notes, "regular expressions are up to the implementation: Istio and Envoy Gateway "+
			"have RE2, for all of a value")
	}
	if slices.ContainsFunc(plan.Routes, func(r routes.Route) bool { return len(r.Shares) > 1 }) {
		plan.Notes = append(plan.Notes, "filters of a backend, by which a service behind weights gets "+plan.Header+
			", are up to the implementation")
	}
	if !plan.AsksServer {
		return out, nil
	}
	plan.Notes = append(plan.Notes, "the AuthorizationPolicy is Istio's: another implementation asks the decision "+
		"server in its own way, before it routes")
	if len(o.Gateways) > 0 {
		_, name, found := strings.Cut(o.Gateways[0], "/")
		if !found {
			name = o.Gateways[0]
		}
		o.Server.Gateway = name
	}
	hosts := o.Hosts
	if len(hosts) == 0 {
		hosts = []string{"*"}
	}
	namespace := o.Server.Namespace
	if namespace == "" {
		namespace = istio.NamespaceOf(o.Gateways, o.Namespace)
	}
	asking, err := o.Server.Objects(o.Name+"-gray", namespace, hosts)
	if err != nil {
		return nil, err
	}
	out.Objects = append(out.Objects, asking...)
	if !o.Server.EnvoyFilter {
		plan.Notes = append(plan.Notes, istio.NoteRouteCache)
	}
	out.Mesh, err = o.Server.Mesh()
	return out, err
}

// complete checks options and fills in defaults.
func (o *Options) complete(e *core.Engine) error {
	if o.Name == "" {
		o.Name = manifest.LabelName(e.Service())
	}
	if o.Name == "" || manifest.LabelName(o.Name) != o.Name {
		return fmt.Errorf("%s is not a name that Kubernetes takes: give one of a-z 0-9 -", problem.Quote(o.Name))
	}
	if o.Port == 0 {
		o.Port = 80
	}
	services := map[string]string{}
	taken := map[string]string{}
	for version := range e.Versions() {
		name := o.Services[version]
		if name == "" {
			name = o.Name + "-" + manifest.LabelName(version)
		}
		if manifest.LabelName(name) != name || strings.HasSuffix(name, "-") {
			return fmt.Errorf("%s is not a name of a service: say that of version %s", problem.Quote(name),
				problem.Quote(version))
		}
		if other, found := taken[name]; found {
			return fmt.Errorf("versions %s and %s would both be the service %s: say their services", problem.Quote(other),
				problem.Quote(version), name)
		}
		taken[name] = version
		services[version] = name
	}
	for version := range o.Services {
		if _, known := services[version]; !known {
			return fmt.Errorf("the policy has no version %s", problem.Quote(version))
		}
	}
	o.Services = services
	return nil
}

// methods that a match may name.
var methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete,
	http.MethodConnect, http.MethodOptions, http.MethodTrace, http.MethodPatch}

// maxValue is how long a value or an expression may be.
const maxValue = 4096

// refuse returns why an HTTPRoute does not say a match.
func refuse(m *routes.Match) string {
	switch {
	case len(m.Without) > 0:
		return "an HTTPRoute says nothing of what a request is not"
	case m.Authority != nil:
		return "an HTTPRoute has its hosts for all of its rules"
	case m.Method != nil && (m.Method.Kind != routes.Exact || !slices.Contains(methods, m.Method.Value)):
		return "an HTTPRoute has one method, and a usual one"
	case m.Path != nil && m.Path.Kind != routes.Exact && m.Path.Kind != routes.Segments:
		return "an HTTPRoute has whole paths and what is under them: `matches ^(?:/path(?:/.*)?)$`"
	case m.Path != nil && len(m.Path.Value) > 1024:
		return "the path is longer than 1,024 bytes"
	}
	for _, text := range m.Headers {
		if text.Kind == routes.Exact && text.Value == "" {
			return "an HTTPRoute compares with no empty value"
		}
		if len(text.Expression()) > maxValue {
			return "the value is longer than 4,096 bytes"
		}
	}
	return ""
}

// hasExpression reports whether a match has a regular expression.
func hasExpression(m *routes.Match) bool {
	for _, text := range m.Headers {
		if text.Kind != routes.Exact {
			return true
		}
	}
	return false
}

// decided are the matches of what the decision server answers, a version each.
func decided(versions []string, header string, asksServer bool) []*routes.Match {
	var all []*routes.Match
	if asksServer {
		for _, version := range versions {
			text := &routes.Text{Kind: routes.Exact, Value: version}
			all = append(all, &routes.Match{Headers: map[string]*routes.Text{header: text}})
		}
	}
	return all
}

func matchesOf(all []routes.Route, before []*routes.Match) []*routes.Match {
	for _, r := range all {
		before = append(before, r.Match)
	}
	return before
}

// exporting is a plan on its way into an HTTPRoute.
type exporting struct {
	Options
	plan  *routes.Plan
	names map[string]string // of rules, by those in the HTTPRoute, where they differ
}

func (x *exporting) annotations() map[string]string {
	services, _ := json.Marshal(x.Services)
	all := map[string]string{
		annotationService: x.plan.Policy.Service, annotationStable: x.plan.Policy.Stable,
		annotationVersions: string(services),
	}
	if len(x.names) > 0 {
		text, _ := json.Marshal(x.names)
		all[annotationRules] = string(text)
	}
	return all
}

// decidedPrefix begins the names of rules that go by what the decision server said.
const decidedPrefix = "decided-"

func (x *exporting) route(header string) *v1.HTTPRouteSpec {
	spec := &v1.HTTPRouteSpec{}
	spec.ParentRefs = x.parents()
	for _, host := range x.Hosts {
		spec.Hostnames = append(spec.Hostnames, v1.Hostname(host))
	}
	before := decided(x.plan.Versions, header, x.plan.AsksServer)
	matches, _ := inOrder(matchesOf(x.plan.Routes, before)) // Compile has seen to it that there are some
	taken := map[string]bool{}
	for i := range before {
		version := x.plan.Versions[i]
		name := v1.SectionName(x.name(decidedPrefix+version, "", taken))
		spec.Rules = append(spec.Rules, v1.HTTPRouteRule{Name: &name, Matches: httpMatches(matches[i]),
			BackendRefs: []v1.HTTPBackendRef{x.backend(version, nil)}})
	}
	for i, r := range x.plan.Routes {
		rule := v1.HTTPRouteRule{Matches: httpMatches(matches[len(before)+i])}
		if r.Name != "" {
			name := v1.SectionName(x.name(r.Name, r.Name, taken))
			rule.Name = &name
		}
		if len(r.Shares) == 1 {
			rule.Filters = x.filters(r.Shares[0].Version)
			rule.BackendRefs = []v1.HTTPBackendRef{x.backend(r.Shares[0].Version, nil)}
		}
		for _, share := range r.Shares {
			if len(r.Shares) > 1 {
				weight := int32(share.Weight)
				backend := x.backend(share.Version, &weight)
				backend.Filters = x.filters(share.Version)
				rule.BackendRefs = append(rule.BackendRefs, backend)
			}
		}
		spec.Rules = append(spec.Rules, rule)
	}
	return spec
}

// name returns the name of a rule there, and remembers the one that it has in the policy.
func (x *exporting) name(wanted, rule string, taken map[string]bool) string {
	base := manifest.LabelName(wanted)
	if base == "" {
		base = "rule"
	}
	name := base
	for n := 2; taken[name]; n++ {
		name = fmt.Sprintf("%.50s-%d", base, n)
	}
	taken[name] = true
	if rule != "" && name != rule {
		x.names[name] = rule
	}
	return name
}

func (x *exporting) parents() []v1.ParentReference {
	var all []v1.ParentReference
	for _, gateway := range x.Gateways {
		namespace, name, found := strings.Cut(gateway, "/")
		if !found {
			name = gateway
		}
		parent := v1.ParentReference{Name: v1.ObjectName(name)}
		if found {
			in := v1.Namespace(namespace)
			parent.Namespace = &in
		}
		all = append(all, parent)
	}
	if all == nil {
		group, kind := v1.Group(""), v1.Kind("Service")
		all = []v1.ParentReference{{Group: &group, Kind: &kind, Name: v1.ObjectName(x.Name)}}
	}
	return all
}

func (x *exporting) backend(version string, weight *int32) v1.HTTPBackendRef {
	port := x.Port
	backend := v1.HTTPBackendRef{}
	backend.Name = v1.ObjectName(x.Services[version])
	backend.Port = &port
	backend.Weight = weight
	return backend
}

// filters name the version for the service.
func (x *exporting) filters(version string) []v1.HTTPRouteFilter {
	return []v1.HTTPRouteFilter{{Type: v1.HTTPRouteFilterRequestHeaderModifier,
		RequestHeaderModifier: &v1.HTTPHeaderFilter{
			Set: []v1.HTTPHeader{{Name: v1.HTTPHeaderName(x.plan.Header), Value: version}}}}}
}

func httpMatches(all []*routes.Match) []v1.HTTPRouteMatch {
	matches := make([]v1.HTTPRouteMatch, 0, len(all))
	for _, m := range all {
		matches = append(matches, httpMatch(m))
	}
	return matches
}

// httpMatch says a match.
func httpMatch(m *routes.Match) v1.HTTPRouteMatch {
	kind, path := v1.PathMatchPathPrefix, "/"
	if m.Path != nil {
		path = m.Path.Value
		if m.Path.Kind == routes.Exact {
			kind = v1.PathMatchExact
		}
	}
	match := v1.HTTPRouteMatch{Path: &v1.HTTPPathMatch{Type: &kind, Value: &path}}
	if m.Method != nil {
		method := v1.HTTPMethod(m.Method.Value)
		match.Method = &method
	}
	for name, text := range m.Headers {
		how, value := v1.HeaderMatchExact, text.Value
		if text.Kind != routes.Exact {
			how, value = v1.HeaderMatchRegularExpression, text.Expression()
		}
		match.Headers = append(match.Headers,
			v1.HTTPHeaderMatch{Type: &how, Name: v1.HTTPHeaderName(name), Value: value})
	}
	slices.SortFunc(match.Headers, func(a, b v1.HTTPHeaderMatch) int {
		return strings.Compare(string(a.Name), string(b.Name))
	})
	return match
}
