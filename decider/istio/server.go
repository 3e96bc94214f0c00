package istio

import (
	"encoding/json"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	mesh "istio.io/api/mesh/v1alpha1"
	alpha "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1"
	selector "istio.io/api/type/v1beta1"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"sigs.k8s.io/yaml"

	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/decider/manifest"
)

const securityVersion = "security.istio.io/v1"

// Server says how a gateway asks the decision server, `gray decide`.
type Server struct {
	// Address is the host and port of its gRPC endpoint in the cluster. Default:
	// gray-decide.gray-system.svc.cluster.local:2023.
	Address string
	// Provider names it in the mesh's configuration. Default: gray.
	Provider string
	// Timeout is how long a request waits for it; then the routes decide. Default: 200ms.
	Timeout time.Duration
	// Selector are the labels of the gateway's pods. Default: istio=ingressgateway.
	Selector map[string]string
	// Gateway names a Gateway of the Gateway API, in place of Selector.
	Gateway string
	// Namespace of the gateway, where what is about its pods must be. Default: that of the first
	// gateway, or else of the other objects.
	Namespace string
	// EnvoyFilter has an EnvoyFilter clear the route cache after the answer, for an Istio that
	// takes clearRouteCache of the provider and does not pass it on to Envoy, see NoteRouteCache.
	EnvoyFilter bool
}

// NoteRouteCache says what most Istios lack for the server's answer to decide.
const NoteRouteCache = "Istio takes `clearRouteCache` of the provider, but up to August 2026 at least it does not " +
	"pass it on to Envoy (istio/istio#61558), and then the answer decides nothing: --envoy-filter makes up for that"

func (s *Server) complete() error {
	s.Address = or(s.Address, "gray-decide.gray-system.svc.cluster.local:2023")
	s.Provider = or(s.Provider, "gray")
	if s.Timeout == 0 {
		s.Timeout = 200 * time.Millisecond
	}
	if s.Timeout < time.Millisecond {
		return fmt.Errorf("the time limit %s is too short: it is 1ms or more", s.Timeout)
	}
	if len(s.Selector) == 0 {
		s.Selector = map[string]string{"istio": "ingressgateway"}
	}
	_, _, err := s.split()
	return err
}

func (s *Server) split() (host string, port uint32, err error) {
	host, text, err := net.SplitHostPort(s.Address)
	number, wrong := strconv.ParseUint(text, 10, 16)
	if err != nil || wrong != nil || number == 0 || host == "" {
		return "", 0, fmt.Errorf("%s is not the host and port of a decision server", problem.Quote(s.Address))
	}
	return host, uint32(number), nil
}

// policy has the gateway ask the server about requests for the hosts. It allows whatever the
// server's own policy says: the server answers OK to every request.
func (s *Server) policy(hosts []string) *security.AuthorizationPolicy {
	policy := &security.AuthorizationPolicy{
		Action: security.AuthorizationPolicy_CUSTOM,
		ActionDetail: &security.AuthorizationPolicy_Provider{
			Provider: &security.AuthorizationPolicy_ExtensionProvider{Name: s.Provider}},
	}
	if s.Gateway != "" {
		policy.TargetRefs = []*selector.PolicyTargetReference{gatewayReference(s.Gateway)}
	} else {
		policy.Selector = &selector.WorkloadSelector{MatchLabels: s.Selector}
	}
	var asked []string
	for _, host := range hosts {
		if host == "*" {
			policy.Rules = []*security.Rule{{}}
			return policy
		}
		asked = append(asked, host)
		if !strings.HasPrefix(host, "*") { // an entry has a star at one end at most
			asked = append(asked, host+":*")
		}
	}
	policy.Rules = []*security.Rule{{To: []*security.Rule_To{{Operation: &security.Operation{Hosts: asked}}}}}
	return policy
}

