package backends

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/e2e/servers"
)

// Registry is a real place where instances register.
type Registry struct {
	Service    string // the name that instances have
	Process    *servers.Process
	URL        func(version string) string // the discovery URL of a version
	Register   func(id, version string, port int)
	Deregister func(id string, port int)
	Sicken     func(id, version string, port int) // makes a registered instance unhealthy
}

// Registries are all of them.
var Registries = []struct {
	Name  string
	Start func(t testing.TB) *Registry
}{
	{"consul", ConsulRegistry},
	{"etcd", EtcdRegistry},
	{"nacos", NacosRegistry},
	{"nacos-3", Nacos3Registry},
}

// ConsulRegistry is Consul's health API.
func ConsulRegistry(t testing.TB) *Registry {
	p, port := servers.Consul(t)
	return consulRegistry(t, p, port)
}

func consulRegistry(t testing.TB, p *servers.Process, port int) *Registry {
	base := servers.BaseURL(port) + "/v1/agent/"
	r := &Registry{Service: "web", Process: p}
	r.URL = func(version string) string {
		if version == "v1" {
			return fmt.Sprintf("consul://%s/%s?tag=v1", servers.Host(port), r.Service)
		}
		return fmt.Sprintf("consul://%s/%s?version=%s", servers.Host(port), r.Service, version)
	}
	r.Register = func(id, version string, port int) {
		text, err := json.Marshal(map[string]any{"ID": id, "Name": r.Service, "Tags": []string{version},
			"Meta":    map[string]string{"version": version},
			"Address": "127.0.0.1", "Port": port, "Weights": map[string]int{"Passing": 3, "Warning": 1},
			"Check": map[string]any{"TTL": "10m", "Status": "passing"}})
		require.NoError(t, err)
		Call(t, "PUT", base+"service/register", "application/json", string(text))
		// An agent that was restarted holds the check that it knows for failed.
		Call(t, "PUT", base+"check/pass/service:"+id, "", "")
	}
	r.Deregister = func(id string, _ int) { Call(t, "PUT", base+"service/deregister/"+id, "", "") }
	r.Sicken = func(id, _ string, _ int) { Call(t, "PUT", base+"check/fail/service:"+id, "", "") }
	return r
}

// EtcdRegistry is etcd's endpoint records.
func EtcdRegistry(t testing.TB) *Registry {
	p, port := servers.Etcd(t)
	return etcdRegistry(t, p, port)
}

func etcdRegistry(t testing.TB, p *servers.Process, port int) *Registry {
	base := servers.BaseURL(port)
	r := &Registry{Service: "web", Process: p}
	put := func(id, version string, port int, lease int64) {
		// The record that etcd's naming/endpoints package writes.
		text, err := json.Marshal(map[string]any{"Op": 0, "Addr": servers.Host(port),
			"Metadata": map[string]string{"version": version}})
		require.NoError(t, err)
		EtcdPut(t, base, r.Service+"/"+id, string(text), lease)
	}
	r.URL = func(version string) string {
		return fmt.Sprintf("etcd://%s/%s/?version=%s", servers.Host(port), r.Service, version)
	}
	r.Register = func(id, version string, port int) { put(id, version, port, 0) }
	r.Deregister = func(id string, _ int) {
		Post(t, base+"/v3/kv/deleterange", map[string]any{"key": []byte(r.Service + "/" + id)})
	}
	// An instance that no longer renews its lease.
	r.Sicken = func(id, version string, port int) {
		lease := Post(t, base+"/v3/lease/grant", map[string]any{"TTL": 1})
		n, err := strconv.ParseInt(lease["ID"].(string), 10, 64)
		require.NoError(t, err)
		put(id, version, port, n)
	}
	return r
}

// NacosRegistry is the naming service of Nacos 2.
func NacosRegistry(t testing.TB) *Registry {
	p, port := servers.Nacos(t)
	return nacosRegistry(t, p, port)
}

func nacosRegistry(t testing.TB, p *servers.Process, port int) *Registry {
	return nacosAt(t, p, port, "/nacos/v1/ns/instance", "")
}

// Nacos3Registry is that of Nacos 3.
func Nacos3Registry(t testing.TB) *Registry {
	p, port := servers.Nacos3(t)
	return nacosAt(t, p, port, "/nacos/v3/client/ns/instance", "&api=v3")
}

func nacosAt(t testing.TB, p *servers.Process, port int, path, option string) *Registry {
	base := servers.BaseURL(port) + path
	r := &Registry{Service: "web", Process: p}
	query := func(id, version string, port, timeout int) string {
		metadata, err := json.Marshal(map[string]string{"version": version, "id": id,
			"preserved.heart.beat.interval": "500", "preserved.heart.beat.timeout": strconv.Itoa(timeout),
			"preserved.ip.delete.timeout": "6000000"})
		require.NoError(t, err)
		return url.Values{"serviceName": {r.Service}, "ip": {"127.0.0.1"}, "port": {strconv.Itoa(port)},
			"weight": {"3"}, "ephemeral": {"true"},
			"healthy": {"true"}, "enabled": {"true"}, "metadata": {string(metadata)}}.Encode()
	}
	r.URL = func(version string) string {
		return fmt.Sprintf("nacos://%s/%s?version=%s%s", servers.Host(port), r.Service, version, option)
	}
	r.Register = func(id, version string, port int) {
		Call(t, "POST", base+"?"+query(id, version, port, 6000000), "", "")
	}
	r.Deregister = func(id string, port int) { Call(t, "DELETE", base+"?"+query(id, "", port, 6000000), "", "") }
	// An instance that sends no heartbeat within its time.
	r.Sicken = func(id, version string, port int) { Call(t, "POST", base+"?"+query(id, version, port, 1000), "", "") }
	return r
}
