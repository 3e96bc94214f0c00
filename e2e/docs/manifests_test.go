package docs

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/grayrelease/gray/rollout/serve"
)

// The manifest of the controller has only fields that Kubernetes knows, and its parts fit together.
func TestKubernetesManifest(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "examples/serve/kubernetes.yml"))
	require.NoError(t, err)
	parts := bytes.Split(text, []byte("\n---\n"))
	require.Len(t, parts, 2)
	var deployment apps.Deployment
	require.NoError(t, yaml.UnmarshalStrict(parts[0], &deployment))
	var service core.Service
	require.NoError(t, yaml.UnmarshalStrict(parts[1], &service))
	pod := deployment.Spec.Template
	assert.Equal(t, deployment.Spec.Selector.MatchLabels, pod.Labels)
	assert.Equal(t, service.Spec.Selector, pod.Labels)
	require.Len(t, pod.Spec.Containers, 1)
	container := pod.Spec.Containers[0]
	assert.Equal(t, container.Ports[0].Name, service.Spec.Ports[0].TargetPort.StrVal)
	assert.Equal(t, container.Ports[0].Name, container.ReadinessProbe.HTTPGet.Port.StrVal)
	assert.Equal(t, []string{"serve", "--config", "/etc/gray/gray.yml"}, container.Args)
	volumes := map[string]bool{}
	for _, v := range pod.Spec.Volumes {
		volumes[v.Name] = true
	}
	for _, m := range container.VolumeMounts {
		assert.True(t, volumes[m.Name], m.Name)
	}
}

func TestControllerExample(t *testing.T) {
	_, err := serve.ReadConfig(filepath.Join(root, "examples/serve/gray.yml"))
	require.NoError(t, err)
}

// The unit is one that systemd takes, where there is its tool. The program need not be installed.
func TestSystemdUnit(t *testing.T) {
	tool, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("this machine has no systemd-analyze")
	}
	text, err := os.ReadFile(filepath.Join(root, "examples/serve/gray.service"))
	require.NoError(t, err)
	program, err := exec.LookPath("true")
	require.NoError(t, err)
	unit := filepath.Join(t.TempDir(), "gray.service")
	require.NoError(t, os.WriteFile(unit, bytes.ReplaceAll(text, []byte("/usr/local/bin/gray"), []byte(program)), 0o600))
	output, err := exec.Command(tool, "verify", "--man=no", unit).CombinedOutput()
	require.NoError(t, err, "%s", output)
	assert.Empty(t, string(output))
}
