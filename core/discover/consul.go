package discover

import (
	"context"
	"encoding/json"
	"net/url"
	"time"

	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/internal/remote"
)

// maxAnswer is the largest list that is read, in bytes.
const maxAnswer = 64 << 20

// consul asks the health interface by blocking queries.
type consul struct {
	address *remote.Address
	client  *remote.Consul
	path    string
	wanted  map[string]string
	index   int64
}

func newConsul(a *remote.Address) (registry, error) {
	if a.Path == "" {
		return nil, problem.New("", "the service is missing: want consul://host:8500/service?tag=v2")
	}
	client, err := remote.NewConsul(a)
	if err != nil {
		return nil, err
	}
	q := url.Values{"passing": {"true"}, "tag": a.Repeated["tag"]}
	path := "/v1/health/service/" + url.PathEscape(a.Path) + "?" + q.Encode()
	if scope := client.Scope; scope != "" {
		path += "&" + scope
	}
	return &consul{address: a, client: client, path: path, wanted: metadata(a, "tag", "dc", "namespace", "partition")}, nil
}

func (c *consul) close() { c.client.Close() }

type consulNode struct {
	Address string `json:"Address"`
}

type consulWeights struct {
	Passing int `json:"Passing"`
}

type consulService struct {
	Address string            `json:"Address"`
	Port    int               `json:"Port"`
	Meta    map[string]string `json:"Meta"`
	Weights consulWeights     `json:"Weights"`
}

type consulEntry struct {
	Node    consulNode    `json:"Node"`
	Service consulService `json:"Service"`
}

func (c *consul) run(ctx context.Context, emit func([]Instance)) error {
	c.index = 0
	for ctx.Err() == nil {
		resp, index, err := c.client.Get(ctx, c.path, c.index, maxAnswer)
		if err == nil && resp.Status != 200 {
			err = c.client.Unexpected(resp.Status, resp.Body)
		}
		if err != nil {
			c.client.Next()
			return err
		}
		instances, err := c.parse(resp)
		if err != nil {
			return err
		}
		emit(instances)
		c.index = index
		// A service whose checks change without end must not make the gateway ask without end.
		if !remote.Sleep(ctx, 10*time.Millisecond) {
			return nil
		}
	}
	return nil
}

func (c *consul) parse(resp *remote.Response) ([]Instance, error) {
	var entries []consulEntry
	if json.Unmarshal(resp.Body, &entries) != nil {
		return nil, c.client.Unexpected(resp.Status, resp.Body)
	}
	l := newList(c.address)
	for i := range entries {
		s := &entries[i].Service
		if !matches(s.Meta, c.wanted) {
			continue
		}
		host, weight := s.Address, float64(s.Weights.Passing)
		if host == "" {
			host = entries[i].Node.Address
		}
		if weight == 0 {
			weight = 1
		}
		l.add(host, s.Port, weight, s.Meta[versionField])
	}
	return l.sorted()
}
