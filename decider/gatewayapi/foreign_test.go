package gatewayapi

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	v1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/grayrelease/gray/decider/manifest"
	"github.com/grayrelease/gray/decider/routestest"
)

// HTTPRoutes as people write them, whose narrowest match decides wherever it stands, are imported
// as policies that decide the same.
func TestForeignRoutesDecideTheSame(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 10))
	for range routestest.Rounds(300) {
		route := foreign(random)
		spec, err := json.Marshal(route)
		require.NoError(t, err)
		text, err := manifest.Write([]*manifest.Object{{APIVersion: apiVersion, Kind: "HTTPRoute", Spec: spec,
			Metadata: manifest.Metadata{Name: "shop"}}})
		require.NoError(t, err)
		in, err := NewImport(text, ImportOptions{})
		require.NoError(t, err, "%s", text)
		in.Policy.Identity = []string{"header X-ID"}
		for range 8 {
			request := routestest.Request(random)
			want := map[string]float64{}
			for version, share := range shares(t, route, request) {
				if _, known := in.Policy.Versions[version]; !known {
					version = "shop-" + version // there is no other to tell it from
				}
				want[version] = share
			}
			routestest.Compare(t, want, in.Policy, request, fmt.Sprint(string(text), in.Policy.Stable, in.Policy.Rules))
		}
	}
}

func foreign(r *rand.Rand) *v1.HTTPRouteSpec {
	spec := &v1.HTTPRouteSpec{}
	kind, everything := v1.PathMatchPathPrefix, "/"
	all := v1.HTTPRouteMatch{Path: &v1.HTTPPathMatch{Type: &kind, Value: &everything}}
	for range 1 + r.IntN(4) {
		rule := v1.HTTPRouteRule{BackendRefs: foreignBackends(r)}
		for range 1 + r.IntN(3) {
			rule.Matches = append(rule.Matches, foreignMatch(r))
		}
		spec.Rules = append(spec.Rules, rule)
	}
	last := v1.HTTPRouteRule{BackendRefs: foreignBackends(r), Matches: []v1.HTTPRouteMatch{all}}
	at := r.IntN(len(spec.Rules) + 1)
	spec.Rules = append(spec.Rules[:at:at], append([]v1.HTTPRouteRule{last}, spec.Rules[at:]...)...)
	return spec
}

func foreignBackends(r *rand.Rand) []v1.HTTPBackendRef {
	names := []string{"shop-v1", "shop-v2", "shop-v3"}
	r.Shuffle(3, func(i, j int) { names[i], names[j] = names[j], names[i] })
	var all []v1.HTTPBackendRef
	for _, name := range names[:1+r.IntN(3)] {
		port, weight := v1.PortNumber(80), int32(10+10*r.IntN(3))
		backend := v1.HTTPBackendRef{}
		backend.Name, backend.Port, backend.Weight = v1.ObjectName(name), &port, &weight
		all = append(all, backend)
	}
	return all
}

func foreignMatch(r *rand.Rand) v1.HTTPRouteMatch {
	kind := []v1.PathMatchType{v1.PathMatchExact, v1.PathMatchPathPrefix}[r.IntN(2)]
	path := []string{"/cart", "/cart/pay", "/api/v1"}[r.IntN(3)]
	if r.IntN(2) == 0 {
		kind, path = v1.PathMatchPathPrefix, "/"
	}
	m := v1.HTTPRouteMatch{Path: &v1.HTTPPathMatch{Type: &kind, Value: &path}}
	if r.IntN(4) == 0 {
		method := []v1.HTTPMethod{"GET", "POST"}[r.IntN(2)]
		m.Method = &method
	}
	for _, name := range []v1.HTTPHeaderName{"X-User-Tag", "x-app-version", "x-tenant"} {
		how := []v1.HeaderMatchType{v1.HeaderMatchExact, v1.HeaderMatchRegularExpression}[r.IntN(2)]
		if r.IntN(3) == 0 {
			value := []string{"beta", "be", "gray-user"}[r.IntN(3)]
			if how == v1.HeaderMatchRegularExpression {
				value = []string{"b.*", ".*", "beta|be", "[a-z-]+"}[r.IntN(4)]
			}
			m.Headers = append(m.Headers, v1.HTTPHeaderMatch{Type: &how, Name: name, Value: value})
		}
	}
	return m
}
