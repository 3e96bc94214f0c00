package kubernetes

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/decider/gatewayapi"
	"github.com/grayrelease/gray/decider/istio"
	"github.com/grayrelease/gray/decider/manifest"
	"github.com/grayrelease/gray/decider/routestest"
	"github.com/grayrelease/gray/rollout"
	"github.com/grayrelease/gray/rollout/operate"
	"github.com/grayrelease/gray/rollout/serve"
	"github.com/grayrelease/gray/rollout/store"
	"github.com/grayrelease/gray/rollout/weights"
)

const policy = `{"service": "shop", "stable": "v1", "versions": {"v1": {}, "v2": {}},
	"rules": [{"name": "testers", "version": "v2", "when": ["header X-Tag = beta"]}, {"name": "ramp", "version": "v2"}],
	"rollout": {"rule": "ramp", "steps": ["10% until approved", "37.5% until approved", "100%"], "guard": []}}`

// exported is a policy as an HTTPRoute and as Istio's objects.
func exported(t testing.TB, e *core.Engine) []*manifest.Object {
	t.Helper()
	i, err := istio.NewExport(e, istio.Options{Name: "shop", Weights: true})
	require.NoError(t, err)
	g, err := gatewayapi.NewExport(e, gatewayapi.Options{Name: "shop", Gateways: []string{"public"}, Weights: true})
	require.NoError(t, err)
	all := i.Objects
	for _, o := range g.Objects {
		if o.Kind != "AuthorizationPolicy" || !i.AsksServer {
			all = append(all, o)
		}
	}
	return all
}

// percents are the shares of v2 in the routes with the name ramp, in per mille.
func (c *cluster) percents() map[string]int64 {
	found := map[string]int64{}
	for kind, path := range map[string][2]string{
		"VirtualService": {"http", "route"}, "HTTPRoute": {"rules", "backendRefs"}} {
		list, _, err := unstructured.NestedSlice(c.get(kind, "shop").Object, "spec", path[0])
		require.NoError(c.t, err)
		for _, item := range list {
			route := item.(map[string]any)
			if route["name"] != "ramp" {
				continue
			}
			var total, canary int64
			for i, d := range route[path[1]].([]any) {
				weight, _ := d.(map[string]any)["weight"].(int64)
				total += weight
				if i == 0 {
					canary = weight
				}
			}
			found[kind] = canary * 1000 / total
		}
	}
	return found
}

func (c *cluster) await(want int64, about string) {
	c.t.Helper()
	require.Eventually(c.t, func() bool {
		p := c.percents()
		return p["VirtualService"] == want && p["HTTPRoute"] == want
	}, 30*time.Second, 20*time.Millisecond, "%s: %v", about, want)
}

// One API server is enough for all tests: it takes ten seconds to start.
func TestKubernetes(t *testing.T) {
	c := startCluster(t)
	t.Run("exports are accepted", func(t *testing.T) { c.with(t).exportsAreAccepted() })
	t.Run("others' changes", func(t *testing.T) { c.with(t).othersChanges() })
	t.Run("the rights of the example are enough", func(t *testing.T) { c.with(t).rightsAreEnough() })
	t.Run("weights follow the rollout", func(t *testing.T) { c.with(t).weightsFollowTheRollout() })
}

// A rollout moves the weights of a VirtualService and of an HTTPRoute: step by step, back, and
// again, over a kill switch, changes by others and an API server that is away.
func (c *cluster) weightsFollowTheRollout() {
	t := c.t
	e, err := core.Load([]byte(policy))
	require.NoError(t, err)
	require.NoError(t, c.apply(exported(t, e)))
	require.Equal(t, map[string]int64{"VirtualService": 0, "HTTPRoute": 0}, c.percents())

	path := filepath.Join(t.TempDir(), "shop.json")
	require.NoError(t, os.WriteFile(path, []byte(policy), 0o600))
	source := "file://" + path + "?interval=10ms"
	config, err := serve.ParseConfig([]byte(fmt.Sprintf(`
listen: 127.0.0.1:0
kubernetes: {kubeconfig: %q}
services:
- service: shop
  source: %q
  routes:
  - {kind: VirtualService, namespace: default, name: shop}
  - {kind: HTTPRoute, namespace: default, name: shop}
`, c.kubeconfig, source)))
	require.NoError(t, err)
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	require.NoError(t, err)
	defer log.Close()
	server, err := serve.New(config, slog.New(slog.NewTextHandler(log, nil)))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-done)
	})
	s, err := store.Open(source, nil)
	require.NoError(t, err)
	do := func(verb string) {
		t.Helper()
		_, err := operate.Do(context.Background(), s, rollout.Command{Verb: verb, By: "ann"})
		require.NoError(t, err)
	}

	c.await(100, "the first step")
	do(rollout.Approve)
	c.await(375, "the second step")
	for _, kind := range []string{"VirtualService", "HTTPRoute"} {
		var managers []string
		for _, m := range c.get(kind, "shop").GetManagedFields() {
			managers = append(managers, m.Manager+" "+string(m.Operation))
		}
		assert.Contains(t, managers, weights.FieldManager+" Apply")
		assert.Contains(t, managers, "kubectl Apply", "what else it wrote stays its own")
	}

	// Somebody applies the manifests again, with the weights of before.
	require.NoError(t, c.apply(exported(t, e)))
	c.await(375, "after kubectl apply")

	throw := func(to string) {
		t.Helper()
		_, _, err := operate.Throw(context.Background(), s, live.Switch{To: to}, 0)
		require.NoError(t, err)
	}
	throw("v1")
	c.await(0, "the kill switch")
	throw("")
	c.await(375, "without the switch")

	// The API server is away while the release goes back.
	c.process.Kill()
	do(rollout.Rollback)
	c.process.Start()
	c.await(0, "the rollback")
	do(rollout.Retry)
	c.await(100, "again")
}

