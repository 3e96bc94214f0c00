package discover

import (
	"context"
	"encoding/json"
	"net/url"
	"time"

	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/internal/remote"
)

// nacos asks for the instances at an interval: no interface that HTTP reaches tells of changes.
type nacos struct {
	address  *remote.Address
	client   *remote.Nacos
	interval time.Duration
	wanted   map[string]string
}

func newNacos(a *remote.Address) (registry, error) {
	if a.Path == "" {
		return nil, problem.New("", "the service is missing: want nacos://host:8848/service?version=v2")
	}
	interval, err := a.Duration("interval", time.Second, 50*time.Millisecond)
	if err != nil {
		return nil, err
	}
	client, err := remote.NewNacos(a)
	if err != nil {
		return nil, err
	}
	wanted := metadata(a, "group", "cluster", "namespace", "context", "api", "interval")
	return &nacos{address: a, client: client, interval: interval, wanted: wanted}, nil
}

func (n *nacos) close() { n.client.Close() }

func (n *nacos) run(ctx context.Context, emit func([]Instance)) error {
	for ctx.Err() == nil {
		instances, err := n.read(ctx)
		if err != nil {
			n.client.Next()
			return err
		}
		emit(instances)
		remote.Sleep(ctx, remote.Jitter(n.interval))
	}
	return nil
}

type nacosInstance struct {
	IP       string            `json:"ip"`
	Port     int               `json:"port"`
	Weight   float64           `json:"weight"`
	Healthy  bool              `json:"healthy"`
	Enabled  bool              `json:"enabled"`
	Metadata map[string]string `json:"metadata"`
}

type nacosHosts struct {
	Hosts []nacosInstance `json:"hosts"`
}

func (n *nacos) read(ctx context.Context) ([]Instance, error) {
	hosts, err := n.hosts(ctx)
	if err != nil {
		return nil, err
	}
	l := newList(n.address)
	for i := range hosts {
		h := &hosts[i]
		if h.Healthy && h.Enabled && matches(h.Metadata, n.wanted) {
			l.add(h.IP, h.Port, h.Weight, h.Metadata[versionField])
		}
	}
	return l.sorted()
}

func (n *nacos) hosts(ctx context.Context) ([]nacosInstance, error) {
	if n.client.V3 {
		return n.hostsV3(ctx)
	}
	resp, err := n.client.Call(ctx, remote.Request{Path: "/v1/ns/instance/list?" + n.query(), Limit: maxAnswer})
	if err != nil {
		return nil, err
	}
	if remote.Gone(resp) {
		n.client.V3 = true
		list, err := n.hostsV3(ctx)
		if err != nil {
			n.client.V3 = false
			return nil, n.client.Unexpected(resp.Status, resp.Body)
		}
		return list, nil
	}
	var answer nacosHosts
	if resp.Status != 200 || json.Unmarshal(resp.Body, &answer) != nil {
		return nil, n.client.Unexpected(resp.Status, resp.Body)
	}
	return answer.Hosts, nil
}

func (n *nacos) hostsV3(ctx context.Context) ([]nacosInstance, error) {
	resp, err := n.client.Call(ctx, remote.Request{Path: "/v3/client/ns/instance/list?" + n.query(), Limit: maxAnswer})
	if err != nil {
		return nil, err
	}
	data, found, err := n.client.Data(resp)
	if err != nil || !found {
		return nil, err
	}
	var list []nacosInstance
	if json.Unmarshal(data, &list) != nil {
		return nil, n.client.Unexpected(resp.Status, resp.Body)
	}
	return list, nil
}

func (n *nacos) query() string {
	q := url.Values{"serviceName": {n.address.Path}, "healthyOnly": {"true"}}
	if group := n.address.Options["group"]; group != "" {
		q.Set("groupName", group)
	}
	if namespace := n.address.Options["namespace"]; namespace != "" {
		q.Set("namespaceId", namespace)
	}
	if cluster := n.address.Options["cluster"]; cluster != "" {
		q.Set("clusters", cluster)
		q.Set("clusterName", cluster)
	}
	return q.Encode()
}
