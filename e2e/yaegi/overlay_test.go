package yaegi_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/e2e/yaegi"
	"github.com/grayrelease/gray/e2e/yaegi/overlaid"
)

// The shared cases reach no overlay but `enabled: false`; these are all its parts.
func TestOverlaysAgree(t *testing.T) {
	i := yaegi.Import(t, root, "github.com/grayrelease/gray/core")
	source, err := os.ReadFile("overlaid/overlaid.go")
	require.NoError(t, err)
	_, err = i.Eval(string(source))
	require.NoError(t, err)
	value, err := i.Eval("overlaid.Report")
	require.NoError(t, err)
	interpreted := value.Interface().(func(string, string) string)
	for _, enabled := range []string{"true", "false"} {
		document := `{"service": "shop", "enabled": ` + enabled + `, "stable": "v1",
		"versions": {"v1": {}, "v2": {}, "v3": {}},
			"identity": ["header X-ID"], "rules": [
			{"name": "ramp", "version": "v2", "when": ["header X-Kiosk != yes"], "percent": 10},
			{"name": "all", "version": "v3"}]}`
		for _, overlays := range []string{
			`[]`,
			`[{}]`,
			`[{"Force": "v2", "Reason": "switch"}]`,
			`[{"Force": "v9", "Reason": "switch"}]`,
			`[{"Percent": {"ramp": 60, "all": 30, "none": 3}, "Reason": "step 2"}]`,
			`[{"Percent": {"ramp": 500}, "Withdrawn": ["v3", "v1"], "Reason": "back"}]`,
			`[{"Percent": {"ramp": 0, "all": 100}, "Withdrawn": ["v2"], "Reason": "back"}, {"Force": "v1", "Reason": "off"}]`,
			`[{"Withdrawn": ["v2"], "Reason": "back"}, {"Percent": {"ramp": 100}, "Reason": "step 3"}]`,
		} {
			require.Equal(t, overlaid.Report(document, overlays), interpreted(document, overlays), overlays)
		}
	}
}
