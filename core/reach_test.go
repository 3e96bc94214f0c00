package core

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestReachable(t *testing.T) {
	e := engineFor(t, `"rules": [{"name": "testers", "version": "v2", "when": ["header X-App = beta"]}]`)
	for want, overlay := range map[string]Overlay{
		"v1 v2": {},
		"v1":    {Force: "v1"},
		"v2":    {Force: "v2"},
		" v1":   {Percent: map[string]float64{"testers": 0}},
		"v1 ":   {Withdrawn: []string{"v2"}},
	} {
		got := slices.Sorted(maps.Keys(Reachable(e.With(overlay))))
		assert.Equal(t, strings.TrimSpace(want), strings.Join(got, " "), "%+v", overlay)
	}
}
