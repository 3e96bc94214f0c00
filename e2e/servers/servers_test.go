package servers

import (
	"fmt"
	"io"
	"net/http"
	"testing"
)

// Each server starts by itself, answers, and answers again after it was killed.
func TestServersStart(t *testing.T) {
	for _, c := range []struct {
		name  string
		start func(testing.TB) (*Process, int)
		path  string
	}{
		{"etcd", Etcd, "/version"},
		{"envoy", func(t testing.TB) (*Process, int) {
			return Envoy(t, func(admin int) string {
				return fmt.Sprintf("admin: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}", admin)
			})
		}, "/server_info"},
		{"consul", Consul, "/v1/status/leader"},
		{"nacos", func(t testing.TB) (*Process, int) { return Nacos(t) }, "/nacos/v1/ns/instance/list?serviceName=x"},
		{"nacos-3", func(t testing.TB) (*Process, int) { return Nacos3(t) },
			"/nacos/v3/client/ns/instance/list?serviceName=x"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, port := c.start(t)
			for range 2 {
				resp, err := http.Get(BaseURL(port) + c.path)
				if err != nil {
					t.Fatal(err)
				}
				body, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				if resp.StatusCode != 200 || len(body) == 0 {
					t.Fatalf("%d %s", resp.StatusCode, body)
				}
				p.Kill()
				p.Start()
			}
		})
	}
}
