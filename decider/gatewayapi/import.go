package gatewayapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	v1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/decider/manifest"
	"github.com/grayrelease/gray/decider/routes"
)

// ImportOptions say what of the manifests is read.
type ImportOptions struct {
	// Name of the HTTPRoute, or namespace/name. Default: the only one.
	Name string
	// Stable is the version served when no rule matches. Default: what Export noted, or the version
	// with the largest weight in the rule that matches everything.
	Stable string
}

// Import is a policy that was read.
type Import struct {
	Policy *core.Policy
	// Findings are the parts that the policy does not say.
	Findings []routes.Finding
}

// NewImport reads a policy from an HTTPRoute, as YAML or JSON.
func NewImport(text []byte, o ImportOptions) (*Import, error) {
	objects, err := manifest.Read(text)
	if err != nil {
		return nil, err
	}
	route, err := choose(objects, o.Name)
	if err != nil {
		return nil, err
	}
	in := &importing{options: o, object: route, backends: map[string]string{}}
	given, err := in.read()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", route, err)
	}
	policy, findings, err := routes.Read(given)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", route, err)
	}
	return &Import{Policy: policy, Findings: append(in.findings, findings...)}, nil
}

// choose returns the one HTTPRoute that is meant.
func choose(objects []*manifest.Object, name string) (*manifest.Object, error) {
	var found []*manifest.Object
	names := ""
	for _, o := range objects {
		if o.Group() != "gateway.networking.k8s.io" || o.Kind != "HTTPRoute" {
			continue
		}
		if name == "" || name == o.Metadata.Name || name == o.Metadata.Namespace+"/"+o.Metadata.Name {
			found = append(found, o)
			names += ", " + o.String()
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) == 0 && name != "":
		return nil, fmt.Errorf("there is no HTTPRoute %s", problem.Quote(name))
	case len(found) == 0:
		return nil, errors.New("there is no HTTPRoute")
	}
	return nil, fmt.Errorf("there are several HTTPRoutes, name one of them: %s", names[2:])
}

// importing is an HTTPRoute on its way into a policy.
type importing struct {
	options  ImportOptions
	object   *manifest.Object
	spec     v1.HTTPRouteSpec
	backends map[string]string // version by backend
	findings []routes.Finding
}

func (in *importing) find(path, message string) {
	in.findings = append(in.findings, routes.Finding{Path: path, Message: message})
}

// read reads the HTTPRoute.
func (in *importing) read() (*routes.Given, error) {
	if len(in.object.Spec) == 0 {
		return nil, errors.New("it has no spec")
	}
	strict := json.NewDecoder(bytes.NewReader(in.object.Spec))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&in.spec); err != nil {
		in.spec = v1.HTTPRouteSpec{}
		if json.Unmarshal(in.object.Spec, &in.spec) != nil {
			return nil, err
		}
		in.find("", fmt.Sprintf("it has fields that this version of the Gateway API does not know: %v", err))
	}
	noted := in.object.Metadata.Annotations
	given := &routes.Given{
		Service: noted[annotationService], Stable: in.options.Stable, Missing: "404 from the gateway",
	}
	if given.Stable == "" {
		given.Stable = noted[annotationStable]
	}
	if given.Service == "" {
		given.Service = in.object.Metadata.Name
	}
	if err := in.versions(given); err != nil {
		return nil, err
	}
	names := map[string]string{}
	_ = json.Unmarshal([]byte(noted[annotationRules]), &names)
	var rules []routes.GivenRoute
	for i := range in.spec.Rules {
		path := problem.Index("rules", i)
		if in.isDecided(&in.spec.Rules[i]) {
			in.find(path, "goes by what the decision server said: its rules are in the server's policy")
			continue
		}
		rule := in.rule(path, &in.spec.Rules[i])
		if name, renamed := names[rule.Name]; renamed {
			rule.Name = name
		}
		rules = append(rules, rule)
	}
	given.Routes = inTurn(rules)
	return given, nil
}

