package source

import (
	"context"
	"crypto/md5" //nolint:gosec // Nacos names a revision by its MD5
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/grayrelease/gray/internal/remote"
)

// nacos holds one long poll for both configurations (2.x). The interfaces of 3.x that HTTP reaches have none: they are asked at an interval.
type nacos struct {
	client   *remote.Nacos
	interval time.Duration
	configs  []remote.NacosConfig // by Part
	known    []bool
	settle   int // short polls still to do
}

func newNacos(a *remote.Address) (watcher, error) {
	if err := a.Only(append([]string{"group", "namespace", "context", "api", "interval"}, remote.TLSOptions...)...); err != nil {
		return nil, err
	}
	if a.Path == "" {
		return nil, errors.New("address: the dataId is missing: want nacos://host:8848/dataId?group=G&namespace=N")
	}
	interval, err := a.Duration("interval", 500*time.Millisecond, 50*time.Millisecond)
	if err != nil {
		return nil, err
	}
	client, err := remote.NewNacos(a)
	if err != nil {
		return nil, err
	}
	group := a.Options["group"]
	if group == "" {
		group = "DEFAULT_GROUP"
	}
	namespace := a.Options["namespace"]
	if namespace == "public" {
		namespace = ""
	}
	return &nacos{client: client, interval: interval, known: []bool{false, false}, configs: []remote.NacosConfig{
		{DataID: a.Path, Group: group, Namespace: namespace},
		{DataID: a.Path + ".switch", Group: group, Namespace: namespace},
	}}, nil
}

func (n *nacos) close() { n.client.Close() }

func (n *nacos) run(ctx context.Context, emit func(Event)) error {
	err := n.follow(ctx, emit)
	if err != nil {
		n.known = []bool{false, false}
		n.client.Next()
	}
	return err
}

func (n *nacos) follow(ctx context.Context, emit func(Event)) error {
	for ctx.Err() == nil {
		changed := false
		for _, part := range []Part{Switch, Policy} {
			news, err := n.read(ctx, part, emit)
			if err != nil {
				return err
			}
			changed = changed || news
		}
		if !changed {
			emit(Event{Contact: true})
		}
		if err := n.wait(ctx, changed); err != nil {
			return err
		}
	}
	return nil
}

// wait returns when something may have changed.
func (n *nacos) wait(ctx context.Context, changed bool) error {
	if n.client.V3 {
		remote.Sleep(ctx, remote.Jitter(n.interval))
		return nil
	}
	// Nacos compares first and enters the long poll after that: a change in between is told only when the poll ends. After a change another
	// is likely, so for a second the comparison alone is asked for.
	if changed {
		n.settle = 20
	}
	for n.settle > 0 {
		n.settle--
		if !remote.Sleep(ctx, 50*time.Millisecond) {
			return nil
		}
		news, err := n.client.Changed(ctx, n.configs, false)
		if err != nil || news {
			return err
		}
	}
	_, err := n.client.Changed(ctx, n.configs, true)
	return err
}

func (n *nacos) read(ctx context.Context, part Part, emit func(Event)) (news bool, err error) {
	data, found, err := n.get(ctx, n.configs[part])
	if err != nil {
		return false, err
	}
	sum := ""
	if found {
		digest := md5.Sum(data) //nolint:gosec // see the import
		sum = hex.EncodeToString(digest[:])
	}
	if n.known[part] && n.configs[part].MD5 == sum {
		return false, nil
	}
	n.known[part], n.configs[part].MD5 = true, sum
	emit(Event{Part: part, Data: data, Revision: sum, Missing: !found})
	return true, nil
}

func (n *nacos) get(ctx context.Context, c remote.NacosConfig) (data []byte, found bool, err error) {
	if n.client.V3 {
		return n.getV3(ctx, c)
	}
	q := url.Values{"dataId": {c.DataID}, "group": {c.Group}}
	if c.Namespace != "" {
		q.Set("tenant", c.Namespace)
	}
	resp, err := n.client.Call(ctx, remote.Request{Path: "/v1/cs/configs?" + q.Encode(), Limit: remote.MaxDocument})
	switch {
	case err != nil:
		return nil, false, err
	case resp.Status == 200:
		return resp.Body, true, nil
	case resp.Status == 404 && strings.Contains(string(resp.Body), "not exist"):
		return nil, false, nil
	case remote.Gone(resp):
		return n.tryV3(ctx, c, resp)
	}
	return nil, false, n.client.Unexpected(resp.Status, resp.Body)
}

// tryV3 asks a server that has no interfaces of 2.x for those of 3.x, and keeps to them if it has.
func (n *nacos) tryV3(ctx context.Context, c remote.NacosConfig, refused *remote.Response) ([]byte, bool, error) {
	n.client.V3 = true
	data, found, err := n.getV3(ctx, c)
	if err != nil {
		n.client.V3 = false
		return nil, false, n.client.Unexpected(refused.Status, refused.Body)
	}
	return data, found, nil
}

type nacosConfigData struct {
	Content string `json:"content"`
}

func (n *nacos) getV3(ctx context.Context, c remote.NacosConfig) (data []byte, found bool, err error) {
	q := url.Values{"dataId": {c.DataID}, "groupName": {c.Group}}
	if c.Namespace != "" {
		q.Set("namespaceId", c.Namespace)
	}
	resp, err := n.client.Call(ctx, remote.Request{Path: "/v3/client/cs/config?" + q.Encode(), Limit: 2 * remote.MaxDocument})
	if err != nil {
		return nil, false, err
	}
	raw, found, err := n.client.Data(resp)
	if err != nil || !found {
		return nil, found, err
	}
	var config nacosConfigData
	if json.Unmarshal(raw, &config) != nil {
		return nil, false, n.client.Unexpected(resp.Status, resp.Body)
	}
	return []byte(config.Content), true, nil
}
