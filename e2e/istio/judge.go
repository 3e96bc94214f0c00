// Package istio runs what gray says in Istio's words: through Istio's own code, and the routes that
// this makes in a real Envoy.
package istio

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/e2e/servers"
)

// Judge is Istio's code, which says what it makes of manifests.
type Judge struct {
	mu  sync.Mutex
	in  io.Writer
	out *bufio.Reader
	log string
}

// Answer is what it says.
type Answer struct {
	Problems []string          `json:"problems"`
	Warnings []string          `json:"warnings"`
	Routes   []json.RawMessage `json:"routes"` // of Envoy
	// Filters are Envoy's for AuthorizationPolicies, if the mesh's configuration is given.
	Filters []json.RawMessage `json:"filters"`
}

// StartJudge starts it. It ends with the test.
func StartJudge(t testing.TB) *Judge {
	t.Helper()
	j := &Judge{log: filepath.Join(t.TempDir(), "log")}
	log, err := os.Create(j.log)
	require.NoError(t, err)
	cmd := exec.Command(servers.Path(t, "istio"))
	cmd.SysProcAttr, cmd.Stderr = servers.DieWithParent(), log
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
		_ = log.Close()
	})
	j.in, j.out = in, bufio.NewReader(out)
	return j
}

// Ask asks about manifests, and about a part of the mesh's configuration if there is one.
func (j *Judge) Ask(t testing.TB, manifests, mesh string) *Answer {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	question, err := json.Marshal(object{"manifests": manifests, "mesh": mesh,
		"labels": object{"istio": "ingressgateway"}})
	require.NoError(t, err)
	_, err = j.in.Write(append(question, '\n'))
	require.NoError(t, err)
	line, err := j.out.ReadBytes('\n')
	require.NoError(t, err, "see %s", j.log)
	a := &Answer{}
	require.NoError(t, json.Unmarshal(line, a), "%s", line)
	return a
}
