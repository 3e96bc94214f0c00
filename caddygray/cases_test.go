package caddygray_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/internal/casetest"
)

// TestCases sends every decision case through Caddy. All policies are routes of one server, chosen
// by a header; every second one comes from a file.
func TestCases(t *testing.T) {
	files, err := casetest.Load("../testdata/cases")
	require.NoError(t, err)
	tcp, socket := freeAddress(t), filepath.Join(t.TempDir(), "caddy.sock")
	routes := []object{}
	for _, f := range files {
		for _, g := range f.Groups {
			routes = append(routes, caseRoute(t, len(routes), g.Policy))
		}
	}
	start(t, object{"http": object{"grace_period": 1, "servers": object{"cases": object{
		"listen":            []string{tcp, "unix/" + socket},
		"automatic_https":   object{"disable": true},
		"max_header_bytes":  1 << 20,
		"trusted_proxies":   object{"source": "static", "ranges": []string{"127.0.0.0/8"}},
		"client_ip_headers": []string{"X-Test-Client"},
		"routes":            routes,
	}}}})

	group := 0
	for _, f := range files {
		for _, g := range f.Groups {
			for _, c := range g.Cases {
				t.Run(f.Name+"/"+c.Name, func(t *testing.T) {
					more := [][2]string{{"X-Test-Group", strconv.Itoa(group)}, {"X-Test-Client", c.Request.IP}}
					network, address := "tcp", tcp
					if _, err := netip.ParseAddr(c.Request.IP); err != nil {
						// No client address, which only a peer without one has.
						network, address, more = "unix", socket, more[:1]
					}
					res := exchange(t, network, address, c.Request.Method, c.Request.Raw(more...))
					require.Equal(t, http.StatusOK, res.StatusCode)
					if got := res.Header.Get("Version"); got != c.Version || res.Header.Get("Rule") != c.Rule {
						t.Errorf("got %s by %q, want %s by %q", got, res.Header.Get("Rule"), c.Version, c.Rule)
					}
					require.Equal(t, res.Header.Get("Matched"), c.Version, "by the matcher")
				})
			}
			group++
		}
	}
	t.Log(casetest.Count(files), "cases in", group, "policies")
}

func caseRoute(t *testing.T, n int, policy json.RawMessage) object {
	handler := object{}
	require.NoError(t, json.Unmarshal(policy, &handler))
	versions, _ := handler["versions"].(object)
	if n%2 == 1 {
		path := filepath.Join(t.TempDir(), "policy.json")
		require.NoError(t, os.WriteFile(path, policy, 0o600))
		handler = object{"policy": path}
	}
	handler["handler"] = "gray"
	handler["loop"] = object{"off": true} // cases are about what is decided before a rollout begins
	routes := []object{{"handle": []object{handler}}}
	for version := range versions {
		routes = append(routes, object{
			"match":  []object{{"gray": object{"versions": []string{version}}}},
			"handle": []object{{"handler": "vars", "matched": version}},
		})
	}
	routes = append(routes, object{"handle": []object{{"handler": "static_response", "headers": object{
		"Version": []string{"{http.gray.version}"}, "Rule": []string{"{http.gray.rule}"},
		"Matched": []string{"{http.vars.matched}"},
	}}}})
	return object{
		"match":  []object{{"header": object{"X-Test-Group": []string{strconv.Itoa(n)}}}},
		"handle": []object{{"handler": "subroute", "routes": routes}},
	}
}

// exchange sends bytes and reads a response's header.
func exchange(t *testing.T, network, address, method string, raw []byte) *http.Response {
	t.Helper()
	conn, err := net.Dial(network, address)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	_, err = conn.Write(raw)
	require.NoError(t, err)
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	require.NoError(t, err, fmt.Sprintf("%.200q", raw))
	res.Body.Close()
	return res
}
