// Package istio says a policy in Istio's words, and reads what those words say.
//
// Export writes a DestinationRule, which has a subset for each version, and a VirtualService. What
// a VirtualService cannot say is decided by the decision server: an AuthorizationPolicy has the
// gateway ask it by ext_authz, and routes go by the header that its answer sets.
package istio

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	networking "istio.io/api/networking/v1"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/decider/manifest"
	"github.com/grayrelease/gray/decider/routes"
)

// Annotations by which Import finds what a VirtualService has no field for.
const (
	annotationService = manifest.AnnotationService
	annotationStable  = manifest.AnnotationStable
)

// networkingVersion is the API version of what is written. Older ones are read too.
const networkingVersion = "networking.istio.io/v1"

// Options say where in a mesh a policy holds.
type Options struct {
	// Name of the objects. Default: the policy's service, as a DNS label.
	Name string
	// Namespace of the objects. Default: none is written.
	Namespace string
	// Service is the host of the Kubernetes service whose pods are the versions. Default: Name.
	Service string
	// Port of that service. 0: its only one.
	Port uint32
	// Hosts are those that callers ask for. Default: Service.
	Hosts []string
	// Gateways that the routes are for, as namespace/name, or mesh for calls between services.
	// Default: the mesh.
	Gateways []string
	// Label of pods that tells versions apart. Default: version.
	Label string
	// Weights has percentages become weights. A weight is drawn for each request. Otherwise they
	// are the decision server's.
	Weights bool
	// Server says how the decision server is asked.
	Server Server
}

// Export is a policy in Istio's words.
type Export struct {
	*routes.Plan
	// Objects are for kubectl apply.
	Objects []*manifest.Object
	// Mesh is the part of the mesh's configuration that the objects need, as YAML; "" if they need
	// none.
	Mesh string
}

// NewExport writes a policy in Istio's words.
func NewExport(e *core.Engine, o Options) (*Export, error) {
	if err := o.complete(e); err != nil {
		return nil, err
	}
	plan, err := routes.Compile(e, routes.Options{Weights: o.Weights})
	if err != nil {
		return nil, err
	}
	x := &exporting{Options: o, plan: plan}
	if x.subsets, err = subsets(plan.Versions); err != nil {
		return nil, err
	}
	out := &Export{Plan: plan}
	x.add(out, networkingVersion, "DestinationRule", o.Name, x.destinationRule())
	x.add(out, networkingVersion, "VirtualService", o.Name, x.virtualService())
	if plan.AsksServer {
		if len(o.Gateways) == 0 {
			plan.Notes = append(plan.Notes, "only gateways ask the decision server before they route: "+
				"name the gateway, or calls go by the "+plan.Header+" that they bring")
		}
		namespace := or(o.Server.Namespace, NamespaceOf(o.Gateways, o.Namespace))
		asking, err := o.Server.Objects(o.Name+"-gray", namespace, o.Hosts)
		if err != nil {
			return nil, err
		}
		out.Objects = append(out.Objects, asking...)
		if out.Mesh, err = o.Server.mesh(); err != nil {
			return nil, err
		}
		if !o.Server.EnvoyFilter {
			plan.Notes = append(plan.Notes, NoteRouteCache)
		}
	}
	return out, x.err
}

