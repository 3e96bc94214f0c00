package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	meshconfig "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"
	"istio.io/istio/pilot/pkg/config/kube/crd"
	"istio.io/istio/pilot/pkg/config/kube/gateway"
	"istio.io/istio/pilot/pkg/features"
	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/pkg/networking/core/route"
	"istio.io/istio/pilot/pkg/serviceregistry/kube/controller"
	"istio.io/istio/pkg/config"
	"istio.io/istio/pkg/config/host"
	"istio.io/istio/pkg/config/mesh"
	"istio.io/istio/pkg/config/protocol"
	"istio.io/istio/pkg/config/schema/collections"
	"istio.io/istio/pkg/config/schema/gvk"
	"istio.io/istio/pkg/config/schema/gvr"
	"istio.io/istio/pkg/config/validation/agent"
	"istio.io/istio/pkg/kube"
	"istio.io/istio/pkg/kube/kclient/clienttest"
	"istio.io/istio/pkg/kube/krt"
	"istio.io/istio/pkg/test"
	"istio.io/istio/pkg/util/sets"

	"google.golang.org/protobuf/encoding/protojson"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/gateway-api/pkg/consts"
	"sigs.k8s.io/yaml"
)

// port that services listen at, as far as manifests name none.
const port = 80

func (a *answer) answer(q *question) {
	var providers *meshconfig.MeshConfig
	if q.Mesh != "" {
		providers = a.mesh(q.Mesh)
	}
	configs, _, err := crd.ParseInputs(q.Manifests)
	if err != nil {
		a.problem(err)
		return
	}
	var services, policies, patches []config.Config
	hasRoutes := false
	for i := range configs {
		c := &configs[i]
		kind, known := collections.All.FindByGroupVersionAliasesKind(c.GroupVersionKind)
		if !known {
			a.problem(fmt.Errorf("%s is not known to Istio", c.GroupVersionKind))
			continue
		}
		if c.Namespace == "" {
			c.Namespace = "default"
		}
		warning, err := kind.ValidateConfig(*c)
		if err != nil {
			a.problem(fmt.Errorf("%s %s: %w", kind.Kind(), c.Name, err))
		}
		if warning != nil {
			a.Warnings = append(a.Warnings, warning.Error())
		}
		switch kind.GroupVersionKind() {
		case gvk.VirtualService:
			services = append(services, *c)
		case gvk.HTTPRoute:
			hasRoutes = true
		case gvk.AuthorizationPolicy:
			policies = append(policies, *c)
		case gvk.EnvoyFilter:
			patches = append(patches, *c)
		}
	}
	if hasRoutes {
		converted, err := convert(configs)
		a.problem(err)
		services = append(services, converted...)
	}
	for _, service := range services {
		a.routes(service, q.Labels)
	}
	if len(policies) > 0 && providers != nil {
		a.filters(policies, patches, providers, q.Labels)
	}
}

// mesh checks extension providers, and returns the mesh's configuration with them.
func (a *answer) mesh(text string) *meshconfig.MeshConfig {
	var part struct {
		MeshConfig json.RawMessage `json:"meshConfig"`
	}
	if err := yaml.Unmarshal([]byte(text), &part); err != nil {
		a.problem(err)
		return nil
	}
	m := &meshconfig.MeshConfig{}
	if err := protojson.Unmarshal(part.MeshConfig, m); err != nil {
		a.problem(err)
		return nil
	}
	full, err := mesh.ApplyMeshConfigDefaults(string(part.MeshConfig))
	if err != nil {
		a.problem(err)
		return nil
	}
	if len(full.ExtensionProviders) == 0 {
		a.problem(errors.New("the mesh's configuration has no extension provider"))
	}
	warning, err := agent.ValidateMeshConfig(full)
	a.problem(err)
	if warning != nil {
		a.Warnings = append(a.Warnings, warning.Error())
	}
	return full
}

