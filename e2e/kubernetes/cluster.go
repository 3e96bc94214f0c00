// Package kubernetes has a real API server of Kubernetes keep what gray writes there.
package kubernetes

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"github.com/grayrelease/gray/decider/manifest"
	"github.com/grayrelease/gray/e2e/servers"
	"github.com/grayrelease/gray/rollout/weights"
)

// cluster is a Kubernetes that knows Istio's objects and those of the Gateway API.
type cluster struct {
	t          testing.TB
	process    *servers.Process
	kubeconfig string
	client     dynamic.Interface
}

var definitions = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1",
	Resource: "customresourcedefinitions"}

// resources are the objects that tests write.
var resources = map[string]schema.GroupVersionResource{
	"VirtualService":      {Group: "networking.istio.io", Version: "v1", Resource: "virtualservices"},
	"DestinationRule":     {Group: "networking.istio.io", Version: "v1", Resource: "destinationrules"},
	"AuthorizationPolicy": {Group: "security.istio.io", Version: "v1", Resource: "authorizationpolicies"},
	"ServiceAccount":      {Version: "v1", Resource: "serviceaccounts"},
	"Role":                {Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "roles"},
	"RoleBinding":         {Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "rolebindings"},
	"HTTPRoute":           {Group: "gateway.networking.k8s.io", Version: "v1", Resource: "httproutes"},
}

func startCluster(t testing.TB) *cluster {
	t.Helper()
	c := &cluster{t: t}
	c.process, c.kubeconfig = servers.Kubernetes(t)
	var err error
	c.client, err = weights.Connect(weights.Cluster{Kubeconfig: c.kubeconfig})
	require.NoError(t, err)
	c.define(filepath.Join(moduleFolder(t, "istio.io/api"), "kubernetes/customresourcedefinitions.gen.yaml"))
	c.define(filepath.Join(moduleFolder(t, "sigs.k8s.io/gateway-api"),
		"config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"))
	for _, resource := range resources {
		require.Eventually(t, func() bool {
			_, err := c.client.Resource(resource).Namespace("default").List(context.Background(), metav1.ListOptions{})
			return err == nil
		}, time.Minute, 50*time.Millisecond, resource.String())
	}
	return c
}

// with is the cluster for a test.
func (c *cluster) with(t testing.TB) *cluster {
	other := *c
	other.t = t
	return &other
}

// moduleFolder is where the Go module cache has a module of this one's requirements.
func moduleFolder(t testing.TB, module string) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	require.NoError(t, err)
	return string(bytes.TrimSpace(out))
}

// define creates the resources that a file defines.
func (c *cluster) define(path string) {
	c.t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(c.t, err)
	for _, document := range bytes.Split(text, []byte("\n---")) {
		o := &unstructured.Unstructured{}
		require.NoError(c.t, yaml.Unmarshal(document, &o.Object))
		if len(o.Object) == 0 {
			continue
		}
		_, err := c.client.Resource(definitions).Create(context.Background(), o, metav1.CreateOptions{})
		require.NoError(c.t, err)
	}
}

// applyFile applies the objects of a file.
func (c *cluster) applyFile(path string) {
	c.t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(c.t, err)
	for _, document := range bytes.Split(text, []byte("\n---\n")) {
		o := &unstructured.Unstructured{}
		require.NoError(c.t, yaml.UnmarshalStrict(document, &o.Object))
		require.NoError(c.t, c.applyObject(o))
	}
}

func (c *cluster) applyObject(o *unstructured.Unstructured) error {
	o.SetNamespace("default")
	_, err := c.client.Resource(resources[o.GetKind()]).Namespace("default").Apply(context.Background(), o.GetName(), o,
		metav1.ApplyOptions{FieldManager: "kubectl", Force: true})
	return err
}

// apply applies objects as kubectl does on the server's side, in the namespace default.
func (c *cluster) apply(objects []*manifest.Object) error {
	for _, o := range objects {
		text, err := json.Marshal(o)
		require.NoError(c.t, err)
		u := &unstructured.Unstructured{}
		require.NoError(c.t, json.Unmarshal(text, &u.Object))
		if err := c.applyObject(u); err != nil {
			return err
		}
	}
	return nil
}

// get reads an object.
func (c *cluster) get(kind, name string) *unstructured.Unstructured {
	c.t.Helper()
	o, err := c.client.Resource(resources[kind]).Namespace("default").Get(context.Background(), name, metav1.GetOptions{})
	require.NoError(c.t, err)
	return o
}
