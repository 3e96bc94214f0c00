package istio

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/decider/routes"
)

var update = flag.Bool("update", false, "write the goldens")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o600))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, string(want), got)
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	return text
}

// report is what a plan says of the rules.
func report(p *routes.Plan) string {
	var b strings.Builder
	for _, r := range p.Rules {
		fmt.Fprintln(&b, r.Rule, r.Versions, r.Way, r.Why)
		for _, lost := range r.Lost {
			fmt.Fprintln(&b, "  lost:", lost)
		}
	}
	for _, note := range p.Notes {
		fmt.Fprintln(&b, "note:", note)
	}
	return b.String()
}

func TestExport(t *testing.T) {
	for name, o := range map[string]Options{
		"mixed": {Namespace: "prod", Service: "shop.prod.svc.cluster.local", Port: 8080, Label: "release",
			Hosts: []string{"shop.example.com"}, Gateways: []string{"istio-system/public"}},
		"weights": {Weights: true},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := core.ParsePolicy(readFile(t, name+".json"))
			require.NoError(t, err)
			x, text := export(t, p, o)
			golden(t, name+".out.yaml", text)
			golden(t, name+".out.txt", report(x.Plan)+x.Mesh)
		})
	}
}

func TestImport(t *testing.T) {
	for _, name := range []string{"article", "foreign"} {
		t.Run(name, func(t *testing.T) {
			in, err := NewImport(readFile(t, name+".yaml"), ImportOptions{})
			require.NoError(t, err)
			text, err := json.MarshalIndent(in.Policy, "", "  ")
			require.NoError(t, err)
			golden(t, name+".out.json", string(text)+"\n")
			var b strings.Builder
			for _, f := range in.Findings {
				fmt.Fprintln(&b, f, f.LeftOut)
			}
			golden(t, name+".out.txt", b.String())
		})
	}
}

// The VirtualService of the usual article comes back as it was.
func TestArticle(t *testing.T) {
	in, err := NewImport(readFile(t, "article.yaml"), ImportOptions{})
	require.NoError(t, err)
	assert.Equal(t, []core.Rule{{Version: "v2", When: []string{"header X-User-Tag = gray-user"}}}, in.Policy.Rules)
	assert.Equal(t, "v1", in.Policy.Stable)
	assert.Empty(t, in.Findings)
	x, text := export(t, in.Policy, Options{})
	assert.False(t, x.AsksServer)
	again, err := NewImport([]byte(text), ImportOptions{})
	require.NoError(t, err)
	assert.Equal(t, in.Policy, again.Policy)
}

func TestExportRefuses(t *testing.T) {
	policy := func(service string, versions ...string) *core.Policy {
		p := &core.Policy{Service: service, Stable: versions[0], Versions: map[string]core.Version{}}
		for _, version := range versions {
			p.Versions[version] = core.Version{}
		}
		return p
	}
	for _, c := range []struct {
		policy  *core.Policy
		options Options
		message string
	}{
		{policy("***", "v1"), Options{}, "not a name that Kubernetes takes"},
		{policy("shop", "v1"), Options{Name: "Shop"}, "not a name that Kubernetes takes"},
		{policy("shop", "v1", "v2."), Options{}, "begins and ends with a letter or a digit"},
		{policy("shop", "v1.2", "v1-2"), Options{}, "would both be the subset v1-2"},
		{policy("shop", "v1"), Options{Server: Server{Address: "gray"}}, "host and port of a decision server"},
	} {
		e, err := core.New(c.policy)
		require.NoError(t, err)
		_, err = NewExport(e, c.options)
		assert.ErrorContains(t, err, c.message)
	}
}

func TestImportRefuses(t *testing.T) {
	service := func(spec string) string {
		return "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\nspec: " + spec
	}
	route := `{host: a, subset: v1}`
	for text, message := range map[string]string{
		"":                                  "there is no VirtualService",
		"a: b":                              "no kind",
		"kind: Pod":                         "there is no VirtualService",
		"a: 1\na: 2":                        "already set",
		service("{}"):                       "no HTTP routes",
		service("{http: 1}"):                "syntax error",
		service("{http: [{route: 7}]}"):     "VirtualService",
		service("{http: [{redirect: {}}]}"): "none of its routes leads to a service",
		service("{http: [{match: [{port: 1}], route: [{destination: " + route + "}]}]}"): "say which version is stable",
		service("{http: [{route: [{destination: "+route+"}]}]}") + "\n---\n" +
			service("{http: []}"): "there are several VirtualServices",
	} {
		_, err := NewImport([]byte(text), ImportOptions{})
		assert.ErrorContains(t, err, message, text)
	}
}
