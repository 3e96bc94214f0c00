package yaegi_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/e2e/yaegi"
)

// A letter wrong in a name, in each object of the configuration. Without the plugin's help Traefik
// would drop the name, and with it the conditions or the percentage of a rule.
func TestUnknownNamesAreRefused(t *testing.T) {
	type object = map[string]any
	plugin := yaegi.Load(t, root)
	for want, wrong := range map[string]object{
		`modus: unknown field (did you mean "mode"?)`: {"modus": "proxy"},
		`rules[0].whens: unknown field (did you mean "when"?)`: {
			"rules": []any{object{"name": "testers", "version": "v2", "whens": []any{"header A = b"}}}},
		`rules[0].percnt: unknown field (did you mean "percent"?)`: {
			"rules": []any{object{"version": "v2", "percnt": "1"}}},
		`versions.v2.upstream: unknown field (did you mean "upstreams"?)`: {
			"versions": object{"v1": "", "v2": object{"upstream": "http://127.0.0.1:1"}}},
		`cookie.samesite: unknown field (did you mean "same_site"?)`: {"cookie": object{"samesite": "strict"}},
		`ipStrategy.deepth: unknown field (did you mean "depth"?)`:   {"ipStrategy": object{"deepth": "1"}},
		`jwt.plain: unknown field (one of header, cookie, query, secret, `: {
			"jwt": object{"plain": "true", "jwks": "https://127.0.0.1/keys"}},
		`rollout.step: unknown field (did you mean "steps"?)`: {"rollout": object{"step": "1%"}},
		`source.uri: unknown field (did you mean "url"?)`:     {"source": object{"uri": "file:///policy.json"}},
		`source.allow-hosts: unknown field (did you mean "allow_hosts"?)`: {
			"source": object{"url": "file:///policy.json", "allow-hosts": "*.example.com"}},
	} {
		t.Run(want, func(t *testing.T) {
			config := object{"service": "s", "stable": "v1", "versions": object{"v1": "", "v2": ""}}
			for name, value := range wrong {
				config[name] = value
			}
			_, err := plugin.New(t.Context(), version, config, "gray@file")
			assert.ErrorContains(t, err, want)
			labels := map[string]string{}
			require.True(t, toLabels(labels, labelPrefix, config))
			config, err = fromLabels(labels)
			require.NoError(t, err)
			_, err = plugin.New(t.Context(), version, config, "gray@docker")
			assert.ErrorContains(t, err, want)
		})
	}
	config := object{"service": "s", "stable": "v1", "versions": object{"v1": ""}, "mode": "header", "Mode": "proxy"}
	_, err := plugin.New(t.Context(), version, config, "gray@file")
	assert.ErrorContains(t, err, "ode: is given twice, in other capitals")
}
