package yaegi_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/traefik/paerser/parser"

	"github.com/grayrelease/gray/e2e/yaegi"
	"github.com/grayrelease/gray/internal/casetest"
)

const labelPrefix = "traefik.http.middlewares.gray.plugin.gray"

// fromLabels decodes labels as Traefik's Docker, Swarm, ECS, Nomad and Consul catalogue providers
// do, with their library and the relevant part of their target type.
func fromLabels(labels map[string]string) (map[string]any, error) {
	var configuration struct {
		HTTP struct {
			Middlewares map[string]*struct {
				Plugin map[string]pluginConf
			}
		}
	}
	if err := parser.Decode(labels, &configuration, parser.DefaultRootName, "traefik.http"); err != nil {
		return nil, err
	}
	return configuration.HTTP.Middlewares["gray"].Plugin["gray"], nil
}

type pluginConf map[string]any

// toLabels writes a policy as labels. ok is false if labels cannot express it, as with a dot in a
// name.
func toLabels(labels map[string]string, path string, value any) (ok bool) {
	switch v := value.(type) {
	case map[string]any:
		if len(v) == 0 {
			labels[path] = ""
			return true
		}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if strings.ContainsAny(key, ".[]") || !toLabels(labels, path+"."+key, v[key]) {
				return false
			}
		}
	case []any:
		if len(v) == 0 {
			labels[path] = ""
		}
		for i, element := range v {
			if !toLabels(labels, fmt.Sprintf("%s[%d]", path, i), element) {
				return false
			}
		}
	case string:
		labels[path] = v
	case float64:
		labels[path] = strconv.FormatFloat(v, 'g', -1, 64)
	case bool:
		labels[path] = strconv.FormatBool(v)
	}
	return true
}

// Every policy of the shared cases as labels, and what it then decides.
func TestLabels(t *testing.T) {
	files, err := casetest.Load(root + "/testdata/cases")
	require.NoError(t, err)
	plugin := yaegi.Load(t, root)
	cases, left := 0, 0
	for _, f := range files {
		for i, g := range f.Groups {
			var policy map[string]any
			require.NoError(t, json.Unmarshal(g.Policy, &policy))
			header := "X-Gray-Version"
			if h, ok := policy["header"].(string); ok {
				header = h
			}
			policy["ipStrategy"] = map[string]any{"depth": 1.0}
			labels := map[string]string{}
			if !toLabels(labels, labelPrefix, policy) {
				left += len(g.Cases)
				continue
			}
			config, err := fromLabels(labels)
			require.NoError(t, err)
			handler, err := plugin.New(t.Context(), echo, config, "gray@docker")
			if !assert.NoError(t, err, "%s, group %d", f.Name, i) {
				continue
			}
			for _, c := range g.Cases {
				cases++
				assert.Equal(t, []string{c.Version}, decide(t, handler, c.Request)[http.CanonicalHeaderKey(header)],
					"%s: %s", f.Name, c.Name)
			}
		}
	}
	t.Logf("%d cases; %d of policies that labels cannot say", cases, left)
}

func TestLabelsOfTheDocumentation(t *testing.T) {
	config, err := fromLabels(map[string]string{
		labelPrefix + ".mode":                  "proxy",
		labelPrefix + ".service":               "shop",
		labelPrefix + ".stable":                "v1",
		labelPrefix + ".versions.v1":           "",
		labelPrefix + ".versions.v2.upstreams": "http://127.0.0.1:1,http://127.0.0.1:2",
		labelPrefix + ".identity":              "cookie uid, ip",
		labelPrefix + ".rules[0].name":         "testers",
		labelPrefix + ".rules[0].version":      "v2",
		labelPrefix + ".rules[0].when[0]":      "header X-App-Version in beta, canary",
		labelPrefix + ".rules[1].version":      "v2",
		labelPrefix + ".rules[1].percent":      "2.5",
		labelPrefix + ".lists.vip":             "u-1,u-2",
		labelPrefix + ".ipStrategy.depth":      "1",
		labelPrefix + ".ipStrategy.ipv6Subnet": "64",
		labelPrefix + ".enabled":               "true",
	})
	require.NoError(t, err)
	plugin := yaegi.Load(t, root)
	handler, err := plugin.New(t.Context(), version, config, "gray@docker")
	require.NoError(t, err)
	w := get(handler, func(r *http.Request) {
		r.Header.Set("X-App-Version", "canary")
	}) // no upstream answers, so stable does
	assert.Equal(t, "v1", w.Header().Get("Version"))
	assert.Contains(t, plugin.Stderr.String(), "version v2 cannot be reached")
}