// clearing has the gateway's ext_authz filters clear the route cache, by an EnvoyFilter.
func (s *Server) clearing() (*alpha.EnvoyFilter, error) {
	value, err := structpb.NewStruct(map[string]any{
		"name": "envoy.filters.http.ext_authz",
		"typed_config": map[string]any{
			"@type":             "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
			"clear_route_cache": true,
		},
	})
	if err != nil {
		return nil, err
	}
	filter := &alpha.EnvoyFilter{ConfigPatches: []*alpha.EnvoyFilter_EnvoyConfigObjectPatch{{
		ApplyTo: alpha.EnvoyFilter_HTTP_FILTER,
		Match: &alpha.EnvoyFilter_EnvoyConfigObjectMatch{Context: alpha.EnvoyFilter_GATEWAY,
			ObjectTypes: &alpha.EnvoyFilter_EnvoyConfigObjectMatch_Listener{
				Listener: &alpha.EnvoyFilter_ListenerMatch{FilterChain: &alpha.EnvoyFilter_ListenerMatch_FilterChainMatch{
					Filter: &alpha.EnvoyFilter_ListenerMatch_FilterMatch{
						Name:      "envoy.filters.network.http_connection_manager",
						SubFilter: &alpha.EnvoyFilter_ListenerMatch_SubFilterMatch{Name: "envoy.filters.http.ext_authz"},
					}}}}},
		Patch: &alpha.EnvoyFilter_Patch{Operation: alpha.EnvoyFilter_Patch_MERGE, Value: value},
	}}}
	if s.Gateway != "" {
		filter.TargetRefs = []*selector.PolicyTargetReference{gatewayReference(s.Gateway)}
	} else {
		filter.WorkloadSelector = &alpha.WorkloadSelector{Labels: s.Selector}
	}
	return filter, nil
}

func gatewayReference(name string) *selector.PolicyTargetReference {
	return &selector.PolicyTargetReference{Group: "gateway.networking.k8s.io", Kind: "Gateway", Name: name}
}

// NamespaceOf returns the namespace of a gateway that is named as namespace/name or name.
func NamespaceOf(gateways []string, otherwise string) string {
	if len(gateways) > 0 {
		if namespace, _, found := strings.Cut(gateways[0], "/"); found {
			return namespace
		}
	}
	return otherwise
}

// Objects have a gateway ask the server about requests for the hosts.
func (s *Server) Objects(name, namespace string, hosts []string) ([]*manifest.Object, error) {
	if err := s.complete(); err != nil {
		return nil, err
	}
	meta := manifest.Metadata{Name: name, Namespace: namespace}
	spec, err := marshal(s.policy(hosts))
	if err != nil {
		return nil, err
	}
	all := []*manifest.Object{{APIVersion: securityVersion, Kind: "AuthorizationPolicy", Spec: spec, Metadata: meta}}
	if s.EnvoyFilter {
		filter, err := s.clearing()
		if err != nil {
			return nil, err
		}
		if spec, err = marshal(filter); err != nil {
			return nil, err
		}
		all = append(all, &manifest.Object{APIVersion: "networking.istio.io/v1alpha3", Kind: "EnvoyFilter", Spec: spec,
			Metadata: meta})
	}
	return all, nil
}

// Mesh returns the part of the mesh's configuration that names the server, as YAML.
func (s *Server) Mesh() (string, error) {
	if err := s.complete(); err != nil {
		return "", err
	}
	return s.mesh()
}

func (s *Server) mesh() (string, error) {
	host, port, err := s.split()
	if err != nil {
		return "", err
	}
	text, err := marshal(&mesh.MeshConfig_ExtensionProvider{
		Name: s.Provider,
		Provider: &mesh.MeshConfig_ExtensionProvider_EnvoyExtAuthzGrpc{
			EnvoyExtAuthzGrpc: &mesh.MeshConfig_ExtensionProvider_EnvoyExternalAuthorizationGrpcProvider{
				Service: host, Port: port, Timeout: durationpb.New(s.Timeout), FailOpen: true, ClearRouteCache: true,
			}},
	})
	if err != nil {
		return "", err
	}
	all, err := yaml.Marshal(map[string]any{"meshConfig": map[string]any{
		"extensionProviders": []json.RawMessage{text}}})
	return string(all), err
}
