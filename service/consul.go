package service

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"time"

	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/internal/remote"
)

// consul registers by the interface of an agent, with a check that fails unless it is renewed.
//
// github.com/hashicorp/consul/api would be the kept library for it. The four requests below need
// nothing that it has, and it would bring a dozen modules (go-metrics, serf and their like) into
// every program that imports this package. The same holds for etcd and Nacos; see docs/services.md.
type consul struct {
	client *remote.Consul
	id     string
	body   []byte
	isIn   bool // the agent knows the instance, as far as it was heard
}

type consulWeights struct {
	Passing int
	Warning int
}

type consulCheck struct {
	Name                           string
	TTL                            string
	Status                         string
	DeregisterCriticalServiceAfter string
}

type consulService struct {
	ID      string
	Name    string
	Address string `json:",omitempty"`
	Port    int
	Tags    []string
	Meta    map[string]string
	Weights consulWeights
	Check   consulCheck
}

func newConsul(a *remote.Address, i Instance, life time.Duration) (writer, error) {
	if err := a.Only(append([]string{"ttl", "namespace", "partition"}, remote.TLSOptions...)...); err != nil {
		return nil, err
	}
	if a.Path == "" {
		return nil, problem.New("", "the service is missing: want consul://host:8500/service")
	}
	if !isWhole(i.Weight) {
		return nil, problem.New("", "weight %v: in Consul it is a whole number", i.Weight)
	}
	client, err := remote.NewConsul(a)
	if err != nil {
		return nil, err
	}
	client.Timeout = min(client.Timeout, life/2)
	host, port := i.split()
	id := fmt.Sprintf("%s-%s:%d", a.Path, host, port)
	body, err := json.Marshal(consulService{
		ID: id, Name: a.Path, Address: host, Port: port, Tags: []string{i.Version}, Meta: i.Metadata,
		Weights: consulWeights{Passing: int(i.Weight), Warning: 1},
		// Consul removes what is critical for this long; it takes no less than a minute.
		Check: consulCheck{Name: "alive", TTL: life.String(), Status: "passing",
			DeregisterCriticalServiceAfter: max(10*life, time.Minute).String()},
	})
	if err != nil {
		return nil, err
	}
	return &consul{client: client, id: id, body: body}, nil
}

func (c *consul) keep(ctx context.Context) error {
	if c.isIn {
		known, err := c.check(ctx, "pass", "")
		if err != nil || known {
			return err
		}
	}
	c.isIn = false
	resp, err := c.put(ctx, "service/register?replace-existing-checks=true&", c.body)
	if err != nil {
		return err
	}
	if resp.Status != 200 {
		return c.client.Unexpected(resp.Status, resp.Body)
	}
	c.isIn = true
	return nil
}

// suspend fails the check, so that people see in Consul that the instance is there, and why it gets
// no requests.
func (c *consul) suspend(ctx context.Context, why string) error {
	known, err := c.check(ctx, "fail", why)
	if err == nil && !known {
		c.isIn = false
	}
	return err
}

// check sets the state of the check, and reports whether there is one.
func (c *consul) check(ctx context.Context, state, note string) (known bool, err error) {
	q := url.Values{}
	if note != "" {
		q.Set("note", note)
	}
	resp, err := c.put(ctx, "check/"+state+"/"+url.PathEscape("service:"+c.id)+"?"+q.Encode()+"&", nil)
	switch {
	case err != nil:
		return false, err
	case resp.Status == 200:
		return true, nil
	case resp.Status == 404 || resp.Status == 500: // 500 of Consul before 1.11
		return false, nil
	}
	return false, c.client.Unexpected(resp.Status, resp.Body)
}

func (c *consul) remove(ctx context.Context) error {
	c.isIn = false
	resp, err := c.put(ctx, "service/deregister/"+url.PathEscape(c.id)+"?", nil)
	if err != nil {
		return err
	}
	if resp.Status != 200 && resp.Status != 404 {
		return c.client.Unexpected(resp.Status, resp.Body)
	}
	return nil
}

// put sends a request to the agent. The path ends in a query that more can be added to.
func (c *consul) put(ctx context.Context, path string, body []byte) (*remote.Response, error) {
	return c.client.Do(ctx, remote.Request{Method: "PUT", Path: "/v1/agent/" + path + c.client.Scope, Body: body})
}

// next: another agent does not know the instance.
func (c *consul) next() {
	c.client.Next()
	c.isIn = false
}

func (c *consul) close() { c.client.Close() }
