package caddygray

import (
	"reflect"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/stretchr/testify/assert"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/jwt"
)

// The Caddyfile has a word for each field of a policy.
func TestCaddyfileHasEveryFieldOfAPolicy(t *testing.T) {
	for _, block := range []struct {
		begin, end string
		of         any
	}{
		{"gray s {\n", "\n}", core.Policy{}},
		{"gray s {\nversion v1 {\n", "\n}\n}", core.Version{}},
		{"gray s {\ncookie {\n", "\n}\n}", core.Cookie{}},
		{"gray s {\nrule name v1 {\n", "\n}\n}", core.Rule{}},
		{"gray s {\nrollout ramp {\n", "\n}\n}", core.Rollout{}},
		{"gray s {\njwt {\n", "\n}\n}", jwt.Config{}},
	} {
		known := func(word string) bool {
			err := new(Handler).UnmarshalCaddyfile(caddyfile.NewTestDispenser(block.begin + word + block.end))
			return err == nil || !strings.Contains(err.Error(), "unknown subdirective")
		}
		assert.False(t, known("nonsense"), block.begin)
		of := reflect.TypeOf(block.of)
		for i := range of.NumField() {
			name, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
			isArgument := of.Name() == "Policy" && (name == "$schema" || name == "service") || of.Name() == "Rule" &&
				(name == "name" || name == "version")
			isArgument = isArgument || of.Name() == "Rollout" && name == "rule"
			singular := strings.TrimSuffix(name, "s")
			if strings.HasSuffix(name, "ies") {
				singular = strings.TrimSuffix(name, "ies") + "y"
			}
			assert.True(t, isArgument || known(name) || known(singular), "%s: no word for %q", of, name)
		}
	}
}