// routes makes Envoy's routes of a VirtualService, for the mesh or any of its gateways.
func (a *answer) routes(service config.Config, labels map[string]string) {
	spec := service.Spec.(*networking.VirtualService)
	gateways := sets.New("mesh")
	for _, name := range spec.Gateways {
		gateways.Insert(name)
	}
	m := mesh.DefaultMeshConfig()
	node := &model.Proxy{Type: model.Router, Labels: labels, IstioVersion: model.MaxIstioVersion,
		Metadata: &model.NodeMetadata{Namespace: service.Namespace, Labels: labels}}
	built, err := route.BuildHTTPRoutesForVirtualService(node, service, port, gateways, route.RouteOptions{
		Mesh: m,
		LookupService: func(name host.Name) *model.Service {
			return &model.Service{Hostname: name,
				Ports: model.PortList{{Name: "http", Port: port, Protocol: protocol.HTTP}}}
		},
		LookupDestinationCluster: route.GetDestinationCluster,
		LookupHash: func(*networking.HTTPRouteDestination) *networking.LoadBalancerSettings_ConsistentHashLB {
			return nil
		},
	})
	if err != nil {
		a.problem(err)
		return
	}
	for _, r := range built {
		text, err := protojson.Marshal(r)
		a.problem(err)
		a.Routes = append(a.Routes, text)
	}
}

// convert turns HTTPRoutes into VirtualServices, as Istio's controller of the Gateway API does. The
// Gateways and Services that they name are made up.
func convert(configs []config.Config) ([]config.Config, error) {
	var found []config.Config
	features.EnableGatewayAPIGatewayClassController = false // it would make classes of its own
	err := test.Wrap(func(t test.Failer) {
		stop := test.NewStop(t)
		client := kube.NewFakeClient()
		for _, resource := range []schema.GroupVersionResource{gvr.GatewayClass, gvr.KubernetesGateway, gvr.HTTPRoute,
			gvr.GRPCRoute, gvr.TCPRoute, gvr.TLSRoute, gvr.ReferenceGrant, gvr.ServiceEntry, gvr.BackendTLSPolicy,
			gvr.ListenerSet, gvr.InferencePool, gvr.XBackendTrafficPolicy} {
			clienttest.MakeCRDWithAnnotations(t, client, resource,
				map[string]string{consts.BundleVersionAnnotation: consts.BundleVersion})
		}
		clienttest.NewWriter[*gatewayv1.GatewayClass](t, client).Create(gatewayClass())
		gateways := clienttest.NewWriter[*gatewayv1.Gateway](t, client)
		services := clienttest.NewWriter[*corev1.Service](t, client)
		routes := clienttest.NewWriter[*gatewayv1.HTTPRoute](t, client)
		made := sets.New[string]()
		clienttest.NewWriter[*corev1.Namespace](t, client).Create(namespace("default"))
		for _, c := range configs {
			if c.GroupVersionKind.Kind != "HTTPRoute" {
				continue
			}
			spec := c.Spec.(*gatewayv1.HTTPRouteSpec)
			for _, parent := range spec.ParentRefs {
				if name := string(parent.Name); !made.InsertContains("gateway " + name) {
					gateways.Create(gatewayNamed(name))
				}
			}
			for _, rule := range spec.Rules {
				for _, backend := range rule.BackendRefs {
					if name := string(backend.Name); !made.InsertContains("service " + name) {
						services.Create(serviceNamed(name, int32(*backend.Port)))
					}
				}
			}
			routes.Create(&gatewayv1.HTTPRoute{ObjectMeta: c.ToObjectMeta(), Spec: *spec})
		}
		converter := gateway.NewController(client, func(schema.GroupVersionResource, <-chan struct{}) bool { return true },
			controller.Options{DomainSuffix: "cluster.local", KrtDebugger: &krt.DebugHandler{}}, nil)
		go converter.Run(stop)
		client.RunAndWait(stop)
		push := model.NewPushContext()
		converter.Reconcile(push)
		if !kube.WaitForCacheSync("gateway", stop, converter.HasSynced) {
			t.Fatal("the controller does not come to an end")
		}
		for deadline := time.Now().Add(5 * time.Second); len(found) == 0 && time.Now().Before(deadline); {
			found = converter.List(gvk.VirtualService, "")
			if len(found) == 0 {
				time.Sleep(5 * time.Millisecond)
			}
		}
	})
	found = slices.DeleteFunc(found, func(c config.Config) bool { return c.Spec == nil })
	if err == nil && len(found) == 0 {
		err = errors.New("Istio makes no routes of the HTTPRoutes")
	}
	slices.SortFunc(found, func(a, b config.Config) int { return strings.Compare(a.Name, b.Name) })
	return found, err
}