// complete checks options and fills in defaults.
func (o *Options) complete(e *core.Engine) error {
	if o.Name == "" {
		o.Name = manifest.LabelName(e.Service())
	}
	if o.Name == "" || manifest.LabelName(o.Name) != o.Name {
		return fmt.Errorf("%s is not a name that Kubernetes takes: give one of a-z 0-9 -", problem.Quote(o.Name))
	}
	o.Service = or(o.Service, o.Name)
	o.Label = or(o.Label, "version")
	if len(o.Hosts) == 0 {
		o.Hosts = []string{o.Service}
	}
	return o.Server.complete()
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// labelValue matches what Kubernetes takes as the value of a label.
var labelValue = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$`)

// subsets returns the name of each version's subset, which is a DNS label.
func subsets(versions []string) (map[string]string, error) {
	names := map[string]string{}
	taken := map[string]string{}
	for _, version := range versions {
		name := manifest.LabelName(version)
		if !labelValue.MatchString(version) || name == "" {
			return nil, fmt.Errorf("version %s is not a value that a label of Kubernetes may have: it begins and ends "+
				"with a letter or a digit", problem.Quote(version))
		}
		if other, found := taken[name]; found {
			return nil, fmt.Errorf("versions %s and %s would both be the subset %s: rename one of them",
				problem.Quote(other), problem.Quote(version), name)
		}
		taken[name] = version
		names[version] = name
	}
	return names, nil
}

// exporting is a plan on its way into objects.
type exporting struct {
	Options
	plan    *routes.Plan
	subsets map[string]string
	err     error
}

// add adds an object of a spec.
func (x *exporting) add(to *Export, version, kind, name string, spec proto.Message) {
	text, err := marshal(spec)
	if err != nil {
		x.err = errors.Join(x.err, err)
		return
	}
	o := &manifest.Object{APIVersion: version, Kind: kind, Spec: text,
		Metadata: manifest.Metadata{Name: name, Namespace: x.Namespace}}
	if kind == "VirtualService" {
		o.Metadata.Annotations = map[string]string{
			annotationService: x.plan.Policy.Service, annotationStable: x.plan.Policy.Stable}
	}
	to.Objects = append(to.Objects, o)
}

// marshal writes a message as JSON in one form; protojson adds spaces at random.
func marshal(message proto.Message) (json.RawMessage, error) {
	text, err := protojson.Marshal(message)
	if err != nil {
		return nil, err
	}
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		return nil, err
	}
	return json.Marshal(value)
}

func (x *exporting) destinationRule() *networking.DestinationRule {
	rule := &networking.DestinationRule{Host: x.Service}
	for _, version := range x.plan.Versions {
		rule.Subsets = append(rule.Subsets, &networking.Subset{
			Name: x.subsets[version], Labels: map[string]string{x.Label: version}})
	}
	return rule
}

func (x *exporting) virtualService() *networking.VirtualService {
	service := &networking.VirtualService{Hosts: x.Hosts, Gateways: x.Gateways}
	if x.plan.AsksServer {
		for _, version := range x.plan.Versions {
			decided := &routes.Text{Kind: routes.Exact, Value: version}
			service.Http = append(service.Http, &networking.HTTPRoute{
				Name:  decidedPrefix + version,
				Match: []*networking.HTTPMatchRequest{{Headers: headers(strings.ToLower(x.plan.Header), decided)}},
				Route: []*networking.HTTPRouteDestination{{Destination: x.destination(version)}},
			})
		}
	}
	for _, r := range x.plan.Routes {
		service.Http = append(service.Http, x.route(r))
	}
	return service
}

// decidedPrefix begins the names of routes that go by what the decision server said.
const decidedPrefix = "decided: "

func headers(name string, text *routes.Text) map[string]*networking.StringMatch {
	return map[string]*networking.StringMatch{name: stringMatch(text)}
}

func (x *exporting) route(r routes.Route) *networking.HTTPRoute {
	route := &networking.HTTPRoute{Name: r.Name}
	if !r.Match.IsAny() {
		route.Match = []*networking.HTTPMatchRequest{requestMatch(r.Match)}
	}
	for _, share := range r.Shares {
		to := &networking.HTTPRouteDestination{
			Destination: x.destination(share.Version),
			Headers: &networking.Headers{Request: &networking.Headers_HeaderOperations{
				Set: map[string]string{x.plan.Header: share.Version}}},
		}
		if len(r.Shares) > 1 {
			to.Weight = int32(share.Weight)
		}
		route.Route = append(route.Route, to)
	}
	return route
}

func (x *exporting) destination(version string) *networking.Destination {
	to := &networking.Destination{Host: x.Service, Subset: x.subsets[version]}
	if x.Port != 0 {
		to.Port = &networking.PortSelector{Number: x.Port}
	}
	return to
}

// requestMatch says a match.
func requestMatch(m *routes.Match) *networking.HTTPMatchRequest {
	request := &networking.HTTPMatchRequest{
		Uri: optional(m.Path), Method: optional(m.Method), Authority: optional(m.Authority)}
	for name, text := range m.Headers {
		if request.Headers == nil {
			request.Headers = map[string]*networking.StringMatch{}
		}
		request.Headers[name] = stringMatch(text)
	}
	for name, text := range m.Without {
		if request.WithoutHeaders == nil {
			request.WithoutHeaders = map[string]*networking.StringMatch{}
		}
		request.WithoutHeaders[name] = stringMatch(text)
	}
	return request
}

func optional(t *routes.Text) *networking.StringMatch {
	if t == nil {
		return nil
	}
	return stringMatch(t)
}

// stringMatch says a text. Without a type it is that the value exists.
func stringMatch(t *routes.Text) *networking.StringMatch {
	switch t.Kind {
	case routes.Exact:
		return &networking.StringMatch{MatchType: &networking.StringMatch_Exact{Exact: t.Value}}
	case routes.Prefix:
		return &networking.StringMatch{MatchType: &networking.StringMatch_Prefix{Prefix: t.Value}}
	case routes.Present:
		return &networking.StringMatch{}
	}
	return &networking.StringMatch{MatchType: &networking.StringMatch_Regex{Regex: t.Expression()}}
}
