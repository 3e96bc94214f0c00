package service

import (
	"context"
	"encoding/json"
	"net/url"
	"strconv"
	"time"

	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/internal/remote"
)

// nacos registers ephemeral instances by the open interfaces of Nacos, and sends heartbeats.
//
// github.com/nacos-group/nacos-sdk-go would be the kept library for it; see docs/services.md for
// why it is not used.
type nacos struct {
	client *remote.Nacos
	form   url.Values
	isIn   bool // the server knows the instance, as far as it was heard
}

// nacosSweep is how often Nacos looks for instances that it has not heard of.
const nacosSweep = 5 * time.Second

func newNacos(a *remote.Address, i Instance, life time.Duration) (writer, error) {
	options := []string{"ttl", "group", "namespace", "cluster", "context", "api"}
	if err := a.Only(append(options, remote.TLSOptions...)...); err != nil {
		return nil, err
	}
	if a.Path == "" {
		return nil, problem.New("", "the service is missing: want nacos://host:8848/service")
	}
	client, err := remote.NewNacos(a)
	if err != nil {
		return nil, err
	}
	client.Timeout = min(client.Timeout, life/2)
	silence := max(life-nacosSweep, life/2)
	for name, d := range map[string]time.Duration{
		"preserved.heart.beat.interval": life / beats,
		"preserved.heart.beat.timeout":  silence,
		"preserved.ip.delete.timeout":   2 * life,
	} {
		i.Metadata[name] = strconv.FormatInt(d.Milliseconds(), 10)
	}
	metadata, err := json.Marshal(i.Metadata)
	if err != nil {
		return nil, err
	}
	host, port := i.split()
	form := url.Values{
		"serviceName": {a.Path}, "ip": {host}, "port": {strconv.Itoa(port)},
		"weight":  {strconv.FormatFloat(i.Weight, 'f', -1, 64)},
		"healthy": {"true"}, "enabled": {"true"}, "ephemeral": {"true"}, "metadata": {string(metadata)},
	}
	for option, name := range map[string]string{
		"group": "groupName", "namespace": "namespaceId", "cluster": "clusterName",
	} {
		if value := a.Options[option]; value != "" {
			form.Set(name, value)
		}
	}
	return &nacos{client: client, form: form}, nil
}

// Codes by which Nacos 2 and 3 say that they do not know an instance.
const (
	nacosNotFound  = 20404
	nacosNotFound3 = 21003
)

type nacosBeat struct {
	Code int `json:"code"`
}

func (n *nacos) keep(ctx context.Context) error {
	if n.isIn {
		known, err := n.beat(ctx)
		if err != nil || known {
			return err
		}
	}
	n.isIn = false
	if err := n.write(ctx, "POST"); err != nil {
		return err
	}
	n.isIn = true
	return nil
}

// beat tells the server that the instance is alive, and reports whether the server knows it.
func (n *nacos) beat(ctx context.Context) (known bool, err error) {
	form := url.Values{}
	for name, values := range n.form {
		form[name] = values
	}
	delete(form, "metadata")
	q := remote.Request{Method: "PUT", Path: "/v1/ns/instance/beat?" + form.Encode()}
	if n.client.V3 {
		form.Set("heartBeat", "true")
		q = remote.Request{Method: "POST", Path: "/v3/client/ns/instance?" + form.Encode()}
	}
	resp, err := n.client.Call(ctx, q)
	if err != nil {
		return false, err
	}
	var answer nacosBeat
	if json.Unmarshal(resp.Body, &answer) == nil && (answer.Code == nacosNotFound || answer.Code == nacosNotFound3) {
		return false, nil
	}
	if resp.Status != 200 {
		return false, n.client.Unexpected(resp.Status, resp.Body)
	}
	return true, nil
}

func (n *nacos) suspend(ctx context.Context, _ string) error { return n.remove(ctx) }

func (n *nacos) remove(ctx context.Context) error {
	n.isIn = false
	return n.write(ctx, "DELETE")
}

// write registers or deregisters the instance.
func (n *nacos) write(ctx context.Context, method string) error {
	if n.client.V3 {
		return n.writeV3(ctx, method)
	}
	resp, err := n.client.Call(ctx, remote.Request{Method: method, Path: "/v1/ns/instance?" + n.form.Encode()})
	if err != nil {
		return err
	}
	if remote.Gone(resp) {
		n.client.V3 = true
		if err = n.writeV3(ctx, method); err == nil {
			return nil
		}
		n.client.V3 = false
	}
	if resp.Status != 200 {
		return n.client.Unexpected(resp.Status, resp.Body)
	}
	return nil
}

func (n *nacos) writeV3(ctx context.Context, method string) error {
	resp, err := n.client.Call(ctx, remote.Request{Method: method, Path: "/v3/client/ns/instance?" + n.form.Encode()})
	if err != nil {
		return err
	}
	_, _, err = n.client.Data(resp)
	return err
}

func (n *nacos) next()  { n.client.Next() }
func (n *nacos) close() { n.client.Close() }
