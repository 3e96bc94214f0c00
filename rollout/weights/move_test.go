package weights

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

const istioRoutes = `
- name: testers
  match: [{headers: {x-tag: {exact: beta}}}]
  route: [{destination: {host: shop, subset: v2}}]
- name: ramp
  timeout: 5s
  route:
  - {destination: {host: shop, subset: v2}, weight: 5}
  - {destination: {host: shop, subset: v1}, weight: 95}
`

const gatewayRules = `
- name: ramp
  backendRefs: [{name: shop-v2, port: 80, weight: 0}, {name: shop-v1, port: 80}]
`

func listOf(t *testing.T, text string) []any {
	t.Helper()
	var list []any
	require.NoError(t, yaml.Unmarshal([]byte(text), &list))
	return list
}

func weightsOf(f form, route any) []int64 {
	var all []int64
	for _, d := range route.(map[string]any)[f.backends].([]any) {
		all = append(all, f.weightOf(d.(map[string]any)))
	}
	return all
}

func TestMove(t *testing.T) {
	for _, c := range []struct {
		kind, list string
		at         int
		percent    float64
		want       []int64
		changed    bool
	}{
		{VirtualService, istioRoutes, 1, 5, []int64{5, 95}, false},
		{VirtualService, istioRoutes, 1, 0, []int64{0, 100}, true},
		{VirtualService, istioRoutes, 1, 100, []int64{100, 0}, true},
		{VirtualService, istioRoutes, 1, 12.5, []int64{125, 875}, true},
		{HTTPRoute, gatewayRules, 0, 1, []int64{1, 99}, true},
	} {
		list := listOf(t, c.list)
		w := Wanted{Rule: "ramp", Canary: "v2", Stable: "v1", Percent: c.percent}
		changed, err := forms[c.kind].move(list, nil, &Target{Kind: c.kind}, w)
		require.NoError(t, err)
		assert.Equal(t, c.changed, changed)
		assert.Equal(t, c.want, weightsOf(forms[c.kind], list[c.at]))
		again, err := forms[c.kind].move(list, nil, &Target{Kind: c.kind}, w)
		require.NoError(t, err)
		assert.False(t, again)
	}
}

func TestMoveRefuses(t *testing.T) {
	for text, message := range map[string]string{
		"[]":                     "has no route with the name \"ramp\"",
		`[{name: "beta, ramp"}]`: "draws for several rules",
		"[{name: ramp, route: [{destination: {host: shop, subset: v2}}]}]":                       "does not lead to both",
		"[{name: ramp, route: [{destination: {subset: v2}}, {destination: {subset: v3}}]}]":      `destination "v3"`,
		"[{name: ramp, route: [{destination: {subset: v2}}, {destination: {subset: shop-v2}}]}]": `destination "shop-v2"`,
		"[{name: ramp, route: [7]}]": `destination ""`,
		"[{name: ramp, route: 7}]":   "does not lead to both",
		"[7, {name: 8}]":             "has no route",
	} {
		_, err := forms[VirtualService].move(listOf(t, text), nil, &Target{Kind: VirtualService},
			Wanted{Rule: "ramp", Canary: "v2", Stable: "v1", Percent: 5})
		assert.ErrorContains(t, err, message, text)
	}
}

func TestDestinations(t *testing.T) {
	target := &Target{Destinations: map[string]string{"v2": "next"}}
	assert.True(t, target.isVersion("next", "v2"))
	assert.False(t, target.isVersion("v2", "v2"))
	assert.False(t, target.isVersion("next", "v1"))
	assert.True(t, target.isVersion("shop-v1", "v1"))
}

// Names that the Gateway API does not take are in an annotation.
func TestRenamedRules(t *testing.T) {
	list := func() []any {
		return listOf(t, "[{name: ramp, backendRefs: [{name: a-v2}, {name: a-v1}]}, {name: ramp-2, backendRefs: "+
			"[{name: b-v2}, {name: b-v1}]}]")
	}
	w := Wanted{Rule: "Ramp", Canary: "v2", Stable: "v1", Percent: 5}
	routes := list()
	changed, err := forms[HTTPRoute].move(routes, map[string]string{"ramp-2": "Ramp"}, &Target{}, w)
	require.NoError(t, err)
	assert.True(t, changed)
	assert.Equal(t, []int64{1, 1}, weightsOf(forms[HTTPRoute], routes[0]))
	assert.Equal(t, []int64{5, 95}, weightsOf(forms[HTTPRoute], routes[1]))
	_, err = forms[HTTPRoute].move(list(), map[string]string{"ramp-2": "Ramp, other"}, &Target{}, w)
	assert.ErrorContains(t, err, "draws for several rules")
	routes = list()
	_, err = forms[HTTPRoute].move(routes, nil, &Target{}, w)
	require.NoError(t, err)
	assert.Equal(t, []int64{5, 95}, weightsOf(forms[HTTPRoute], routes[0]))
}
