package istio

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/decider/manifest"
	"github.com/grayrelease/gray/decider/routes"
)

// ImportOptions say what of the manifests is read.
type ImportOptions struct {
	// Name of the VirtualService, or namespace/name. Default: the only one.
	Name string
	// Stable is the version served when no rule matches. Default: what Export noted, or the version
	// with the largest weight in the route that matches everything.
	Stable string
	// Label of pods that tells versions apart. Default: version.
	Label string
}

// Import is a policy that was read.
type Import struct {
	Policy *core.Policy
	// Findings are the parts that the policy does not say.
	Findings []routes.Finding
}

// NewImport reads a policy from VirtualServices and DestinationRules, as YAML or JSON.
func NewImport(text []byte, o ImportOptions) (*Import, error) {
	o.Label = or(o.Label, "version")
	objects, err := manifest.Read(text)
	if err != nil {
		return nil, err
	}
	in := &importing{options: o}
	service, err := in.choose(objects)
	if err != nil {
		return nil, err
	}
	given, err := in.read(service)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", service, err)
	}
	policy, findings, err := routes.Read(given)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", service, err)
	}
	return &Import{Policy: policy, Findings: append(in.findings, findings...)}, nil
}

// importing is a VirtualService on its way into a policy.
type importing struct {
	options  ImportOptions
	rules    []*networking.DestinationRule
	objects  []*manifest.Object // of rules
	findings []routes.Finding
	places   []place // that routes lead to
	names    []string
	header   string // that names the version
}

// place is where a destination leads.
type place struct{ host, subset string }

func (in *importing) find(path, format string, args ...any) {
	in.findings = append(in.findings, routes.Finding{Path: path, Message: fmt.Sprintf(format, args...)})
}

// choose returns the one VirtualService that is meant, and notes all DestinationRules.
func (in *importing) choose(objects []*manifest.Object) (*manifest.Object, error) {
	var found []*manifest.Object
	for _, o := range objects {
		switch {
		case o.Group() != "networking.istio.io":
		case o.Kind == "VirtualService":
			name := o.Metadata.Name
			if in.options.Name == "" || in.options.Name == name || in.options.Name == o.Metadata.Namespace+"/"+name {
				found = append(found, o)
			}
		case o.Kind == "DestinationRule":
			rule := &networking.DestinationRule{}
			if err := in.unmarshal(o, rule); err != nil {
				return nil, err
			}
			in.rules = append(in.rules, rule)
			in.objects = append(in.objects, o)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) == 0 && in.options.Name != "":
		return nil, fmt.Errorf("there is no VirtualService %s", problem.Quote(in.options.Name))
	case len(found) == 0:
		return nil, errors.New("there is no VirtualService")
	}
	names := make([]string, 0, len(found))
	for _, o := range found {
		names = append(names, o.String())
	}
	return nil, fmt.Errorf("there are several VirtualServices, name one of them: %s", strings.Join(names, ", "))
}

// unmarshal reads an object's spec. A field that this version of Istio's API does not have is
// noted.
func (in *importing) unmarshal(o *manifest.Object, into proto.Message) error {
	if len(o.Spec) == 0 {
		return fmt.Errorf("%s has no spec", o)
	}
	err := protojson.Unmarshal(o.Spec, into)
	if err == nil {
		return nil
	}
	proto.Reset(into)
	if tolerant := (protojson.UnmarshalOptions{DiscardUnknown: true}); tolerant.Unmarshal(o.Spec, into) != nil {
		return fmt.Errorf("%s: %w", o, err)
	}
	in.find("", "%s has fields that this version of Istio's API does not know: %v", o, err)
	return nil
}

// read reads a VirtualService.
func (in *importing) read(o *manifest.Object) (*routes.Given, error) {
	service := &networking.VirtualService{}
	if err := in.unmarshal(o, service); err != nil {
		return nil, err
	}
	in.unsaid("", service, "hosts", "http", "gateways")
	if len(service.GetGateways()) > 0 {
		in.find("gateways", "a policy is for the gateway that has it")
	}
	if len(service.Http) == 0 {
		return nil, errors.New("it has no HTTP routes")
	}
	if err := in.versions(service); err != nil {
		return nil, err
	}
	given := &routes.Given{
		Service:  or(o.Metadata.Annotations[annotationService], shortHost(in.places[0].host)),
		Stable:   or(in.options.Stable, o.Metadata.Annotations[annotationStable]),
		Versions: slices.Clone(in.names),
		Missing:  "404 from Istio",
	}
	in.addUnrouted(given)
	in.rest()
	for i, route := range service.Http {
		if in.isDecided(route) {
			in.find(problem.Index("http", i), "goes by what the decision server said: its rules are in the server's policy")
			continue
		}
		given.Routes = append(given.Routes, in.route(i, route))
	}
	return given, nil
}

