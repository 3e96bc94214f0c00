package traefik_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"
)

// kindsOfKubernetes are the resources that Traefik's provider of custom resources asks for.
var kindsOfKubernetes = map[string]string{
	"ingressroutes": "IngressRoute", "ingressroutetcps": "IngressRouteTCP", "ingressrouteudps": "IngressRouteUDP",
	"middlewares": "Middleware", "middlewaretcps": "MiddlewareTCP", "tlsoptions": "TLSOption", "tlsstores": "TLSStore",
	"serverstransports": "ServersTransport", "serverstransporttcps": "ServersTransportTCP",
	"traefikservices": "TraefikService", "services": "Service", "endpointslices": "EndpointSlice",
	"secrets": "Secret", "configmaps": "ConfigMap", "nodes": "Node",
}

// kubernetes answers as an API server does that has the resources of a YAML document, and for each
// service of backends one Pod, at the service's URL. It returns the options of Traefik's provider.
func kubernetes(t *testing.T, document []byte, backends map[string]string) object {
	t.Helper()
	resources := map[string][]any{} // by kind
	for decoder := yaml.NewDecoder(bytes.NewReader(document)); ; {
		var resource object
		err := decoder.Decode(&resource)
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		resource["metadata"].(object)["namespace"] = "default"
		kind := resource["kind"].(string)
		resources[kind] = append(resources[kind], resource)
	}
	for name, backend := range backends {
		u, err := url.Parse(backend)
		require.NoError(t, err)
		port, err := strconv.Atoi(u.Port())
		require.NoError(t, err)
		resources["Service"] = append(resources["Service"], object{
			"metadata": object{"name": name, "namespace": "default"},
			"spec":     object{"ports": []any{object{"port": 80, "targetPort": port}}},
		})
		resources["EndpointSlice"] = append(resources["EndpointSlice"], object{
			"metadata": object{"name": name, "namespace": "default",
				"labels": object{"kubernetes.io/service-name": name}},
			"addressType": "IPv4",
			"ports":       []any{object{"name": "", "port": port}},
			"endpoints":   []any{object{"addresses": []any{u.Hostname()}, "conditions": object{"ready": true}}},
		})
	}
	done := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kind := kindsOfKubernetes[path.Base(r.URL.Path)]
		w.Header().Set("Content-Type", "application/json")
		switch {
		case kind == "":
			http.NotFound(w, r)
		case r.URL.Query().Get("sendInitialEvents") != "": // a list is asked for then
			w.WriteHeader(http.StatusUnprocessableEntity)
			_ = json.NewEncoder(w).Encode(object{"kind": "Status", "apiVersion": "v1", "status": "Failure",
				"reason": "Invalid", "code": http.StatusUnprocessableEntity})
		case r.URL.Query().Get("watch") != "":
			w.(http.Flusher).Flush()
			select {
			case <-r.Context().Done():
			case <-done:
			}
		default:
			group := strings.TrimPrefix(strings.TrimPrefix(path.Dir(r.URL.Path), "/apis/"), "/api/")
			items := resources[kind]
			if items == nil {
				items = []any{}
			}
			_ = json.NewEncoder(w).Encode(object{"kind": kind + "List", "apiVersion": group,
				"metadata": object{"resourceVersion": "1"}, "items": items})
		}
	}))
	t.Cleanup(func() {
		close(done)
		s.Close()
	})
	return object{"kubernetesCRD": object{"endpoint": s.URL, "token": "of nobody"}}
}
