package caddygray_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Names that no policy of the configuration has are warned about, once.
func TestNamesThatNoPolicyHas(t *testing.T) {
	for _, c := range []struct{ name, after, want string }{
		{"version", "@m gray v9\nrespond @m hi",
			`matcher gray: no policy has the version \"v9\" (one of v1, v2)`},
		{"service among versions", "@m gray referred v2\nrespond @m hi",
			`matcher gray: \"referred\" is a service, not a version: ` +
				"name it in the matcher's block, by `service referred`"},
		{"rule", "@m gray {\nrule nosuch\n}\nrespond @m hi",
			`matcher gray: no policy has the rule \"nosuch\" (only testers)`},
		{"service of a matcher", "@m gray v2 {\nservice refered\n}\nrespond @m hi",
			`matcher gray: no policy is about the service \"refered\" (did you mean \"referred\"?)`},
		{"within not", "@m not gray v9\nrespond @m hi",
			`matcher gray: no policy has the version \"v9\" (one of v1, v2)`},
		{"version for a service", "reverse_proxy {\ndynamic gray v2\n}",
			`dynamic gray: no policy is about the service \"v2\" ` +
				`(only referred): it is a version, which is found by itself`},
		{"service of a selection", "reverse_proxy {\ndynamic gray\nlb_policy gray shop\n}",
			`lb_policy gray: no policy is about the service \"shop\" (only referred)`},
		{"all is well", "@m gray v1 v2 {\nservice referred\nrule testers tester\n}\nrespond @m hi\n" +
			"reverse_proxy {\ndynamic gray referred\nlb_policy gray referred\n}", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			address := freeAddress(t)
			logged := startLogging(t, fmt.Sprintf("http://%s {\ngray referred {\nstable v1\nversion v1 127.0.0.1:1\n"+
				"version v2 127.0.0.1:1\nrule testers v2 {\nwhen header X-V = v2\n}\n}\n%s\n}\n", address, c.after))
			if c.want == "" {
				assert.Empty(t, logged("no policy"))
				return
			}
			assert.Len(t, logged(c.want), 1)
		})
	}
}

// Of a followed policy that is so once there is a document, and after each change of it.
func TestNamesThatNoDocumentHas(t *testing.T) {
	file := filepath.Join(t.TempDir(), "policy.json")
	write := func(versions string) {
		t.Helper()
		document := `{"service": "referred", "stable": "v1", "versions": {"v1": {}, ` + versions + `}}`
		replaceFile(t, file, document)
	}
	logged := startLogging(t, fmt.Sprintf("http://%s {\ngray referred {\nstable v1\nversion v1\n"+
		"source file://%s?interval=10ms\ncache %s\n}\n@m gray v2\nrespond @m hi\n}\n", freeAddress(t), file, t.TempDir()))
	const text = `no policy has the version \"v2\"`
	require.Empty(t, logged(text), "there is no document yet")
	write(`"v2": {}`)
	require.Eventually(t, func() bool { return len(logged("policy in force")) == 1 }, 10*time.Second, 5*time.Millisecond)
	require.Empty(t, logged(text))
	write(`"v3": {}`)
	require.Eventually(t, func() bool { return len(logged(text)) == 1 }, 10*time.Second, 5*time.Millisecond)
}

// The log says which service a request was decided for, if not for that of the proxy.
func TestUndecidedService(t *testing.T) {
	address := freeAddress(t)
	logged := startLogging(t, fmt.Sprintf("http://%s {\ngray referred {\nstable v1\nversion v1 127.0.0.1:1\n}\n"+
		"reverse_proxy {\ndynamic gray v1\n}\n}\n", address))
	require.Equal(t, http.StatusServiceUnavailable, get(t, "http://"+address, "").status)
	const text = `no version has been decided on for the service \"v1\": ` + "`gray` has decided for " + `\"referred\"`
	require.Len(t, logged(text), 1)
}
