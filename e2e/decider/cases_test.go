package decider

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/internal/casetest"
)

// groupHeader names a case's group of cases, for the gateway's routes. Cases choose all else.
const groupHeader = "X-Case-Group"

// group is a policy with its cases.
type group struct {
	file, name string
	header     string // that carries the version
	versions   []string
	policy     json.RawMessage
	cases      []casetest.Case
}

// groups reads the shared cases.
func groups(t *testing.T) []group {
	t.Helper()
	files, err := casetest.Load(root + "/testdata/cases")
	require.NoError(t, err)
	var all []group
	for _, f := range files {
		for _, g := range f.Groups {
			e, err := core.Load(g.Policy)
			require.NoError(t, err)
			one := group{file: f.Name, name: fmt.Sprintf("case-%d", len(all)), header: e.Header(), policy: g.Policy,
				cases: g.Cases}
			for version := range e.Versions() {
				one.versions = append(one.versions, version)
			}
			slices.Sort(one.versions)
			e.Close()
			all = append(all, one)
		}
	}
	return all
}

// decideGroups starts a decision server of all groups, each by its name. Every address of this
// machine is a trusted proxy: the test says in X-Forwarded-For who a case's client is.
func decideGroups(t *testing.T, all []group) *server {
	t.Helper()
	var config strings.Builder
	addresses, err := net.InterfaceAddrs()
	require.NoError(t, err)
	config.WriteString("trusted_proxies:\n")
	for _, a := range addresses {
		fmt.Fprintf(&config, "  - '%s'\n", a.(*net.IPNet).IP)
	}
	config.WriteString("services:\n")
	for _, g := range all {
		e, err := core.Load(g.policy)
		require.NoError(t, err)
		fmt.Fprintf(&config, "  - {service: '%s', name: %s, source: '%s', hosts: [%s.test]}\n", e.Service(), g.name,
			policyFile(t, string(g.policy)), g.name)
		e.Close()
	}
	return decide(t, config.String())
}

// runCases sends all cases through a gateway, each with who the client is in X-Forwarded-For. The
// gateway answers with the version that it routes to (Served-By), the version that the upstream is
// told of (Told), and the rule if it knows it (Rule). Left returns why the gateway refuses a case.
func runCases(t *testing.T, all []group, address func(group) string, left func(casetest.Request) string) {
	count, out := 0, map[string]int{}
	for _, g := range all {
		for _, c := range g.cases {
			reason := left(c.Request)
			if reason != "" {
				out[reason]++
			} else {
				count++
			}
			t.Run(g.file+"/"+c.Name, func(t *testing.T) {
				raw := c.Request.Raw([2]string{groupHeader, g.name}, [2]string{"X-Forwarded-For", c.Request.IP},
					[2]string{"Content-Length", "0"}, [2]string{"Connection", "close"})
				res, body := exchange(t, address(g), c.Request.Method, raw)
				if reason != "" {
					assert.Equal(t, http.StatusBadRequest, res.StatusCode, reason)
					return
				}
				require.Equal(t, http.StatusOK, res.StatusCode, "%s", body)
				assert.Equal(t, c.Version, res.Header.Get("Served-By"))
				assert.Equal(t, c.Version, res.Header.Get("Told"))
				if rule := res.Header["Rule"]; rule != nil {
					assert.Equal(t, c.Rule, strings.TrimPrefix(rule[0], "-"))
				}
			})
		}
	}
	t.Logf("%d cases in %d policies; left out: %v", count, len(all), out)
}

// versionUpstreams starts an upstream for each version of any group, and returns their addresses.
// They answer as runCases wants.
func versionUpstreams(t *testing.T, all []group) map[string]string {
	headers := map[string]string{}
	for _, g := range all {
		headers[g.name] = g.header
	}
	addresses := map[string]string{}
	for _, g := range all {
		for _, version := range g.versions {
			if addresses[version] != "" {
				continue
			}
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Served-By", version)
				w.Header().Set("Told", strings.Join(r.Header[headers[r.Header.Get(groupHeader)]], " and "))
			}))
			s.Config.MaxHeaderBytes = 1 << 20
			t.Cleanup(s.Close)
			addresses[version] = strings.TrimPrefix(s.URL, "http://")
		}
	}
	return addresses
}

func isNotASCII(text string) bool {
	return strings.ContainsFunc(text, func(c rune) bool { return c > '~' })
}