// versions names the places that routes lead to.
func (in *importing) versions(service *networking.VirtualService) error {
	bySubset := map[string]string{} // host by subset, "" for several
	for _, route := range service.Http {
		for _, to := range route.GetRoute() {
			p := place{to.GetDestination().GetHost(), to.GetDestination().GetSubset()}
			if slices.Contains(in.places, p) {
				continue
			}
			in.places = append(in.places, p)
			if host, seen := bySubset[p.subset]; seen && host != p.host {
				bySubset[p.subset] = ""
			} else if !seen {
				bySubset[p.subset] = p.host
			}
		}
	}
	if len(in.places) == 0 {
		return errors.New("none of its routes leads to a service")
	}
	for _, p := range in.places {
		name := in.labelOf(p)
		if slices.Contains(in.names, name) {
			name = p.subset // two subsets of one version
		}
		switch {
		case p.subset == "":
			name = shortHost(p.host)
		case bySubset[p.subset] == "":
			name = shortHost(p.host) + "-" + name
		}
		if slices.Contains(in.names, name) {
			return fmt.Errorf("two destinations would both be version %s: %s and another", problem.Quote(name),
				problem.Quote(p.host))
		}
		in.names = append(in.names, name)
	}
	return nil
}

// labelOf returns the value of the version label that a subset selects by, or the subset's name.
func (in *importing) labelOf(p place) string {
	for _, rule := range in.rules {
		if shortHost(rule.GetHost()) != shortHost(p.host) {
			continue
		}
		for _, subset := range rule.GetSubsets() {
			if value := subset.GetLabels()[in.options.Label]; subset.GetName() == p.subset && value != "" {
				return value
			}
		}
	}
	return p.subset
}

// addUnrouted adds the subsets that no route leads to.
func (in *importing) addUnrouted(given *routes.Given) {
	for _, p := range in.places[:len(in.places):len(in.places)] {
		for _, rule := range in.rules {
			if shortHost(rule.GetHost()) != shortHost(p.host) || p.subset == "" {
				continue
			}
			for _, subset := range rule.GetSubsets() {
				name := in.labelOf(place{p.host, subset.GetName()})
				isRouted := slices.Contains(in.places, place{p.host, subset.GetName()})
				if !isRouted && !slices.Contains(given.Versions, name) {
					given.Versions = append(given.Versions, name)
				}
			}
		}
	}
}

// rest notes what else the DestinationRules of the service say.
func (in *importing) rest() {
	for i, rule := range in.rules {
		isOurs := slices.ContainsFunc(in.places, func(p place) bool { return shortHost(p.host) == shortHost(rule.GetHost()) })
		if !isOurs {
			continue
		}
		path := in.objects[i].String()
		in.unsaid(path, rule, "host", "subsets")
		for k, subset := range rule.GetSubsets() {
			in.unsaid(problem.Index(path+" subsets", k), subset, "name", "labels")
			for _, label := range slices.Sorted(maps.Keys(subset.GetLabels())) {
				if label != in.options.Label {
					in.find(problem.Index(path+" subsets", k)+".labels", "label %s does not make a version", problem.Quote(label))
				}
			}
		}
	}
}

// shortHost is the first label of a host, or its address.
func shortHost(host string) string {
	label, _, _ := strings.Cut(host, ".")
	if label == "*" || strings.Trim(label, "0123456789") == "" || strings.Contains(label, ":") {
		return strings.NewReplacer("*", "any", ":", "-").Replace(host)
	}
	return label
}

// isDecided reports whether a route is one that Export wrote for the server's answers.
func (in *importing) isDecided(route *networking.HTTPRoute) bool {
	if len(route.GetMatch()) != 1 || len(route.GetRoute()) != 1 || !strings.HasPrefix(route.GetName(), decidedPrefix) {
		return false
	}
	version := in.versionOf(route.GetRoute()[0].GetDestination())
	for name, text := range route.GetMatch()[0].GetHeaders() {
		if text.GetExact() != version || len(route.GetMatch()[0].GetHeaders()) != 1 {
			return false
		}
		in.header = name
	}
	return in.header != ""
}

func (in *importing) versionOf(to *networking.Destination) string {
	return in.names[slices.Index(in.places, place{to.GetHost(), to.GetSubset()})]
}

// route reads a route.
func (in *importing) route(i int, route *networking.HTTPRoute) routes.GivenRoute {
	path := problem.Index("http", i)
	given := routes.GivenRoute{Path: path, Name: route.GetName()}
	in.unsaid(path, route, "name", "match", "route", "redirect", "directResponse", "delegate", "headers")
	if route.GetRedirect() != nil || route.GetDirectResponse() != nil || route.GetDelegate() != nil {
		in.findings = append(in.findings, routes.Finding{Path: path, LeftOut: true,
			Message: "a redirect, a direct response or a delegate serves these requests, and no version: the route is left out"})
	}
	in.headers(path, route.GetHeaders(), "")
	for k, match := range route.GetMatch() {
		given.Matches = append(given.Matches, in.match(problem.Index(path+".match", k), match))
	}
	for k, to := range route.GetRoute() {
		version := in.versionOf(to.GetDestination())
		in.headers(problem.Index(path+".route", k), to.GetHeaders(), version)
		weight := to.GetWeight()
		if len(route.GetRoute()) == 1 {
			weight = 1
		}
		given.Shares = append(given.Shares, routes.Share{Version: version, Weight: uint32(max(weight, 0))})
	}
	return given
}

