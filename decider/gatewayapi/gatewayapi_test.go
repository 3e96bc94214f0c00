package gatewayapi

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/decider/manifest"
	"github.com/grayrelease/gray/decider/routestest"
)

func export(t *testing.T, p *core.Policy, o Options) (*Export, string) {
	t.Helper()
	e, err := core.New(p)
	require.NoError(t, err)
	x, err := NewExport(e, o)
	require.NoError(t, err)
	text, err := manifest.Write(x.Objects)
	require.NoError(t, err)
	return x, string(text)
}

func specOf(t *testing.T, x *Export) *v1.HTTPRouteSpec {
	t.Helper()
	spec := &v1.HTTPRouteSpec{}
	require.NoError(t, json.Unmarshal(x.Objects[0].Spec, spec))
	return spec
}

// What is exported is imported as the same policy.
func TestRoundTrip(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	said := 0
	for said < 500 {
		p := routestest.Policy(random, routestest.Shape{Percents: "last", Plain: true})
		x, text := export(t, p, Options{Weights: true})
		if x.AsksServer {
			continue
		}
		said++
		in, err := NewImport([]byte(text), ImportOptions{})
		require.NoError(t, err, text)
		require.Equal(t, p, in.Policy, text)
	}
}

// Every policy that is said in rules alone gives each request the versions that the engine gives
// it, and so does what is imported of it.
func TestRulesDecideAsTheEngine(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	compared := 0
	for compared < routestest.Rounds(200) {
		p := routestest.Policy(random, routestest.Shape{Percents: "any", Plain: true})
		p.Identity = []string{"header X-ID"}
		x, text := export(t, p, Options{Weights: true})
		if x.AsksServer {
			continue
		}
		compared++
		in, err := NewImport([]byte(text), ImportOptions{})
		require.NoError(t, err, text)
		in.Policy.Identity = p.Identity
		for range 10 {
			request := routestest.Request(random)
			want := shares(t, specOf(t, x), request)
			for name, policy := range map[string]*core.Policy{"given": p, "imported": in.Policy} {
				routestest.Compare(t, want, policy, request, fmt.Sprint(name, "\n", text, "\n", p.Rules, "\n", policy.Rules))
			}
		}
	}
}

// shares returns the part of a request's draws that each version gets.
func shares(t *testing.T, spec *v1.HTTPRouteSpec, r *http.Request) map[string]float64 {
	t.Helper()
	rule := ruleOf(spec, r)
	require.NotNil(t, rule)
	found := map[string]float64{}
	total := 0.0
	for _, backend := range rule.BackendRefs {
		weight := 1.0
		if backend.Weight != nil {
			weight = float64(*backend.Weight)
		}
		found[strings.TrimPrefix(string(backend.Name), "shop-")] = weight
		total += weight
	}
	for version := range found {
		found[version] /= total
	}
	return found
}

// An HTTPRoute prefers narrower matches, whatever the order of its rules.
func TestOrder(t *testing.T) {
	p := &core.Policy{Service: "shop", Stable: "v1",
		Versions: map[string]core.Version{"v1": {}, "v2": {}, "v3": {}},
		Rules: []core.Rule{
			{Name: "tag", Version: "v2", When: []string{"header X-Tag = beta"}},
			{Name: "path", Version: "v3", When: []string{"path = /cart", "header X-Other = a"}},
		}}
	x, _ := export(t, p, Options{})
	rules := specOf(t, x).Rules
	require.Len(t, rules, 3)
	require.Len(t, rules[0].Matches, 2, "one of its own, one for the requests of both")
	assert.Len(t, rules[0].Matches[1].Headers, 2)
	assert.Equal(t, "/cart", *rules[0].Matches[1].Path.Value)
}

// A rule that an HTTPRoute cannot say goes to the decision server, with all after it.
func TestServer(t *testing.T) {
	p := &core.Policy{Service: "shop", Stable: "v1", Versions: map[string]core.Version{"v1": {}, "v2": {}},
		Rules: []core.Rule{
			{Name: "tag", Version: "v2", When: []string{"header X-Tag = beta"}},
			{Name: "not", Version: "v2", When: []string{"not header X-Tag exists"}},
			{Name: "prefix", Version: "v2", When: []string{"path prefix /a"}},
		}}
	x, text := export(t, p, Options{Gateways: []string{"infra/public"}})
	assert.True(t, x.AsksServer)
	assert.Equal(t, "an HTTPRoute says nothing of what a request is not", x.Rules[1].Why)
	assert.Contains(t, text, "name: public\n    namespace: infra")
	assert.Contains(t, text, "targetRefs:\n  - group: gateway.networking.k8s.io\n    kind: Gateway\n    name: public")
	rules := specOf(t, x).Rules
	require.Len(t, rules, 4)
	assert.Equal(t, "decided-v1", string(*rules[0].Name))
	in, err := NewImport([]byte(text), ImportOptions{})
	require.NoError(t, err)
	assert.Equal(t, p.Rules[:1], in.Policy.Rules)
	assert.Contains(t, fmt.Sprint(in.Findings), "goes by what the decision server said")
}