// versions names the backends.
func (in *importing) versions(given *routes.Given) error {
	var names []string
	for _, rule := range in.spec.Rules {
		for _, backend := range rule.BackendRefs {
			if name := in.backendName(&backend); !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	if len(names) == 0 {
		return errors.New("none of its rules leads to a service")
	}
	services := map[string]string{}
	_ = json.Unmarshal([]byte(in.object.Metadata.Annotations[annotationVersions]), &services)
	noted := map[string]string{}
	for version, service := range services {
		noted[service] = version
	}
	common := commonStart(names)
	for _, name := range names {
		version := name
		if len(names) > 1 && common != "" {
			version = strings.TrimPrefix(name, common)
		}
		if known, isNoted := noted[name]; isNoted {
			version = known
		}
		in.backends[name] = version
		if slices.Contains(given.Versions, version) {
			return fmt.Errorf("two services would both be version %s: %s and another", problem.Quote(version),
				problem.Quote(name))
		}
		given.Versions = append(given.Versions, version)
	}
	for version := range services {
		if !slices.Contains(given.Versions, version) {
			given.Versions = append(given.Versions, version)
		}
	}
	return nil
}

func (in *importing) backendName(backend *v1.HTTPBackendRef) string {
	name := string(backend.Name)
	if backend.Namespace != nil && string(*backend.Namespace) != in.object.Metadata.Namespace {
		name = string(*backend.Namespace) + "." + name
	}
	return name
}

// commonStart is what all names begin with, up to a dash.
func commonStart(names []string) string {
	common := names[0]
	for _, name := range names[1:] {
		for !strings.HasPrefix(name, common) {
			common = common[:len(common)-1]
		}
	}
	return common[:strings.LastIndex(common, "-")+1]
}

// isDecided reports whether a rule is one that Export wrote for the server's answers.
func (in *importing) isDecided(rule *v1.HTTPRouteRule) bool {
	if rule.Name == nil || !strings.HasPrefix(string(*rule.Name), decidedPrefix) || len(rule.BackendRefs) != 1 {
		return false
	}
	version := in.backends[in.backendName(&rule.BackendRefs[0])]
	return len(rule.Matches) > 0 && len(rule.Matches[0].Headers) == 1 && rule.Matches[0].Headers[0].Value == version
}

// rule reads a rule.
func (in *importing) rule(path string, rule *v1.HTTPRouteRule) routes.GivenRoute {
	given := routes.GivenRoute{Path: path}
	if rule.Name != nil {
		given.Name = string(*rule.Name)
	}
	for name, isThere := range map[string]bool{"timeouts": rule.Timeouts != nil, "retry": rule.Retry != nil,
		"sessionPersistence": rule.SessionPersistence != nil} {
		if isThere {
			in.find(path+"."+name, "a policy does not say this: it stays the gateway's")
		}
	}
	versions := map[string]bool{}
	for k := range rule.BackendRefs {
		backend := &rule.BackendRefs[k]
		version := in.backends[in.backendName(backend)]
		versions[version] = true
		weight := uint32(1)
		if backend.Weight != nil {
			weight = uint32(max(*backend.Weight, 0))
		}
		given.Shares = append(given.Shares, routes.Share{Version: version, Weight: weight})
		in.filters(problem.Index(path+".backendRefs", k), backend.Filters, map[string]bool{version: true})
		if backend.Kind != nil && *backend.Kind != "Service" {
			in.find(problem.Index(path+".backendRefs", k), "read as if it were a Service")
		}
	}
	if in.filters(path, rule.Filters, versions) {
		given.Shares = nil
		in.findings = append(in.findings, routes.Finding{Path: path, LeftOut: true,
			Message: "a redirect serves these requests, and no version: the rule is left out"})
	}
	for k := range rule.Matches {
		given.Matches = append(given.Matches, in.match(problem.Index(path+".matches", k), &rule.Matches[k]))
	}
	return given
}

// filters notes the filters, except that one names the version. It reports whether one redirects.
func (in *importing) filters(path string, filters []v1.HTTPRouteFilter, versions map[string]bool) bool {
	redirects := false
	for k, filter := range filters {
		if filter.RequestHeaderModifier != nil {
			m := filter.RequestHeaderModifier
			if len(m.Set) == 1 && len(m.Add)+len(m.Remove) == 0 && len(versions) == 1 && versions[m.Set[0].Value] {
				continue
			}
		}
		if filter.RequestRedirect != nil {
			redirects = true
			continue
		}
		in.find(problem.Index(path+".filters", k), "a policy does not say this: it stays the gateway's")
	}
	return redirects
}

// match reads a match.
func (in *importing) match(path string, match *v1.HTTPRouteMatch) routes.GivenMatch {
	m := &routes.Match{Headers: map[string]*routes.Text{}, Query: map[string]*routes.Text{}}
	given := routes.GivenMatch{Path: path, Match: m}
	if match.Path != nil && match.Path.Value != nil {
		m.Path = pathText(match.Path)
	}
	if match.Method != nil {
		m.Method = &routes.Text{Kind: routes.Exact, Value: string(*match.Method)}
	}
	for _, header := range match.Headers {
		name := strings.ToLower(string(header.Name))
		if m.Headers[name] != nil {
			in.find(path+".headers", problem.Quote(name)+" is there twice, and the first counts")
			continue
		}
		isExpression := header.Type != nil && *header.Type == v1.HeaderMatchRegularExpression
		m.Headers[name] = textFor(isExpression, header.Value)
	}
	for _, parameter := range match.QueryParams {
		name := string(parameter.Name)
		if m.Query[name] == nil {
			isExpression := parameter.Type != nil && *parameter.Type == v1.QueryParamMatchRegularExpression
			m.Query[name] = textFor(isExpression, parameter.Value)
		}
	}
	return given
}

func textFor(isExpression bool, value string) *routes.Text {
	switch {
	case isExpression && value == ".*":
		return &routes.Text{Kind: routes.Present}
	case isExpression:
		return routes.Expression(value)
	}
	return &routes.Text{Kind: routes.Exact, Value: value}
}

// pathText reads a path, nil if it is every one.
func pathText(path *v1.HTTPPathMatch) *routes.Text {
	value := *path.Value
	switch {
	case path.Type != nil && *path.Type == v1.PathMatchExact:
		return &routes.Text{Kind: routes.Exact, Value: value}
	case path.Type != nil && *path.Type == v1.PathMatchRegularExpression:
		return &routes.Text{Kind: routes.Regex, Value: value}
	}
	value = strings.TrimRight(value, "/")
	if value == "" {
		return nil
	}
	return &routes.Text{Kind: routes.Segments, Value: value}
}

// inTurn returns the rules in the order in which they decide. If the first match of each would make
// the others, as Export writes them, that is the order that they have.
func inTurn(rules []routes.GivenRoute) []routes.GivenRoute {
	var first []*routes.Match
	for _, rule := range rules {
		if len(rule.Matches) == 0 {
			first = append(first, &routes.Match{})
			continue
		}
		first = append(first, rule.Matches[0].Match)
	}
	if made, reason := inOrder(first); reason == "" && slices.EqualFunc(rules, made, isMade) {
		for i := range rules {
			if len(rules[i].Matches) > 1 {
				rules[i].Matches = rules[i].Matches[:1]
			}
		}
		return rules
	}
	var all []routes.GivenRoute
	for _, rule := range rules {
		if len(rule.Matches) == 0 {
			rule.Matches = []routes.GivenMatch{{Path: rule.Path, Match: &routes.Match{}}}
		}
		for _, m := range rule.Matches {
			one := rule
			one.Matches = []routes.GivenMatch{m}
			all = append(all, one)
		}
	}
	slices.SortStableFunc(all, func(a, b routes.GivenRoute) int {
		return compareRanks(b.Matches[0].Match, a.Matches[0].Match)
	})
	return all
}

// isMade reports whether a rule has the matches that inOrder made.
func isMade(rule routes.GivenRoute, made []*routes.Match) bool {
	if len(rule.Matches) == 0 {
		return len(made) == 1
	}
	return slices.EqualFunc(rule.Matches, made, func(m routes.GivenMatch, n *routes.Match) bool {
		return m.Match.Equal(n)
	})
}
