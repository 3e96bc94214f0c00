package istio

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httputil"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/decider/gatewayapi"
	"github.com/grayrelease/gray/decider/istio"
	"github.com/grayrelease/gray/decider/manifest"
	"github.com/grayrelease/gray/decider/routes"
	"github.com/grayrelease/gray/decider/routestest"
	"github.com/grayrelease/gray/internal/casetest"
)

const root = "../.."

// dialect is a way to say a policy.
type dialect struct {
	name   string
	export func(*core.Engine) (plan *routes.Plan, objects []*manifest.Object, mesh string, err error)
}

var dialects = []dialect{
	{"VirtualService", func(e *core.Engine) (*routes.Plan, []*manifest.Object, string, error) {
		x, err := istio.NewExport(e, istio.Options{Name: "shop", Hosts: []string{"shop.example.com"}, Weights: true})
		if err != nil {
			return nil, nil, "", err
		}
		return x.Plan, x.Objects, x.Mesh, nil
	}},
	{"HTTPRoute", func(e *core.Engine) (*routes.Plan, []*manifest.Object, string, error) {
		x, err := gatewayapi.NewExport(e, gatewayapi.Options{Name: "shop", Gateways: []string{"public"}, Weights: true})
		if err != nil {
			return nil, nil, "", err
		}
		return x.Plan, x.Objects, x.Mesh, nil
	}},
}

// said is a policy, as Istio understands it.
func (d *dialect) said(t testing.TB, j *Judge, p *core.Policy) (*core.Engine, *routes.Plan, *Answer) {
	t.Helper()
	e, err := core.New(p)
	require.NoError(t, err)
	plan, objects, mesh, err := d.export(e)
	require.NoError(t, err)
	text, err := manifest.Write(objects)
	require.NoError(t, err)
	a := j.Ask(t, string(text), mesh)
	require.Empty(t, a.Problems, "%s", text)
	require.NotEmpty(t, a.Routes, "%s", text)
	return e, plan, a
}

// expressible keeps the rules of a policy that are routes by themselves.
func (d *dialect) expressible(t testing.TB, p *core.Policy) *core.Policy {
	t.Helper()
	kept := *p
	kept.Rules, kept.Tester = nil, nil
	for i, rule := range p.Rules {
		one := *p
		one.Rules, one.Tester, one.Rollout = []core.Rule{rule}, nil, nil
		e, err := core.New(&one)
		require.NoError(t, err)
		plan, _, _, err := d.export(e)
		require.NoError(t, err)
		if plan.Rules[0].Way == routes.ByRoute {
			if rule.Name == "" {
				rule.Name = fmt.Sprint("rule-", i+1)
			}
			kept.Rules = append(kept.Rules, rule)
		}
	}
	kept.Rollout = nil
	return &kept
}

// The rules of the shared cases that are routes decide in a real Envoy as they do in the engine, by
// the routes that Istio makes.
func TestCases(t *testing.T) {
	files, err := casetest.Load(root + "/testdata/cases")
	require.NoError(t, err)
	j := StartJudge(t)
	for _, d := range dialects {
		t.Run(d.name, func(t *testing.T) {
			type group struct {
				name   string
				engine *core.Engine
				cases  []casetest.Case
			}
			var groups []group
			var lists [][]json.RawMessage
			rules, apart, all := 0, 0, 0
			for _, f := range files {
				for i, g := range f.Groups {
					p, err := core.ParsePolicy(g.Policy)
					require.NoError(t, err)
					all += len(p.Rules)
					if hasLongName(p) { // longer than a service's name may be
						continue
					}
					p = d.expressible(t, p)
					if len(p.Rules) == 0 {
						continue
					}
					e, plan, a := d.said(t, j, p)
					if plan.AsksServer { // rules that cannot be routes together
						apart += len(p.Rules)
						continue
					}
					rules += len(p.Rules)
					lists = append(lists, a.Routes)
					groups = append(groups, group{fmt.Sprint(f.Name, "-", i), e, g.Cases})
				}
			}
			envoy := StartEnvoy(t, lists...)
			same, refused, otherwise := 0, 0, map[string]int{}
			for i, g := range groups {
				for _, c := range g.cases {
					raw := c.Request.Raw([2]string{"Connection", "close"})
					request, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
					require.NoError(t, err)
					want := core.Decide(g.engine, &core.Caller{Request: request, Client: c.Request.IP})
					got := envoy.Send(t, i, raw)
					switch why := general(request); {
					case got.Version == "" && got.Status >= 400 && got.Status < 500:
						refused++ // Envoy takes less from clients than Go's server does
					case got.Version == want.Version:
						same++
						if g.engine.Header() == "X-Gray-Version" {
							assert.Equal(t, want.Version, got.Told, "%s: %s", g.name, c.Name)
						}
					case why != "":
						otherwise[why]++
					default:
						assert.Fail(t, "decided otherwise", "%s: %s: %s instead of %s by %q\n%.2000q\n%.4000s", g.name, c.Name,
							got.Version, want.Version, want.Rule, raw, lists[i])
					}
				}
			}
			t.Logf("%d of %d rules are routes, and %d not together; %d cases decided as the engine does; %d refused by "+
				"Envoy; otherwise: %v", rules, all, apart, same, refused, otherwise)
			assert.Greater(t, same, 100)
		})
	}
}

func hasLongName(p *core.Policy) bool {
	for version := range p.Versions {
		if len(version) > 50 {
			return true
		}
	}
	return false
}

