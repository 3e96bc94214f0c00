package istio

import (
	"fmt"
	"math/rand/v2"
	"testing"

	networking "istio.io/api/networking/v1"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/decider/manifest"
	"github.com/grayrelease/gray/decider/routestest"
)

// VirtualServices as people write them, with alternatives, weights and negations in any order, are
// imported as policies that decide the same.
func TestForeignRoutesDecideTheSame(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 10))
	for range routestest.Rounds(300) {
		service := foreign(random)
		spec, err := marshal(service)
		require.NoError(t, err)
		text, err := manifest.Write([]*manifest.Object{{APIVersion: networkingVersion, Kind: "VirtualService", Spec: spec,
			Metadata: manifest.Metadata{Name: "shop"}}})
		require.NoError(t, err)
		in, err := NewImport(text, ImportOptions{})
		require.NoError(t, err, "%s", text)
		in.Policy.Identity = []string{"header X-ID"}
		for _, f := range in.Findings {
			require.False(t, f.LeftOut, "%s\n%s", f, text)
		}
		for range 8 {
			request := routestest.Request(random)
			routestest.Compare(t, shares(service, request), in.Policy, request,
				fmt.Sprint(string(text), "\n", in.Policy.Stable, in.Policy.Rules))
		}
	}
}

func foreign(r *rand.Rand) *networking.VirtualService {
	service := &networking.VirtualService{Hosts: []string{"shop"}}
	for i := range 1 + r.IntN(4) {
		route := &networking.HTTPRoute{Route: foreignDestinations(r)}
		if r.IntN(2) == 0 {
			route.Name = fmt.Sprint("route ", i)
		}
		for range 1 + r.IntN(3) {
			route.Match = append(route.Match, foreignMatch(r))
		}
		service.Http = append(service.Http, route)
	}
	service.Http = append(service.Http, &networking.HTTPRoute{Route: foreignDestinations(r)})
	return service
}

func foreignDestinations(r *rand.Rand) []*networking.HTTPRouteDestination {
	subsets := []string{"v1", "v2", "v3"}
	r.Shuffle(3, func(i, j int) { subsets[i], subsets[j] = subsets[j], subsets[i] })
	count := 1
	if r.IntN(2) == 0 {
		count = 2 + r.IntN(2)
	}
	var all []*networking.HTTPRouteDestination
	for _, subset := range subsets[:count] {
		to := &networking.HTTPRouteDestination{Destination: &networking.Destination{Host: "shop", Subset: subset}}
		if count > 1 {
			to.Weight = int32(r.IntN(4) * 10)
		}
		all = append(all, to)
	}
	if count > 1 {
		all[0].Weight += 10
	}
	return all
}

func foreignMatch(r *rand.Rand) *networking.HTTPMatchRequest {
	m := &networking.HTTPMatchRequest{Headers: map[string]*networking.StringMatch{},
		WithoutHeaders: map[string]*networking.StringMatch{}}
	exact := func(text string) *networking.StringMatch {
		return &networking.StringMatch{MatchType: &networking.StringMatch_Exact{Exact: text}}
	}
	prefix := func(text string) *networking.StringMatch {
		return &networking.StringMatch{MatchType: &networking.StringMatch_Prefix{Prefix: text}}
	}
	regex := func(text string) *networking.StringMatch {
		return &networking.StringMatch{MatchType: &networking.StringMatch_Regex{Regex: text}}
	}
	texts := []*networking.StringMatch{exact("beta"), exact("gray-user"), prefix("be"), regex("b.*"), regex("beta|be"),
		regex("^(gray|x).*$"), regex(".*"), regex("a?"), regex("(?i)BETA"), {}}
	names := []string{"x-user-tag", "X-App-Version", "x-tenant", "accept-language"}
	for range 1 + r.IntN(2) {
		name := names[r.IntN(len(names))]
		if r.IntN(3) == 0 {
			m.WithoutHeaders[name] = texts[r.IntN(len(texts))]
		} else {
			m.Headers[name] = texts[r.IntN(len(texts))]
		}
	}
	switch r.IntN(6) {
	case 0:
		paths := []*networking.StringMatch{exact("/cart"), prefix("/cart"), regex("/(cart|api)/.*"), regex(".*\\.png")}
		m.Uri = paths[r.IntN(4)]
	case 1:
		m.Method = []*networking.StringMatch{exact("GET"), regex("GET|PUT"), prefix("P")}[r.IntN(3)]
	case 2:
		m.Headers["cookie"] = regex([]string{"a=b; *uid=.*", ".*uid=u-1.*"}[r.IntN(2)])
	}
	return m
}