// headers notes the operations on headers, except that the version is named.
func (in *importing) headers(path string, h *networking.Headers, version string) {
	if h == nil {
		return
	}
	request := h.GetRequest()
	set := request.GetSet()
	isOwn := version != "" && len(set) == 1 && len(request.GetAdd()) == 0 && len(request.GetRemove()) == 0 &&
		h.GetResponse() == nil
	for _, value := range set {
		isOwn = isOwn && value == version
	}
	if !isOwn {
		in.find(path+".headers", "a policy changes no headers but the one that names the version")
	}
}

// match reads one alternative of a route.
func (in *importing) match(path string, match *networking.HTTPMatchRequest) routes.GivenMatch {
	m := &routes.Match{}
	given := routes.GivenMatch{Path: path, Match: m}
	refuse := func(format string, args ...any) {
		if given.Refused == "" {
			given.Refused = fmt.Sprintf(format, args...) + ": the rule is left out"
		}
	}
	in.unsaid(path, match, "name", "uri", "method", "authority", "headers", "withoutHeaders", "queryParams",
		"ignoreUriCase", "scheme", "port", "sourceLabels", "sourceNamespace", "gateways")
	m.Path, m.Method, m.Authority = onLine(match.GetUri()), onLine(match.GetMethod()), onLine(match.GetAuthority())
	if match.GetIgnoreUriCase() && m.Path != nil && m.Path.Kind != routes.Regex {
		m.Path = &routes.Text{Kind: routes.Regex, Value: "(?i)" + m.Path.Expression()}
	}
	m.Headers, m.Without = map[string]*routes.Text{}, map[string]*routes.Text{}
	m.Query = map[string]*routes.Text{}
	for _, part := range []struct {
		name string
		from map[string]*networking.StringMatch
		to   map[string]*routes.Text
	}{{"headers", match.GetHeaders(), m.Headers}, {"withoutHeaders", match.GetWithoutHeaders(), m.Without},
		{"queryParams", match.GetQueryParams(), m.Query}} {
		for _, name := range slices.Sorted(maps.Keys(part.from)) {
			lower := name
			if part.name != "queryParams" {
				lower = strings.ToLower(name)
			}
			if strings.HasPrefix(lower, "@request.auth.") {
				refuse("%s: a claim needs `jwt`, which says how tokens are verified", problem.Quote(name))
				continue
			}
			if part.to[lower] != nil {
				refuse("%s is there twice", problem.Quote(name))
			}
			part.to[lower] = read(part.from[name])
		}
	}
	if match.GetScheme() != nil {
		refuse("scheme is no attribute of conditions")
	}
	if match.GetPort() != 0 {
		refuse("port is no attribute of conditions")
	}
	if match.GetSourceNamespace() != "" {
		refuse("sourceNamespace: gray does not know who calls")
	}
	if len(match.GetGateways()) > 0 {
		refuse("gateways: a policy is for the gateway that has it; make a policy for each")
	}
	for _, label := range slices.Sorted(maps.Keys(match.GetSourceLabels())) {
		if label != in.options.Label {
			refuse("sourceLabels: gray does not know the labels of who calls")
			continue
		}
		// Version v2 of a service calls v2 of the next: that is what the baggage member says.
		m.Baggage = map[string]*routes.Text{"gray": {Kind: routes.Exact, Value: match.GetSourceLabels()[label]}}
		in.find(path+".sourceLabels", "read as the version that the baggage of the call names, which counts from peers "+
			"in `trust` alone")
	}
	return given
}

// read reads a text. nil and an empty one are that there is a value.
func read(from *networking.StringMatch) *routes.Text {
	switch text := from.GetMatchType().(type) {
	case *networking.StringMatch_Exact:
		return &routes.Text{Kind: routes.Exact, Value: text.Exact}
	case *networking.StringMatch_Prefix:
		return &routes.Text{Kind: routes.Prefix, Value: text.Prefix}
	case *networking.StringMatch_Regex:
		if text.Regex != "*" { // by which Istio means any value
			return routes.Expression(text.Regex)
		}
	}
	return &routes.Text{Kind: routes.Present}
}

// onLine reads a text about the request line, where there always is a value.
func onLine(from *networking.StringMatch) *routes.Text {
	if text := read(from); text.Kind != routes.Present {
		return text
	}
	return nil
}

// unsaid notes the fields of a message that are set and not among those that are read.
func (in *importing) unsaid(path string, message proto.Message, known ...string) {
	var names []string
	message.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		if name := field.JSONName(); !slices.Contains(known, name) {
			names = append(names, name)
		}
		return true
	})
	slices.Sort(names)
	for _, name := range names {
		at := problem.Field(path, name)
		if strings.Contains(path, " ") { // of another object
			at = path + " " + name
		}
		in.find(at, "a policy does not say this: it stays Istio's")
	}
}
