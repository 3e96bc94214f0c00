package main

import (
	"encoding/json"

	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	meshconfig "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"
	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/pkg/networking/core"
	"istio.io/istio/pilot/pkg/networking/core/envoyfilter"
	"istio.io/istio/pilot/pkg/security/authz/builder"
	"istio.io/istio/pilot/pkg/security/trustdomain"
	"istio.io/istio/pilot/pkg/util/protoconv"
	"istio.io/istio/pkg/config"
	"istio.io/istio/pkg/config/host"
	"istio.io/istio/pkg/config/protocol"
	"istio.io/istio/pkg/test"
	"istio.io/istio/pkg/wellknown"

	"google.golang.org/protobuf/encoding/protojson"
)

// filters makes the HTTP filters of AuthorizationPolicies, for the ingress gateway of a mesh that
// has the services that its extension providers name, and applies EnvoyFilters to them.
func (a *answer) filters(policies, patches []config.Config, mesh *meshconfig.MeshConfig, labels map[string]string) {
	var services []*model.Service
	for _, provider := range mesh.ExtensionProviders {
		if grpc := provider.GetEnvoyExtAuthzGrpc(); grpc != nil {
			services = append(services, &model.Service{
				Hostname:   host.Name(grpc.Service),
				Ports:      model.PortList{{Name: "grpc", Port: int(grpc.Port), Protocol: protocol.GRPC}},
				Attributes: model.ServiceAttributes{Namespace: "gray-system"},
			})
		}
	}
	var custom []model.AuthorizationPolicy
	for _, c := range policies {
		custom = append(custom, model.AuthorizationPolicy{
			Name: c.Name, Namespace: c.Namespace, Spec: c.Spec.(*security.AuthorizationPolicy)})
	}
	namespace := custom[0].Namespace
	a.problem(test.Wrap(func(t test.Failer) {
		mesh := core.NewConfigGenTest(t, core.TestOptions{Services: services, MeshConfig: mesh, Configs: patches})
		built := builder.New(trustdomain.NewBundle("cluster.local", nil), mesh.PushContext(),
			model.AuthorizationPoliciesResult{Custom: custom}, builder.Option{IsCustomBuilder: true})
		proxy := mesh.SetupProxy(&model.Proxy{Type: model.Router, ConfigNamespace: namespace, Labels: labels,
			Metadata: &model.NodeMetadata{Namespace: namespace, Labels: labels}})
		listeners := envoyfilter.ApplyListenerPatches(networking.EnvoyFilter_GATEWAY,
			mesh.PushContext().EnvoyFilters(proxy), []*listener.Listener{listenerWith(built.BuildHTTP())}, false)
		manager := &hcm.HttpConnectionManager{}
		if err := listeners[0].FilterChains[0].Filters[0].GetTypedConfig().UnmarshalTo(manager); err != nil {
			t.Fatal(err)
		}
		for _, filter := range manager.HttpFilters {
			text, err := protojson.Marshal(filter)
			a.problem(err)
			a.Filters = append(a.Filters, json.RawMessage(text))
		}
	}))
}

// listenerWith has HTTP filters where Istio's listeners have them.
func listenerWith(filters []*hcm.HttpFilter) *listener.Listener {
	return &listener.Listener{Name: "gateway", FilterChains: []*listener.FilterChain{{Filters: []*listener.Filter{{
		Name: wellknown.HTTPConnectionManager,
		ConfigType: &listener.Filter_TypedConfig{
			TypedConfig: protoconv.MessageToAny(&hcm.HttpConnectionManager{StatPrefix: "gateway", HttpFilters: filters})},
	}}}}}
}