// general returns which of routes.General concerns a request, "" if none does.
func general(r *http.Request) string {
	for name, values := range r.Header {
		if len(values) > 1 {
			return "repeated header"
		}
		if !utf8.ValidString(values[0]) || len(values[0]) > 8192 {
			return "value of " + map[bool]string{true: "a header", false: "the cookies"}[name != "Cookie"]
		}
	}
	path := strings.ToLower(r.URL.EscapedPath())
	isUnusual := strings.Contains(path, "%2f") || strings.Contains(path, "//") || strings.Contains(path, "/..")
	if isUnusual || len(path) > 8192 || !utf8.ValidString(r.URL.Path) {
		return "path"
	}
	return ""
}

// Policies that were drawn are valid to Istio, and decide in a real Envoy as in the engine.
func TestDrawnPolicies(t *testing.T) {
	j := StartJudge(t)
	for _, d := range dialects {
		t.Run(d.name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(5, 6))
			var engines []*core.Engine
			var lists [][]json.RawMessage
			asked := 0
			for len(engines) < 60 {
				p := routestest.Policy(random, routestest.Shape{Percents: "none", Plain: d.name == "HTTPRoute"})
				e, plan, a := d.said(t, j, p)
				if plan.AsksServer {
					asked++
					continue
				}
				engines = append(engines, e)
				lists = append(lists, a.Routes)
			}
			envoy := StartEnvoy(t, lists...)
			for i, e := range engines {
				for range 40 {
					r := routestest.Request(random)
					r.Header.Set("Connection", "close")
					raw, err := httputil.DumpRequest(r, false)
					require.NoError(t, err)
					want := core.Decide(e, &core.Caller{Request: r})
					got := envoy.Send(t, i, raw)
					require.Equal(t, want.Version, got.Version, "by %q\n%s\n%s", want.Rule, raw, lists[i])
				}
			}
			t.Logf("%d policies need the server, and are valid too", asked)
		})
	}
}

// Weights give each version the share that the policy gives it, within 99.9 % bounds.
func TestWeights(t *testing.T) {
	five, half, third := 5.0, 50.0, 33.3
	p := &core.Policy{Service: "shop", Stable: "v1", Identity: []string{"header X-ID"},
		Versions: map[string]core.Version{"v1": {}, "v2": {}, "v3": {}, "v4": {}},
		Rules: []core.Rule{
			{Name: "beta", Version: "v2", When: []string{"header X-Tag = beta"}, Percent: &half},
			{Name: "canaries", Split: map[string]float64{"v3": 20, "v4": 10}, When: []string{"method = GET"}},
			{Name: "again", Version: "v2", Percent: &five, Salt: "another"},
			{Name: "third", Version: "v3", Percent: &third, When: []string{"header X-Tag exists"}, Salt: "one more"},
		}}
	j := StartJudge(t)
	for _, d := range dialects {
		t.Run(d.name, func(t *testing.T) {
			e, plan, a := d.said(t, j, p)
			require.False(t, plan.AsksServer, "%v", plan.Rules)
			envoy := StartEnvoy(t, a.Routes)
			for _, tag := range []string{"", "beta", "other"} {
				const requests, callers = 6000, 200000
				header := http.Header{}
				if tag != "" {
					header.Set("X-Tag", tag)
				}
				shares := map[string]float64{} // by the engine, of very many callers
				r, err := http.NewRequest(http.MethodGet, "http://shop/", nil)
				require.NoError(t, err)
				r.Header = header.Clone()
				for i := range callers {
					r.Header.Set("X-ID", fmt.Sprint("u-", i))
					shares[core.Decide(e, &core.Caller{Request: r}).Version] += 1.0 / callers
				}
				outside := func() string {
					counts := envoy.Count(t, 0, requests, header)
					for version := range p.Versions {
						share := shares[version]
						// 3.29 standard deviations of both samples.
						bound := 3.29 * math.Sqrt(share*(1-share)*requests*(1+float64(requests)/callers))
						if math.Abs(share*requests-float64(counts[version])) > bound+1e-9 {
							return fmt.Sprintf("%q: %d of %s, not %.0f in %v", tag, counts[version], version, share*requests, counts)
						}
					}
					return ""
				}
				// One in a thousand is outside by chance, but hardly twice.
				if first := outside(); first != "" {
					assert.Empty(t, outside(), first)
				}
			}
		})
	}
}

// What needs the decision server is valid to Istio too, and its answer decides before all routes.
func TestServersAnswerDecides(t *testing.T) {
	five := 5.0
	p := &core.Policy{Service: "shop", Stable: "v1", Versions: map[string]core.Version{"v1": {}, "v2": {}},
		Rules: []core.Rule{
			{Name: "tag", Version: "v2", When: []string{"header X-Tag = beta"}},
			{Name: "office", Version: "v2", When: []string{"ip in 10.0.0.0/8"}, Percent: &five},
		}}
	j := StartJudge(t)
	for _, d := range dialects {
		t.Run(d.name, func(t *testing.T) {
			_, plan, a := d.said(t, j, p)
			require.True(t, plan.AsksServer)
			envoy := StartEnvoy(t, a.Routes)
			for _, c := range []struct{ decided, tag, want string }{
				{"", "", "v1"}, {"", "beta", "v2"}, {"v2", "", "v2"}, {"v1", "beta", "v1"}, {"v2", "beta", "v2"},
				{"v9", "beta", "v2"},
			} {
				raw := "GET / HTTP/1.1\r\nHost: shop.example.com\r\nConnection: close\r\n"
				if c.decided != "" {
					raw += "X-Gray-Version: " + c.decided + "\r\n"
				}
				if c.tag != "" {
					raw += "X-Tag: " + c.tag + "\r\n"
				}
				got := envoy.Send(t, 0, []byte(raw+"\r\n"))
				assert.Equal(t, c.want, got.Version, "%+v", c)
				assert.Equal(t, c.want, got.Told, "%+v", c)
			}
		})
	}
}