// Everything that is exported is valid to the API server, by the schemas and rules of Istio's and
// the Gateway API's definitions.
func (c *cluster) exportsAreAccepted() {
	t := c.t
	random := rand.New(rand.NewPCG(7, 8))
	for n := range 60 {
		p := routestest.Policy(random, routestest.Shape{Percents: "any", Plain: n%2 == 0})
		if n%5 == 0 {
			p.Rules = append(p.Rules, core.Rule{Version: "v2", When: []string{"ip = 10.0.0.1"}})
		}
		e, err := core.New(p)
		require.NoError(t, err)
		require.NoError(t, c.apply(exported(t, e)), "%v", p.Rules)
	}
	read := c.get("VirtualService", "shop")
	text, err := read.MarshalJSON()
	require.NoError(t, err)
	_, err = istio.NewImport(text, istio.ImportOptions{})
	require.NoError(t, err, "as the API server gives it back")
	text, err = c.get("HTTPRoute", "shop").MarshalJSON()
	require.NoError(t, err)
	_, err = gatewayapi.NewImport(text, gatewayapi.ImportOptions{})
	require.NoError(t, err)
}

// Two who change an object at once do not undo each other's changes.
func (c *cluster) othersChanges() {
	t := c.t
	e, err := core.Load([]byte(policy))
	require.NoError(t, err)
	require.NoError(t, c.apply(exported(t, e)))
	setter := weights.NewSetter(c.client, weights.Target{Kind: weights.VirtualService, Namespace: "default", Name: "shop"})
	done := make(chan struct{})
	go func() { // another one changes time limits
		defer close(done)
		for n := range 50 {
			patch := fmt.Sprintf(`[{"op": "add", "path": "/spec/http/0/timeout", "value": "%ds"}]`, n+1)
			_, err := c.client.Resource(resources["VirtualService"]).Namespace("default").Patch(context.Background(), "shop",
				"application/json-patch+json", []byte(patch), metav1.PatchOptions{FieldManager: "other"})
			assert.NoError(t, err)
		}
	}()
	for n := range 50 {
		w := weights.Wanted{Rule: "ramp", Canary: "v2", Stable: "v1", Percent: float64(n + 1)}
		for {
			if _, err := setter.Set(context.Background(), w); err == nil {
				break
			}
		}
	}
	<-done
	list, _, err := unstructured.NestedSlice(c.get("VirtualService", "shop").Object, "spec", "http")
	require.NoError(t, err)
	assert.Equal(t, "50s", list[0].(map[string]any)["timeout"])
	assert.Equal(t, int64(500), c.percents()["VirtualService"])
}

// What examples/serve/rbac.yml allows is enough, and no more than that.
func (c *cluster) rightsAreEnough() {
	t := c.t
	e, err := core.Load([]byte(policy))
	require.NoError(t, err)
	require.NoError(t, c.apply(exported(t, e)))
	c.applyFile("../../examples/serve/rbac.yml")
	config, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig)
	require.NoError(t, err)
	config.Impersonate.UserName = "system:serviceaccount:default:gray"
	client, err := dynamic.NewForConfig(config)
	require.NoError(t, err)
	for _, kind := range []string{weights.VirtualService, weights.HTTPRoute} {
		setter := weights.NewSetter(client, weights.Target{Kind: kind, Namespace: "default", Name: "shop"})
		require.Eventually(t, func() bool { // roles take a moment
			_, err = setter.Set(context.Background(), weights.Wanted{Rule: "ramp", Canary: "v2", Stable: "v1", Percent: 20})
			return err == nil
		}, 30*time.Second, 50*time.Millisecond, "%s: %v", kind, err)
		err := client.Resource(resources[kind]).Namespace("default").Delete(context.Background(), "shop",
			metav1.DeleteOptions{})
		assert.True(t, errors.IsForbidden(err), "%v", err)
	}
	assert.Equal(t, map[string]int64{"VirtualService": 200, "HTTPRoute": 200}, c.percents())
}
