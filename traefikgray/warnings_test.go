package traefikgray

import (
	"context"
	"io"
	"net/http"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
)

// What is doubtful in a policy is said when Traefik starts.
func TestWarningsAtStart(t *testing.T) {
	before := os.Stdout
	read, write, err := os.Pipe()
	require.NoError(t, err)
	os.Stdout = write
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	_, err = New(ctx, http.NotFoundHandler(), shop(func(c *Config) {
		c.Service = "warned"
		c.Identity = []string{"cookie uid", "header X-User-ID"}
		c.Rules = []rule{{Rule: core.Rule{Name: "everybody", Version: "v2"}}}
	}), "shop-gray@file")
	os.Stdout = before
	require.NoError(t, write.Close())
	require.NoError(t, err)
	said, err := io.ReadAll(read)
	require.NoError(t, err)
	require.Contains(t, string(said), `level=WARN msg="policy warning" plugin=gray middleware=shop-gray@file service=warned`)
	require.Contains(t, string(said), "a client may send these headers itself")
	require.Contains(t, string(said), `identity="[header X-User-ID]"`)
	require.Contains(t, string(said), `rules[0]: rule \"everybody\" has neither conditions nor a percentage`)
}
