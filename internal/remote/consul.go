package remote

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// consulWait is how long Consul holds a blocking query; it adds up to a sixteenth of it as jitter.
// A connection that died without a word is noticed after that time.
const consulWait = time.Minute

// Consul speaks to Consul's HTTP interface.
type Consul struct {
	*Client
	// Scope is the part of a query that says which datacenter, namespace and partition is meant; ""
	// means those that the server is in.
	Scope string
}

// NewConsul prepares a client for the servers of the address. Options dc, namespace and partition
// are its scope.
func NewConsul(a *Address) (*Consul, error) {
	c, err := NewClient(a)
	if err != nil {
		return nil, err
	}
	if token := a.Options["token"]; token != "" {
		c.Header["X-Consul-Token"] = []string{token}
	}
	if a.User != "" {
		// For a proxy in front of Consul.
		req := http.Request{Header: c.Header}
		req.SetBasicAuth(a.User, a.Password)
	}
	q := url.Values{}
	for option, name := range map[string]string{"dc": "dc", "namespace": "ns", "partition": "partition"} {
		if value := a.Options[option]; value != "" {
			q.Set(name, value)
		}
	}
	return &Consul{Client: c, Scope: q.Encode()}, nil
}

// Get asks for a path that has a query. With an index over 0 it waits until the answer differs from
// the one that had that index, or a minute. It returns the index to ask with next.
func (c *Consul) Get(ctx context.Context, path string, index int64, limit int64) (*Response, int64, error) {
	q := Request{Path: path, Limit: limit}
	if index > 0 {
		q.Path += "&index=" + strconv.FormatInt(index, 10) + "&wait=" + strconv.Itoa(int(consulWait/time.Second)) + "s"
		q.Wait = consulWait + consulWait/8
	}
	resp, err := c.Do(ctx, q)
	if err != nil {
		return nil, 0, err
	}
	return resp, nextIndex(index, resp.Header.Get("X-Consul-Index")), nil
}

// nextIndex is the index to ask with next. Consul's own rules: an index that goes back starts again
// from 0, and none is below 1, as 0 would make a blocking query return at once, for ever.
func nextIndex(old int64, header string) int64 {
	index, err := strconv.ParseInt(header, 10, 64)
	if err != nil || index < 1 {
		return 1
	}
	if index < old {
		return 0
	}
	return index
}

// ConsulKV is a key's value, and the index at which it was written.
type ConsulKV struct {
	Value []byte `json:"Value"`
	Index int64  `json:"ModifyIndex"`
}

// Read returns what a key holds, nil if there is no such key. A value over limit bytes is an error.
func (c *Consul) Read(ctx context.Context, key string, limit int64) (*ConsulKV, error) {
	resp, _, err := c.Get(ctx, c.kvPath(key, ""), 0, 2*limit) // values come in base64
	if err != nil {
		return nil, err
	}
	if isMissingKey(resp) {
		return nil, nil
	}
	var kvs []ConsulKV
	if resp.Status != 200 || json.Unmarshal(resp.Body, &kvs) != nil || len(kvs) != 1 {
		return nil, c.Unexpected(resp.Status, resp.Body)
	}
	return &kvs[0], nil
}

// Wait returns once a key, or one whose name starts with it and a slash, may have changed since the
// index that it returned before; 0 returns at once. It takes a minute at most.
func (c *Consul) Wait(ctx context.Context, key string, index int64) (int64, error) {
	resp, next, err := c.Get(ctx, c.kvPath(key, "keys&separator=/&"), index, 1<<20)
	if err != nil {
		return 0, err
	}
	if resp.Status != 200 && !isMissingKey(resp) {
		return 0, c.Unexpected(resp.Status, resp.Body)
	}
	return next, nil
}

type consulWrite struct {
	Verb      string `json:"Verb"`
	Key       string `json:"Key"`
	Value     []byte `json:"Value"`
	Index     int64  `json:"Index"`
	Namespace string `json:"Namespace,omitempty"`
	Partition string `json:"Partition,omitempty"`
}

type consulOperation struct {
	KV consulWrite `json:"KV"`
}

type consulResult struct {
	KV ConsulKV `json:"KV"`
}

type consulResults struct {
	Results []consulResult `json:"Results"`
}

// Put writes a key if it was written last at an index, 0 meaning that it does not exist. It reports
// whether that was so, and the index of what it wrote.
func (c *Consul) Put(ctx context.Context, key string, value []byte, index int64) (written bool, at int64, err error) {
	scope, err := url.ParseQuery(c.Scope)
	if err != nil {
		return false, 0, err
	}
	body, err := json.Marshal([]consulOperation{{consulWrite{
		Verb: "cas", Key: key, Value: value, Index: index,
		Namespace: scope.Get("ns"), Partition: scope.Get("partition"),
	}}})
	if err != nil {
		return false, 0, err
	}
	resp, err := c.Do(ctx, Request{Method: "PUT", Path: "/v1/txn?" + c.Scope, Body: body})
	if err != nil {
		return false, 0, err
	}
	if resp.Status == 409 {
		return false, 0, nil
	}
	var answer consulResults
	if resp.Status != 200 || json.Unmarshal(resp.Body, &answer) != nil || len(answer.Results) != 1 {
		return false, 0, c.Unexpected(resp.Status, resp.Body)
	}
	return true, answer.Results[0].KV.Index, nil
}

func (c *Consul) kvPath(key, query string) string {
	return "/v1/kv/" + (&url.URL{Path: key}).EscapedPath() + "?" + query + c.Scope
}

// isMissingKey tells Consul's answer for a key that does not exist from the 404 of something that
// is not Consul.
func isMissingKey(resp *Response) bool {
	return resp.Status == 404 && resp.Header.Get("X-Consul-Index") != ""
}
