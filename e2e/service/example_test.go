package service

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/e2e/servers"
)

func TestServicesExample(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("this machine has no curl")
		}
		t.Skip("this machine has no curl")
	}
	_, consul := servers.Consul(t)
	ports := servers.FreePorts(t, 2)
	cmd := exec.Command("bash", "../../examples/services/services.sh")
	cmd.Env = append(os.Environ(), "CONSUL_HTTP_ADDR="+servers.Host(consul), fmt.Sprint("PORT=", ports[0]),
		"CADDY_ADMIN="+servers.Host(ports[1]))
	cmd.SysProcAttr = servers.DieWithParent()
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	var answers []string
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, " > ") {
			answers = append(answers, strings.TrimSpace(line))
		}
	}
	assert.Equal(t, []string{
		"a v1 > b v1 > c v1, for a caller of v1",
		"a v1 > b v2 > c v1, for a caller of v2",
		"a v1 > b v1 > c v1, for a caller of v1",
		"a v1 > b v1 > c v1, for a caller of v2",
	}, answers, "%s", out)
}
