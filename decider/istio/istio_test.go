package istio

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"

	networking "istio.io/api/networking/v1"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"

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

func serviceOf(t *testing.T, x *Export) *networking.VirtualService {
	t.Helper()
	service := &networking.VirtualService{}
	require.NoError(t, protojson.Unmarshal(x.Objects[1].Spec, service))
	return service
}

// What is exported is imported as the same policy.
func TestRoundTrip(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	said := 0
	for said < 500 {
		p := routestest.Policy(random, routestest.Shape{Percents: "last"})
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

// Every policy that is said in routes alone gives each request the versions that the engine gives
// it, and so does what is imported of it. Percentages are compared over many callers.
func TestRoutesDecideAsTheEngine(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	compared := 0
	for compared < routestest.Rounds(200) {
		p := routestest.Policy(random, routestest.Shape{Percents: "any"})
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
			want := shares(serviceOf(t, x), request)
			for name, policy := range map[string]*core.Policy{"given": p, "imported": in.Policy} {
				routestest.Compare(t, want, policy, request,
					fmt.Sprint(name, "\n", text, "\n", p.Rules, "\n", policy.Rules))
			}
		}
	}
}

// shares returns the part of a request's draws that each version gets.
func shares(service *networking.VirtualService, r *http.Request) map[string]float64 {
	found := map[string]float64{}
	route := routeOf(service, r)
	var total int32
	for _, to := range route.GetRoute() {
		total += to.GetWeight()
	}
	for _, to := range route.GetRoute() {
		if len(route.GetRoute()) == 1 {
			found[to.GetDestination().GetSubset()] = 1
		} else {
			found[to.GetDestination().GetSubset()] = float64(to.GetWeight()) / float64(total)
		}
	}
	return found
}
