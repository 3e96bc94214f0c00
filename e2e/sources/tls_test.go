package sources

import (
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core/live"
)

// The gateway believes the certificates that it is told to believe, compiled and interpreted.
func TestTLS(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.name, func(t *testing.T) {
			load := mode.load(t)
			s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, ".switch") {
					w.WriteHeader(http.StatusNotFound)
					return
				}
				_, _ = io.WriteString(w, document("secure", 100))
			}))
			defer s.Close()
			ca := filepath.Join(t.TempDir(), "ca.pem")
			block := &pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}
			require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(block), 0o600))
			start(t, load, s.URL+"/p#interval=50ms&ca_file="+ca, "").await("v2")
			start(t, load, s.URL+"/q#interval=50ms", "").awaitState("not believed", func(st live.State) bool {
				return strings.Contains(st.Error, "certificate")
			})
		})
	}
}
